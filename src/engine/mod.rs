//! The room of the actors: instances route, webhooks deliver. The only place that knows actix.
//!
//! ```text
//! Engine::ingest ─▶ LoftActor ─▶ InstanceActor ─▶ committer ═append═▶ store
//!   (one loft a thread)                               │ committed
//!                      WebhookActor ◀─── LoftActor ◀──┘
//!                        │ permit          attempt task ─HTTP─▶ receiver
//!                        └────────────────▶    │
//!                      settler ◀── WebhookActor ◀┘ finished
//!                        ═settle═▶ store
//! ```
//!
//! Actors decide and never wait; tasks do I/O; credit is taken before something is sent, because a mailbox's capacity bounds nothing.

mod attempt;
mod background;
mod carried;
mod clock;
mod committer;
mod config;
mod core;
mod handle;
mod instance;
mod lane;
mod loft;
mod observe;
mod operate;
mod ownership;
mod room;
mod runway;
mod settler;
mod shards;
mod shelf;
mod slot;
mod stats;
mod supervise;
mod top;
mod webhook;

use std::time::Duration;

use serde::Serialize;

pub use self::clock::Clock;
pub use self::config::EngineConfig;
pub use self::handle::{Engine, Parts};
pub use self::lane::LaneBounds;
pub use self::observe::{HELD_BY, Observed, PAUSED};
pub use self::top::{Standing, Top};
use crate::domain::{Attempt, EventId, Timestamp};
use crate::policy::CircuitState;
use crate::store::StoreError;

/// The answer to an ingest request: given after the events are durable.
#[derive(Clone, Debug, Default)]
pub struct Accepted {
    /// In the order of the request; a duplicate has the id of the first time.
    pub ids: Vec<EventId>,
    pub duplicates: usize,
}

#[derive(Debug, thiserror::Error)]
pub enum IngestError {
    #[error("instance not found")]
    UnknownInstance,
    #[error("{max} deliveries are unfinished, the most there may be; try again in {} s", .retry_after.as_secs())]
    Backlog { max: u64, retry_after: Duration },
    #[error("the engine is at its bound of {bound}; try again in {} s", .retry_after.as_secs())]
    Busy { bound: &'static str, retry_after: Duration },
    #[error("the engine is shutting down")]
    ShuttingDown,
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl IngestError {
    /// A fixed word for metrics.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::UnknownInstance => "unknown_instance",
            Self::Backlog { .. } => "backlog",
            Self::Busy { .. } => "busy",
            Self::ShuttingDown => "shutting_down",
            Self::Store(_) => "store",
        }
    }
}

/// What a webhook's actor says of itself; the defaults when it is not running because nothing is due.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct WebhookStatus {
    pub circuit: Option<CircuitState>,
    pub in_flight: u32,
    pub window: u32,
    pub waiting_in_memory: u32,
    pub blocked_keys: u32,
    pub next_due_at: Option<Timestamp>,
    pub last_success_at: Option<Timestamp>,
    pub last_failure_at: Option<Timestamp>,
    /// Since the process started.
    pub delivered: u64,
    pub failed_attempts: u64,
    pub latency_p50_ms: f64,
    pub latency_p99_ms: f64,
}

#[derive(Debug, thiserror::Error)]
pub enum OperateError {
    #[error("webhook not found")]
    UnknownWebhook,
    #[error("delivery not found, or its event is past its retention")]
    UnknownDelivery,
    #[error("the delivery is being attempted right now")]
    InFlight,
    #[error("{0}")]
    Refused(String),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What `/test` saw.
#[derive(Clone, Debug)]
pub struct TestReport {
    pub event: EventId,
    pub attempt: Attempt,
}

/// What became of a wish to have a waiting delivery attempted now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum HastenReply {
    Hastened,
    InFlight,
    /// It does not wait in memory: the store knows more.
    NotWaiting,
}
