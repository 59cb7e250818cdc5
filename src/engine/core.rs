//! What all actors of the process share.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use super::carried::Budget;
use super::clock::Clock;
use super::config::EngineConfig;
use super::observe::Observations;
use super::settler::Settler;
use super::shards::{Shards, Since};
use crate::directory::Directory;
use crate::domain::{EventIds, ShardId, WebhookId};
use crate::store::Store;
use crate::telemetry::meters::Meters;
use crate::telemetry::traces::Tracer;
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
    /// What this node may deliver for, and what of it is in flight.
    pub(super) shards: Shards,
    /// No new attempt starts.
    pub(super) draining: AtomicBool,
    /// Ingest is refused until deliveries have ended.
    pub(super) backlog_is_full: AtomicBool,
    pub(super) meters: Meters,
    pub(super) tracer: Option<Tracer>,
    pub(super) observations: Observations,
}

/// Keeps an attempt counted as in flight until what follows from its end is in the settlements' buffer.
#[derive(Debug)]
pub(super) struct Airborne {
    core: Arc<Core>,
    shard: ShardId,
}

impl Airborne {
    /// Takes over from [`Shards::took_off`].
    pub(super) fn of(core: &Arc<Core>, webhook: WebhookId) -> Self {
        Self { core: Arc::clone(core), shard: ShardId::of_webhook(webhook.as_u128()) }
    }
}

impl Drop for Airborne {
    fn drop(&mut self) {
        self.core.shards.landed(self.shard);
    }
}

impl Core {
    /// Whether this node owns the webhook's lane now (P9).
    pub(super) fn serves(&self, webhook: WebhookId) -> bool {
        self.shards.serves(webhook, self.clock.mono())
    }

    pub(super) fn now(&self) -> Since {
        Since { mono: self.clock.mono(), wall: self.clock.wall() }
    }
}
