//! The HTTP server around the API.

use std::net::SocketAddr;
use std::time::Duration;

use actix_web::dev::Server;
use actix_web::middleware::from_fn;
use actix_web::{App, HttpServer};
use anyhow::Context as _;

use super::runtimes::Runtimes;
use crate::api::routes::{self, Shared};
use crate::api::unread::close_unread;
use crate::config::Config;

/// A request whose head does not come within this time is given up: half-sent requests hold nothing for long.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// Gateways keep their connections: longer than the pauses between their events, shorter than what balancers allow.
const KEEP_ALIVE: Duration = Duration::from_secs(75);

/// Binds the address of the configuration; port 0 takes a free one.
pub(super) fn bind(config: &Config, shared: Shared, runtimes: &Runtimes) -> anyhow::Result<(Server, SocketAddr)> {
    let runtimes = runtimes.clone();
    let server = HttpServer::new(move || {
        // Called once by each worker, on its thread.
        runtimes.join("http", tokio::runtime::Handle::current());
        let shared = shared.clone();
        App::new().wrap(from_fn(close_unread)).configure(move |config| routes::configure(config, &shared))
    })
    .workers(config.workers)
    .client_request_timeout(HEAD_TIMEOUT)
    .keep_alive(KEEP_ALIVE)
    .shutdown_timeout(2)
    .disable_signals()
    .bind(config.listen)
    .with_context(|| format!("listen = {}: cannot be bound; is another process there?", config.listen))?;
    let addr = *server.addrs().first().context("the server is bound to no address")?;
    Ok((server.run(), addr))
}
