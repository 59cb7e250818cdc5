//! What the engine is told at its start.

use std::time::Duration;

use super::lane::LaneBounds;
use crate::policy::{BreakerConfig, RetryLimits};

/// Settings of the engine; the process's settings are in `crate::config`.
#[derive(Clone, Debug)]
pub struct EngineConfig {
    /// Threads that deliver. An instance and its webhooks live on one of them.
    pub threads: usize,
    /// Events held in memory between acceptance and delivery, in bytes.
    pub memory_budget_bytes: u64,
    /// Events of ingest requests that are not yet durable, in bytes: past it ingest answers 503.
    pub max_ingest_bytes: u64,
    /// Unfinished deliveries over all webhooks: past it ingest answers 429.
    pub max_backlog: u64,
    /// Settlements handed to the store and not answered: past it no attempt starts. Bounds what a crash repeats (P3).
    pub max_unsettled: usize,
    pub bounds: LaneBounds,
    pub breaker: BreakerConfig,
    pub initial_window: u32,
    pub retry: RetryLimits,
    /// A webhook that has only failed for this long is disabled.
    pub disable_after: Duration,
    /// Receivers get a `traceparent`.
    pub send_traceparent: bool,
    /// An actor with nothing to do for this long ends; what it knows of its receiver's health is kept.
    pub idle_after: Duration,
}

impl Default for EngineConfig {
    fn default() -> Self {
        Self {
            threads: std::thread::available_parallelism().map_or(2, usize::from),
            memory_budget_bytes: 64 << 20,
            max_ingest_bytes: 64 << 20,
            max_backlog: 50_000_000,
            max_unsettled: 4_096,
            bounds: LaneBounds::default(),
            breaker: BreakerConfig {
                failures: 8,
                open_for: Duration::from_secs(5),
                max_open: Duration::from_mins(5),
                ramp_steps: 8,
            },
            initial_window: 8,
            retry: RetryLimits { jitter: 0.2, max_retry_after: Duration::from_hours(1) },
            disable_after: Duration::from_hours(120),
            send_traceparent: false,
            idle_after: Duration::from_mins(1),
        }
    }
}
