//! Settings: one table, four sources (default < file < environment < flag), every problem of every source told at once.
//!
//! [`load`] is the way in; it touches nothing but the file, so `pombo config` can show what a start would use.

pub mod env;
pub mod file;
pub mod merge;
pub mod parse;
pub mod print;
pub mod problem;
pub mod secret;
pub mod settings;
pub mod validate;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

pub use merge::{Given, Loaded, load};
pub use problem::{Bad, ConfigError, Problem, Source};
pub use secret::SecretText;
pub use settings::{SETTINGS, Setting};

use crate::policy::{BreakerConfig, RetryLimits};
use crate::store::{Durability, Retention};
use crate::transport::{TargetPolicy, TransportConfig};

/// The file that is read from the working directory when no other is named.
pub const DEFAULT_FILE: &str = "pombo.toml";

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LogFormat {
    Text,
    Json,
}

/// Directives of `tracing_subscriber::EnvFilter`, known to parse.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LogLevel(String);

impl LogLevel {
    /// # Errors
    /// When the text is no set of directives.
    pub fn parse(text: &str) -> Result<Self, Bad> {
        let remedy = "write error, warn, info, debug or trace, or directives such as info,pombo::engine=debug";
        // A lone unknown word parses as the name of a target: a mistyped level must not become silence.
        let plain = text.chars().all(|letter| letter.is_ascii_alphanumeric());
        if plain && text.parse::<tracing::level_filters::LevelFilter>().is_err() {
            return Err(Bad::new("not a log level", remedy));
        }
        match tracing_subscriber::EnvFilter::try_new(text) {
            Ok(_) if !text.is_empty() => Ok(Self(text.to_owned())),
            _ => Err(Bad::new("not a log level", remedy)),
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[derive(Clone, Debug)]
pub struct Logging {
    pub format: LogFormat,
    pub level: LogLevel,
}

/// What becomes of traces.
#[derive(Clone, Debug, Default)]
pub struct Tracing {
    /// Receivers get a `traceparent`.
    pub send: bool,
    /// The collector; `None`: spans are not made.
    pub otlp_url: Option<url::Url>,
    /// Share of the requests without a `traceparent` that are traced.
    pub sample: f64,
}

/// Bounds on what callers may ask for.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// A request's body, also after inflating it.
    pub max_body_bytes: usize,
    pub max_events_per_request: usize,
    /// Unfinished deliveries.
    pub max_backlog: u64,
    /// Bodies of ingest requests being worked on.
    pub max_in_flight_bytes: u64,
}

/// How the store on Redis is reached and when a commit counts.
#[derive(Clone, Default, Debug)]
pub struct RedisOptions {
    pub wait_replicas: u8,
    pub wait_aof: bool,
    pub ca_file: Option<PathBuf>,
    pub cert_file: Option<PathBuf>,
    pub key_file: Option<PathBuf>,
}

/// Everything a process needs to know, checked.
#[derive(Clone, Debug)]
pub struct Config {
    pub listen: SocketAddr,
    pub data_dir: PathBuf,
    pub admin_token: Option<SecretText>,
    pub redis_url: Option<SecretText>,
    pub durability: Durability,
    /// `None`: anything will do.
    pub require_durability: Option<Durability>,
    pub targets: TargetPolicy,
    pub extra_ca_file: Option<PathBuf>,
    pub proxy: Option<String>,
    pub workers: usize,
    pub engine_threads: usize,
    pub shutdown_delay: Duration,
    pub shutdown_grace: Duration,
    pub log: Logging,
    pub memory_budget_bytes: u64,
    pub retention: Retention,
    pub limits: Limits,
    pub retry: RetryLimits,
    pub disable_after: Duration,
    pub breaker: BreakerConfig,
    pub max_response_bytes: usize,
    pub max_response_time: Duration,
    pub keep_alive: Duration,
    pub max_idle_connections: usize,
    pub redis: RedisOptions,
    pub trace: Tracing,
}

impl Config {
    /// What deliveries use to reach receivers.
    pub fn transport(&self) -> TransportConfig {
        TransportConfig {
            targets: self.targets.clone(),
            extra_ca_file: self.extra_ca_file.clone(),
            proxy: self.proxy.clone(),
            max_response_bytes: self.max_response_bytes,
            max_response_time: self.max_response_time,
            keep_alive: self.keep_alive,
            max_sockets: usize::MAX,
            max_idle_connections: self.max_idle_connections,
            user_agent: concat!("Pombo/", env!("CARGO_PKG_VERSION")).to_owned(),
        }
    }

    /// Neither defaults nor usable: what the table's defaults are written into.
    pub(crate) fn blank() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            data_dir: PathBuf::new(),
            admin_token: None,
            redis_url: None,
            durability: Durability::Fsync,
            require_durability: None,
            targets: TargetPolicy::default(),
            extra_ca_file: None,
            proxy: None,
            workers: 1,
            engine_threads: 1,
            shutdown_delay: Duration::ZERO,
            shutdown_grace: Duration::ZERO,
            log: Logging { format: LogFormat::Text, level: LogLevel(String::new()) },
            memory_budget_bytes: 0,
            retention: Retention {
                history: Duration::ZERO,
                history_max_bytes: 0,
                dead: Duration::ZERO,
                messages: Duration::ZERO,
            },
            limits: Limits { max_body_bytes: 0, max_events_per_request: 0, max_backlog: 0, max_in_flight_bytes: 0 },
            retry: RetryLimits { jitter: 0.0, max_retry_after: Duration::ZERO },
            disable_after: Duration::ZERO,
            // The ramp is not a setting: five doublings lead from one request to a full default window.
            breaker: BreakerConfig { failures: 1, open_for: Duration::ZERO, max_open: Duration::ZERO, ramp_steps: 5 },
            max_response_bytes: 0,
            max_response_time: Duration::ZERO,
            keep_alive: Duration::ZERO,
            max_idle_connections: 0,
            redis: RedisOptions::default(),
            trace: Tracing::default(),
        }
    }
}

impl Default for Config {
    /// Every setting at its default.
    fn default() -> Self {
        let mut config = Self::blank();
        for setting in SETTINGS {
            (setting.apply)(&mut config, setting.default)
                .expect("the table's defaults are valid: a test reads them all");
        }
        config
    }
}
