//! Fills the gauges every few seconds.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use metrics::{counter, gauge};

use super::runtimes::Runtimes;
use crate::cluster::{Leases, Moved};
use crate::directory::Directory;
use crate::domain::{LaneClass, ShardId, Timestamp, WebhookId};
use crate::engine::{Engine, HELD_BY, Observed, PAUSED};
use crate::store::{LaneCounts, Store};
use crate::telemetry::metrics::MetricsHandle;
use crate::telemetry::{names, process, repeats};

const EVERY: Duration = Duration::from_secs(2);
/// A store that has not answered by then counts as away.
const STORE_PATIENCE: Duration = Duration::from_secs(10);
const CLASSES: [(LaneClass, &str); 4] = [
    (LaneClass::Retry, "retry"),
    (LaneClass::Live, "live"),
    (LaneClass::Low, "history"),
    (LaneClass::Parked, "parked"),
];

#[derive(Debug)]
pub(super) struct Observer {
    pub(super) store: Arc<dyn Store>,
    /// `embedded` or `redis`.
    pub(super) store_kind: &'static str,
    pub(super) directory: Arc<Directory>,
    pub(super) engine: Engine,
    pub(super) leases: Arc<Leases>,
    pub(super) recorder: MetricsHandle,
    pub(super) runtimes: Runtimes,
}

impl Observer {
    pub(super) async fn run(self) {
        let started = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        gauge!(names::PROCESS_START_SECONDS).set(started.as_secs_f64());
        let (version, durability) = (env!("CARGO_PKG_VERSION"), self.store.durability().as_str());
        gauge!(names::BUILD_INFO, "version" => version, "store" => self.store_kind, "durability" => durability)
            .set(1.0);
        counter!(names::LOG_SUPPRESSED).increment(0);
        gauge!(names::BACKLOG_LIMIT).set(self.engine.config().max_backlog as f64);
        gauge!(names::UNSETTLED_LIMIT).set(self.engine.config().max_unsettled as f64);
        loop {
            let observed = self.engine();
            // One that hangs must not stop the other figures.
            if tokio::time::timeout(STORE_PATIENCE, self.store(&observed)).await.is_err() {
                gauge!(names::STORE_UP).set(0.0);
            }
            self.cluster();
            self.directory();
            self.runtimes.observe();
            process::observe();
            counter!(names::OBSERVATIONS).increment(1);
            repeats::tell();
            self.recorder.run_upkeep();
            tokio::time::sleep(EVERY).await;
        }
    }

    fn engine(&self) -> Observed {
        let (now, observed) = (Timestamp::now(), self.engine.observe());
        let age = |since: Option<Timestamp>| since.map_or(0.0, |since| now.since(since).as_secs_f64());
        for (held_by, name) in HELD_BY.into_iter().enumerate() {
            gauge!(names::OLDEST_SECONDS, "state" => name).set(age(observed.oldest[held_by]));
            gauge!(names::ACTIVE_WEBHOOKS, "state" => name).set(observed.active[held_by] as f64);
        }
        gauge!(names::OLDEST_SECONDS, "state" => "in_flight").set(age(observed.oldest_flight));
        gauge!(names::OLDEST_SECONDS, "state" => "retry").set(age(observed.oldest_retry));
        for (state, count) in ["closed", "open", "probing"].into_iter().zip(observed.circuits) {
            gauge!(names::CIRCUITS, "state" => state).set(count as f64);
        }
        gauge!(names::ACTORS, "kind" => "instance").set(observed.instances as f64);
        gauge!(names::ACTORS, "kind" => "webhook").set(observed.webhooks as f64);
        gauge!(names::MAILBOX).set(observed.mailbox as f64);
        gauge!(names::IN_FLIGHT).set(self.engine.in_flight() as f64);
        gauge!(names::UNSETTLED).set(self.engine.unsettled() as f64);
        gauge!(names::MEMORY_BYTES).set(self.engine.memory_used() as f64);
        let (sockets, max_sockets) = self.engine.sockets();
        gauge!(names::OPEN_SOCKETS).set(sockets as f64);
        gauge!(names::MAX_SOCKETS).set(max_sockets as f64);
        observed
    }

    async fn store(&self, observed: &Observed) {
        let is_up = self.store.check().await.is_ok();
        gauge!(names::STORE_UP).set(f64::from(u8::from(is_up)));
        let stats = self.store.stats();
        counter!(names::STORE_COMMITS).absolute(stats.commits);
        if self.store_kind == "embedded" {
            gauge!(names::STORE_DISK_BYTES).set(stats.disk_bytes as f64);
            gauge!(names::STORE_DISK_FREE_BYTES).set(stats.disk_free_bytes as f64);
            gauge!(names::STORE_DISK_RESERVE_BYTES).set(stats.disk_reserve_bytes as f64);
            counter!(names::STORE_FSYNCS).absolute(stats.fsyncs);
            counter!(names::STORE_WRITTEN_BYTES).absolute(stats.written_bytes);
        } else {
            gauge!(names::REDIS_MEMORY_BYTES).set(stats.memory_bytes as f64);
            gauge!(names::REDIS_MEMORY_LIMIT_BYTES).set(stats.memory_limit_bytes as f64);
        }
        gauge!(names::DEPTH, "state" => "dead").set(stats.dead as f64);
        if let Ok(lanes) = self.store.active_lanes().await {
            self.lanes(&lanes, observed);
        }
    }

    /// What waits in the lanes of this node's shards.
    fn lanes(&self, lanes: &[(WebhookId, LaneCounts)], observed: &Observed) {
        let (leases, now) = (&self.leases, Instant::now());
        let is_ours = |webhook: &WebhookId| leases.owns(ShardId::of_webhook(webhook.as_u128()), now);
        let ours = || lanes.iter().filter(|(webhook, _)| is_ours(webhook));
        for (class, name) in CLASSES {
            let depth: u64 = ours().map(|(_, counts)| counts.waiting[class as usize]).sum();
            gauge!(names::BACKLOG, "part" => name).set(depth as f64);
        }
        let delivers = |webhook| self.directory.webhook(webhook).is_some_and(|webhook| webhook.is_delivering());
        let paused: u64 =
            ours().filter(|(webhook, _)| !delivers(*webhook)).map(|(_, counts)| counts.unfinished()).sum();
        for (held_by, name) in HELD_BY.into_iter().enumerate() {
            let depth = if held_by == PAUSED { paused } else { observed.waiting[held_by] };
            gauge!(names::DEPTH, "state" => name).set(depth as f64);
        }
        gauge!(names::DEPTH, "state" => "in_flight").set(self.engine.in_flight() as f64);
        gauge!(names::DEPTH, "state" => "retry").set(observed.retrying as f64);
    }

    fn cluster(&self) {
        let leases = &self.leases;
        gauge!(names::SHARDS_OWNED).set(leases.owned(Instant::now()).count() as f64);
        gauge!(names::NODES).set(leases.nodes() as f64);
        counter!(names::SHARDS_GAINED).absolute(leases.moved(Moved::Gained));
        counter!(names::LEASE_LOSSES, "reason" => "handed_over").absolute(leases.moved(Moved::HandedOver));
        counter!(names::LEASE_LOSSES, "reason" => "lost").absolute(leases.moved(Moved::Lost));
    }

    fn directory(&self) {
        let mut states = [("enabled", 0u64), ("off", 0), ("paused", 0), ("disabled", 0)];
        for webhook in self.directory.all_webhooks() {
            let state = match () {
                () if webhook.disabled_reason.is_some() => 3,
                () if !webhook.enabled => 1,
                () if webhook.paused => 2,
                () => 0,
            };
            states[state].1 += 1;
        }
        for (state, count) in states {
            gauge!(names::WEBHOOKS, "state" => state).set(count as f64);
        }
        gauge!(names::INSTANCES).set(self.directory.instance_count() as f64);
    }
}
