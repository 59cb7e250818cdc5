//! Ports for servers that come back on the same one.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use anyhow::Context as _;

/// Below what systems give to outgoing connections: while a server is down, nobody else gets its port by chance.
const RANGE: std::ops::Range<u16> = 10_000..32_000;
const TRIES: usize = 200;

/// An address of this machine that nobody listens at.
pub fn free() -> anyhow::Result<SocketAddr> {
    let free = (0..TRIES).find_map(|_| {
        let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, fastrand::u16(RANGE)));
        TcpListener::bind(addr).is_ok().then_some(addr)
    });
    free.with_context(|| format!("no free port in {RANGE:?}"))
}
