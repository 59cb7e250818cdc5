//! The Prometheus recorder of the process: the exporter's, but that counters and histograms add up in `folded`.

use std::sync::{Arc, OnceLock};

use metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, SharedString, Unit};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle, PrometheusRecorder};
use parking_lot::Mutex;

use super::folded::Folded;
use super::names;

/// `metrics` has one recorder a process; several apps in one process (tests) share it.
static RECORDER: OnceLock<MetricsHandle> = OnceLock::new();

/// Tells what was recorded.
#[derive(Clone, Debug)]
pub struct MetricsHandle {
    exporter: PrometheusHandle,
    folded: Arc<Folded>,
}

impl MetricsHandle {
    /// In the Prometheus text format 0.0.4.
    #[must_use]
    pub fn render(&self) -> String {
        self.folded.tell_counters();
        let mut text = self.exporter.render();
        self.folded.write_histograms(&mut text);
        text
    }

    /// What the exporter wants to be asked for now and then.
    pub fn run_upkeep(&self) {
        self.exporter.run_upkeep();
    }
}

/// Somebody else in the process takes the metrics.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("another recorder of metrics is in place")]
pub struct AnotherRecorder;

/// Installs the recorder, or answers the one installed before.
///
/// # Errors
/// When another recorder is in place.
pub fn install() -> Result<MetricsHandle, AnotherRecorder> {
    static INSTALLING: Mutex<()> = Mutex::new(());
    let _alone = INSTALLING.lock();
    if let Some(handle) = RECORDER.get() {
        return Ok(handle.clone());
    }
    let exporter = PrometheusBuilder::new().build_recorder();
    let handle = MetricsHandle { exporter: exporter.handle(), folded: Arc::default() };
    let recorder = Recorder { exporter, folded: Arc::clone(&handle.folded) };
    metrics::set_global_recorder(recorder).map_err(|_| AnotherRecorder)?;
    names::describe();
    Ok(RECORDER.get_or_init(|| handle).clone())
}

struct Recorder {
    exporter: PrometheusRecorder,
    folded: Arc<Folded>,
}

impl metrics::Recorder for Recorder {
    fn describe_counter(&self, name: KeyName, unit: Option<Unit>, help: SharedString) {
        self.exporter.describe_counter(name, unit, help);
    }

    fn describe_gauge(&self, name: KeyName, unit: Option<Unit>, help: SharedString) {
        self.exporter.describe_gauge(name, unit, help);
    }

    fn describe_histogram(&self, name: KeyName, _: Option<Unit>, help: SharedString) {
        self.folded.describe_histogram(name.as_str(), &help);
    }

    fn register_counter(&self, key: &Key, metadata: &Metadata<'_>) -> Counter {
        self.folded.counter(key, || self.exporter.register_counter(key, metadata))
    }

    fn register_gauge(&self, key: &Key, metadata: &Metadata<'_>) -> Gauge {
        self.exporter.register_gauge(key, metadata)
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        self.folded.histogram(key, names::buckets(key.name()))
    }
}
