//! What the API tells of a webhook's attempts since the process started.

use hdrhistogram::Histogram;

use crate::domain::{Outcome, Timestamp};
use crate::engine::WebhookStatus;

/// One significant figure, 0.1 ms to 2 min: about a kilobyte a webhook.
#[derive(Debug, Default)]
pub(super) struct Stats {
    delivered: u64,
    failed: u64,
    last_success_at: Option<Timestamp>,
    last_failure_at: Option<Timestamp>,
    latency: Option<Histogram<u32>>,
}

/// Tenths of a millisecond.
const UNIT_US: u32 = 100;
const MAX_UNITS: u64 = 1_200_000;

impl Stats {
    pub(super) fn attempt(&mut self, outcome: &Outcome, at: Timestamp) {
        if outcome.is_success() {
            self.delivered += 1;
            self.last_success_at = Some(at);
        } else {
            self.failed += 1;
            self.last_failure_at = Some(at);
        }
        let latency = self.latency.get_or_insert_with(|| {
            Histogram::new_with_bounds(1, MAX_UNITS, 1).expect("the bounds are constants that the histogram takes")
        });
        latency.saturating_record(u64::from(outcome.phases.total_us / UNIT_US).max(1));
    }

    pub(super) fn describe(&self) -> WebhookStatus {
        let quantile = |q| self.latency.as_ref().map_or(0.0, |latency| latency.value_at_quantile(q) as f64 / 10.0);
        WebhookStatus {
            delivered: self.delivered,
            failed_attempts: self.failed,
            last_success_at: self.last_success_at,
            last_failure_at: self.last_failure_at,
            latency_p50_ms: quantile(0.5),
            latency_p99_ms: quantile(0.99),
            ..WebhookStatus::default()
        }
    }
}
