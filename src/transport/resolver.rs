//! From a host name to its addresses. Tests script the answers, so the check at connect time is tested with a name that
//! changes its mind.

use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;

/// The answer of a resolver, under way.
pub type Resolving = Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send>>;

/// Answers names. What it answers is checked afterwards, so an implementation need not be trusted.
pub trait Resolve: fmt::Debug + Send + Sync {
    fn resolve(&self, host: &str, port: u16) -> Resolving;
}

/// The platform's own resolver (`getaddrinfo`), on tokio's blocking threads.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemResolver;

impl Resolve for SystemResolver {
    fn resolve(&self, host: &str, port: u16) -> Resolving {
        let host = host.to_owned();
        Box::pin(async move { Ok(tokio::net::lookup_host((host, port)).await?.collect()) })
    }
}

/// Alternates the families, IPv6 first (RFC 8305 §4), so that one broken family delays a connection once only.
/// Duplicates go.
pub(super) fn interleaved(addresses: impl IntoIterator<Item = SocketAddr>) -> Vec<SocketAddr> {
    let (v6, v4): (Vec<_>, Vec<_>) = addresses.into_iter().partition(SocketAddr::is_ipv6);
    let mut ordered = Vec::with_capacity(v6.len() + v4.len());
    let (mut v6, mut v4) = (v6.into_iter(), v4.into_iter());
    loop {
        let (a, b) = (v6.next(), v4.next());
        if a.is_none() && b.is_none() {
            return ordered;
        }
        for address in a.into_iter().chain(b) {
            if !ordered.contains(&address) {
                ordered.push(address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_alternate_and_each_address_is_tried_once() {
        let given = ["1.1.1.1:1", "2.2.2.2:1", "[2606::1]:1", "1.1.1.1:1", "3.3.3.3:1"];
        let ordered = interleaved(given.map(|text| text.parse().unwrap()));
        assert_eq!(ordered, ["[2606::1]:1", "1.1.1.1:1", "2.2.2.2:1", "3.3.3.3:1"].map(|text| text.parse().unwrap()));
    }
}
