//! Makes a connection: resolve, check every address, connect to one that passed, shake hands.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;
use url::Host;

use crate::domain::{Failure, FailureCode};

use super::connection::{self, Connection, Http1, OpenCount};
use super::failure::failure;
use super::http1::Stream;
use super::proxy::Proxy;
use super::resolver::interleaved;
use super::route::Route;
use super::sockets::Socket;
use super::trace::{Stage, Trace};
use super::{Shared, failure as failures, tls};

/// How long one address may keep us from the next. The last has what is left of the deadline.
const ADDRESS_SHARE: Duration = Duration::from_secs(2);

pub(super) async fn dial(
    shared: &Shared,
    route: &Route,
    open: &OpenCount,
    socket: Socket,
    trace: &mut Trace,
) -> Result<Connection, Failure> {
    let mut stream = match &shared.proxy {
        None => {
            let addresses = allowed_addresses(shared, route, trace).await?;
            connect(&addresses, &route.authority, trace).await?
        }
        Some(proxy) => reach_proxy(shared, proxy, route, trace).await?,
    };
    let Some(name) = &route.server_name else {
        return Ok(Connection::Http1(Box::new(Http1::new(Stream::Plain(stream), open, socket))));
    };
    if let Some(proxy) = &shared.proxy {
        proxy.tunnel(&mut stream, &route.authority).await?;
    }
    trace.enter(Stage::Tls);
    let connector = TlsConnector::from(Arc::clone(&shared.tls));
    let stream = connector
        .connect(name.clone(), stream)
        .await
        .map_err(|error| failure(FailureCode::TlsFailed, tls::explain(&error)))?;
    if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
        let shaken = connection::http2(stream, open, socket).await;
        return shaken.map_err(|error| failures::of_request(&error));
    }
    Ok(Connection::Http1(Box::new(Http1::new(Stream::Tls(Box::new(stream)), open, socket))))
}

/// The host's addresses that may be connected to.
async fn allowed_addresses(shared: &Shared, route: &Route, trace: &mut Trace) -> Result<Vec<SocketAddr>, Failure> {
    let mut addresses = resolve(shared, &route.host, route.port, trace).await?;
    if shared.targets.allows_host(&plain(&route.host)) {
        return Ok(addresses);
    }
    let mut reason = None;
    addresses.retain(|address| match shared.targets.check_address(address.ip()) {
        Ok(()) => true,
        Err(range) => {
            reason = Some(range);
            false
        }
    });
    match reason {
        // The address itself is not told: a webhook's owner is not to map the network we run in.
        Some(range) if addresses.is_empty() => Err(failure(
            FailureCode::AddressBlocked,
            format!(
                "{} has no public address ({}, {}); an operator can allow it with allow_targets",
                route.host, range.name, range.source
            ),
        )),
        _ => Ok(addresses),
    }
}

/// A socket to the proxy, after checking where the proxy would go as far as we can tell: it chooses among the host's
/// addresses, so every one of them must be allowed. Its own address is the operator's choice.
async fn reach_proxy(shared: &Shared, proxy: &Proxy, route: &Route, trace: &mut Trace) -> Result<TcpStream, Failure> {
    if !shared.targets.allows_host(&plain(&route.host)) {
        let resolved = resolve(shared, &route.host, route.port, trace).await.unwrap_or_default();
        let blocked = resolved.iter().find_map(|address| shared.targets.check_address(address.ip()).err());
        if let Some(range) = blocked {
            return Err(failure(
                FailureCode::AddressBlocked,
                format!(
                    "{} has an address that is not public ({}, {}); an operator can allow it with allow_targets",
                    route.host, range.name, range.source
                ),
            ));
        }
    }
    let addresses = resolve(shared, &proxy.host, proxy.port, trace).await?;
    connect(&addresses, "the proxy", trace).await
}

async fn resolve(
    shared: &Shared,
    host: &Host<String>,
    port: u16,
    trace: &mut Trace,
) -> Result<Vec<SocketAddr>, Failure> {
    let name = match host {
        Host::Ipv4(address) => return Ok(interleaved([SocketAddr::new((*address).into(), port)])),
        Host::Ipv6(address) => return Ok(interleaved([SocketAddr::new((*address).into(), port)])),
        Host::Domain(name) => name,
    };
    trace.enter(Stage::Resolve);
    let answer = shared.resolver.resolve(name, port).await;
    let addresses =
        answer.map_err(|error| failure(FailureCode::DnsFailed, format!("{name} cannot be resolved: {error}")))?;
    if addresses.is_empty() {
        return Err(failure(FailureCode::DnsFailed, format!("{name} has no address")));
    }
    Ok(interleaved(addresses))
}

/// Tries the addresses in order, each with its share of the time that is left.
async fn connect(addresses: &[SocketAddr], place: &str, trace: &mut Trace) -> Result<TcpStream, Failure> {
    trace.enter(Stage::Connect);
    let mut last = failure(FailureCode::ConnectFailed, format!("{place} has no address"));
    for (index, address) in addresses.iter().enumerate() {
        let left = addresses.len() - index;
        let now = Instant::now();
        let fair = trace.deadline.saturating_duration_since(now) / left as u32;
        let until = if left == 1 { trace.deadline } else { now + fair.min(ADDRESS_SHARE) };
        match timeout_at(until, TcpStream::connect(address)).await {
            Ok(Ok(socket)) => {
                // A request is written whole: waiting for more to send would only delay its end.
                socket.set_nodelay(true).ok();
                return Ok(socket);
            }
            Ok(Err(error)) => {
                last = failure(FailureCode::ConnectFailed, format!("connecting to {place} failed ({})", error.kind()));
            }
            Err(_) => {
                last = failure(FailureCode::ConnectTimeout, format!("{place} did not accept a connection in time"));
            }
        }
    }
    Err(last)
}

fn plain(host: &Host<String>) -> String {
    match host {
        Host::Domain(name) => name.clone(),
        Host::Ipv4(address) => address.to_string(),
        Host::Ipv6(address) => address.to_string(),
    }
}
