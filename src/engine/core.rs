//! What all actors of the process share.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::sync::Notify;

use super::carried::Budget;
use super::clock::Clock;
use super::config::EngineConfig;
use super::observe::Observations;
use super::settler::Settler;
use crate::cluster::Leases;
use crate::directory::Directory;
use crate::domain::{EventIds, ShardId, WebhookId};
use crate::store::Store;
use crate::telemetry::meters::Meters;
use crate::transport::Transport;

#[derive(Debug)]
pub(super) struct Core {
    pub(super) store: Arc<dyn Store>,
    pub(super) directory: Arc<Directory>,
    pub(super) transport: Transport,
    pub(super) config: EngineConfig,
    pub(super) clock: Clock,
    pub(super) ids: EventIds,
    pub(super) budget: Arc<Budget>,
    pub(super) settler: Settler,
    /// What this node may deliver for.
    pub(super) leases: Arc<Leases>,
    /// No new attempt starts.
    pub(super) draining: AtomicBool,
    /// Ingest is refused until deliveries have ended.
    pub(super) backlog_is_full: AtomicBool,
    pub(super) flights: Flights,
    pub(super) meters: Meters,
    pub(super) observations: Observations,
}

/// Keeps an attempt counted as in flight until what follows from its end is in the settlements' buffer.
#[derive(Debug)]
pub(super) struct Airborne(pub(super) Arc<Core>);

impl Drop for Airborne {
    fn drop(&mut self) {
        self.0.flights.landed();
    }
}

impl Core {
    /// Whether this node owns the webhook's lane now (P9).
    pub(super) fn serves(&self, webhook: WebhookId) -> bool {
        self.leases.owns(ShardId::of_webhook(webhook.as_u128()), self.clock.mono())
    }
}

/// Attempts in flight, over all threads.
#[derive(Debug, Default)]
pub(super) struct Flights {
    count: AtomicUsize,
    landed: Notify,
}

impl Flights {
    pub(super) fn took_off(&self) {
        self.count.fetch_add(1, Ordering::Relaxed);
    }

    fn landed(&self) {
        if self.count.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.landed.notify_waiters();
        }
    }

    pub(super) fn count(&self) -> usize {
        self.count.load(Ordering::Acquire)
    }

    /// Waits until none is in flight.
    pub(super) async fn all_landed(&self) {
        loop {
            // Armed before looking: a landing between the look and the wait is not missed.
            let landed = self.landed.notified();
            if self.count() == 0 {
                return;
            }
            landed.await;
        }
    }
}
