//! Fills the gauges every few seconds, and drains what histograms have gathered.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use metrics::{counter, gauge};
use metrics_exporter_prometheus::PrometheusHandle;

use crate::directory::Directory;
use crate::domain::{LaneClass, Timestamp};
use crate::engine::{Engine, HELD_BY};
use crate::store::Store;
use crate::telemetry::{names, process};

const EVERY: Duration = Duration::from_secs(2);

#[derive(Debug)]
pub(super) struct Observer {
    pub(super) store: Arc<dyn Store>,
    pub(super) directory: Arc<Directory>,
    pub(super) engine: Engine,
    pub(super) recorder: PrometheusHandle,
}

impl Observer {
    pub(super) async fn run(self) {
        let started = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        gauge!(names::PROCESS_START_SECONDS).set(started.as_secs_f64());
        let durability = self.store.durability().as_str();
        gauge!(names::BUILD_INFO, "version" => env!("CARGO_PKG_VERSION"), "durability" => durability).set(1.0);
        loop {
            self.engine();
            self.store().await;
            self.directory();
            process::observe();
            self.recorder.run_upkeep();
            tokio::time::sleep(EVERY).await;
        }
    }

    fn engine(&self) {
        let (now, observed) = (Timestamp::now(), self.engine.observe());
        for (held_by, name) in HELD_BY.into_iter().enumerate() {
            let age = observed.oldest[held_by].map_or(0.0, |due| now.since(due).as_secs_f64());
            gauge!(names::OLDEST_SECONDS, "state" => name).set(age);
            gauge!(names::ACTIVE_WEBHOOKS, "state" => name).set(observed.active[held_by] as f64);
        }
        gauge!(names::ACTORS, "kind" => "instance").set(observed.instances as f64);
        gauge!(names::ACTORS, "kind" => "webhook").set(observed.webhooks as f64);
        gauge!(names::MAILBOX).set(observed.mailbox as f64);
        gauge!(names::IN_FLIGHT).set(self.engine.in_flight() as f64);
        gauge!(names::UNSETTLED).set(self.engine.unsettled() as f64);
        gauge!(names::MEMORY_BYTES).set(self.engine.memory_used() as f64);
    }

    async fn store(&self) {
        let is_up = self.store.check().await.is_ok();
        gauge!(names::STORE_UP).set(f64::from(u8::from(is_up)));
        let stats = self.store.stats();
        gauge!(names::STORE_DISK_BYTES).set(stats.disk_bytes as f64);
        gauge!(names::STORE_DISK_FREE_BYTES).set(stats.disk_free_bytes as f64);
        counter!(names::STORE_COMMITS).absolute(stats.commits);
        counter!(names::STORE_FSYNCS).absolute(stats.fsyncs);
        let Ok(lanes) = self.store.active_lanes().await else { return };
        let classes = [
            (LaneClass::Retry, "retry"),
            (LaneClass::Live, "fresh"),
            (LaneClass::Low, "history"),
            (LaneClass::Parked, "parked"),
        ];
        for (class, state) in classes {
            let depth: u64 = lanes.iter().map(|(_, counts)| counts.waiting[class as usize]).sum();
            gauge!(names::DEPTH, "state" => state).set(depth as f64);
        }
        gauge!(names::DEPTH, "state" => "dead").set(stats.dead as f64);
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
