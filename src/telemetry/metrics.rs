//! The Prometheus recorder of the process.

use std::sync::OnceLock;

use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};

use super::names;

/// `metrics` has one recorder a process; several apps in one process (tests) share it.
static RECORDER: OnceLock<PrometheusHandle> = OnceLock::new();

/// Installs the recorder, or answers the one installed before.
///
/// # Errors
/// When another recorder is in place.
pub fn install() -> Result<PrometheusHandle, BuildError> {
    if let Some(handle) = RECORDER.get() {
        return Ok(handle.clone());
    }
    let handle = PrometheusBuilder::new()
        .set_buckets(names::TIME_BUCKETS)?
        .set_buckets_for_metric(Matcher::Full(names::LAG_SECONDS.into()), names::WAIT_BUCKETS)?
        .set_buckets_for_metric(Matcher::Full(names::DELIVERY_SECONDS.into()), names::WAIT_BUCKETS)?
        .set_buckets_for_metric(Matcher::Full(names::COMMIT_EVENTS.into()), names::SIZE_BUCKETS)?
        .set_buckets_for_metric(Matcher::Full(names::SETTLE_BATCH.into()), names::SIZE_BUCKETS)?
        .install_recorder();
    match handle {
        Ok(handle) => {
            names::describe();
            Ok(RECORDER.get_or_init(|| handle).clone())
        }
        // Somebody was faster.
        Err(error) => RECORDER.get().cloned().ok_or(error),
    }
}
