//! One HTTP request to a receiver, safely.
//!
//! Promises:
//! - Nothing is sent twice: a request is repeated on another connection only when it was certainly not processed.
//! - No connection is made to an address the [`TargetPolicy`] refuses. The address that was checked is the address that
//!   is connected to, so a name that changes its answer between check and use gains nothing.
//! - An attempt ends within its timeout, and the answer's body costs at most `max_response_bytes` and
//!   `max_response_time`, whatever the receiver does.
//! - Redirects are not followed, proxies are not taken from the environment.
//!
//! Reading order: [`target`](Target) and `ssrf` (where we may go), `dial` (how we get there), `pool` (connections we
//! keep), `endpoint` (an attempt from start to end), `failure` (what to call what went wrong).

mod connection;
mod dial;
mod endpoint;
mod failure;
mod http1;
mod plain;
mod pool;
mod proxy;
mod request;
mod resolver;
mod response;
mod route;
mod sockets;
mod ssrf;
mod target;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod tls;
mod trace;
mod watch;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderValue};

pub use endpoint::Endpoint;
pub use request::AttemptHeaders;
pub use resolver::{Resolve, Resolving, SystemResolver};
pub use target::Target;

/// Which receivers may be reached.
#[derive(Clone, Debug, Default)]
pub struct TargetPolicy {
    pub allow_http: bool,
    /// CIDRs of private ranges that are allowed. A cloud's metadata address needs an entry of its own (`/32`, `/128`).
    pub allow_networks: Vec<ipnet::IpNet>,
    /// Host names (exact, case-insensitive) whose addresses are allowed wherever they are.
    pub allow_hosts: Vec<String>,
}

#[derive(Clone, Debug)]
pub struct TransportConfig {
    pub targets: TargetPolicy,
    pub extra_ca_file: Option<PathBuf>,
    /// `http://host:port` of a forward proxy; `None`: no proxy, whatever the environment says.
    pub proxy: Option<String>,
    pub max_response_bytes: usize,
    pub max_response_time: Duration,
    pub keep_alive: Duration,
    /// Most connections to receivers at once, over all webhooks.
    pub max_sockets: usize,
    /// Idle connections to all receivers together; the oldest are closed beyond it.
    pub max_idle_connections: usize,
    pub user_agent: String,
}

#[derive(Debug, thiserror::Error)]
pub enum TransportError {
    #[error("extra_ca_file {path}: {problem}")]
    ExtraCa { path: String, problem: String },
    #[error("proxy: {0}")]
    Proxy(String),
}

/// Shared by all webhooks: TLS configuration, policy, resolver.
#[derive(Clone, Debug)]
pub struct Transport {
    shared: Arc<Shared>,
}

/// What every endpoint needs and none owns.
#[derive(Debug)]
struct Shared {
    targets: TargetPolicy,
    tls: Arc<rustls::ClientConfig>,
    proxy: Option<proxy::Proxy>,
    resolver: Arc<dyn Resolve>,
    limits: response::Limits,
    keep_alive: Duration,
    sockets: Arc<sockets::Sockets>,
    user_agent: Option<HeaderValue>,
}

impl Transport {
    /// # Errors
    /// When the extra CA file cannot be read or the proxy is not a URL.
    pub fn new(config: TransportConfig) -> Result<Self, TransportError> {
        Self::with_resolver(config, Arc::new(SystemResolver))
    }

    /// As [`Transport::new`], with names answered by `resolver` instead of the platform. Answers are checked all the same.
    pub fn with_resolver(config: TransportConfig, resolver: Arc<dyn Resolve>) -> Result<Self, TransportError> {
        let proxy = config.proxy.as_deref().map(proxy::Proxy::parse).transpose()?;
        let tls = tls::client_config(config.extra_ca_file.as_deref())?;
        Ok(Self {
            shared: Arc::new(Shared {
                targets: config.targets,
                tls: Arc::new(tls),
                proxy,
                resolver,
                limits: response::Limits { bytes: config.max_response_bytes, time: config.max_response_time },
                keep_alive: config.keep_alive,
                sockets: sockets::Sockets::new(config.max_sockets, config.max_idle_connections),
                user_agent: HeaderValue::from_str(&config.user_agent).ok(),
            }),
        })
    }

    /// The connections of one webhook. Lives on one thread, inside a `LocalSet`. A webhook whose URL or headers change
    /// gets a new endpoint; requests in flight on the old one finish there.
    #[must_use]
    pub fn endpoint(&self, target: &Target, headers: HeaderMap) -> Endpoint {
        Endpoint::new(Arc::clone(&self.shared), target, headers)
    }

    /// Sockets to receivers: how many are open or being opened, over all webhooks, and how many may be.
    #[must_use]
    pub fn sockets(&self) -> (usize, usize) {
        self.shared.sockets.used()
    }

    #[must_use]
    pub fn targets(&self) -> &TargetPolicy {
        &self.shared.targets
    }
}
