//! What the API tells of a webhook's attempts: since its actor started, and lately.

use std::time::Duration;

use hdrhistogram::Histogram;

use crate::domain::{Outcome, Timestamp};
use crate::engine::WebhookStatus;

/// One significant figure, 0.1 ms to 2 min: as much memory as the slowest attempt needs, some 200 bytes up to 10 ms, 1 KiB at 2 min.
#[derive(Debug, Default)]
pub(super) struct Stats {
    delivered: u64,
    failed: u64,
    last_success_at: Option<Timestamp>,
    last_failure_at: Option<Timestamp>,
    latency: Option<Histogram<u32>>,
    span: Recent,
    span_before: Recent,
}

/// Attempts of a span of time.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Recent {
    since: Timestamp,
    pub(super) attempts: u32,
    pub(super) failed: u32,
    pub(super) total_us: u64,
}

/// *Lately*: the last five to ten minutes.
const SPAN: Duration = Duration::from_mins(5);

impl Recent {
    pub(super) fn mean_us(&self) -> u64 {
        self.total_us / u64::from(self.attempts.max(1))
    }

    fn is_over(&self, spans: u32, now: Timestamp) -> bool {
        now.since(self.since) >= SPAN * spans
    }
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
        let latency = self
            .latency
            .get_or_insert_with(|| Histogram::new(1).expect("one significant figure is what the histogram takes"));
        let units = u64::from(outcome.phases.total_us / UNIT_US).clamp(1, MAX_UNITS);
        latency.record(units).expect("the histogram grows up to the largest value");
        if self.span.is_over(1, at) {
            self.span_before = if self.span.is_over(2, at) { Recent::default() } else { self.span };
            self.span = Recent { since: at, ..Recent::default() };
        }
        self.span.attempts += 1;
        self.span.failed += u32::from(!outcome.is_success());
        self.span.total_us += u64::from(outcome.phases.total_us);
    }

    /// What happened lately.
    pub(super) fn recent(&self, now: Timestamp) -> Recent {
        let spans = [(self.span, 2), (self.span_before, 3)];
        let lately = spans.into_iter().filter(|(span, age)| !span.is_over(*age, now)).map(|(span, _)| span);
        lately.fold(Recent::default(), |sum, span| Recent {
            since: span.since,
            attempts: sum.attempts + span.attempts,
            failed: sum.failed + span.failed,
            total_us: sum.total_us + span.total_us,
        })
    }

    pub(super) fn quantile_ms(&self, quantile: f64) -> f64 {
        self.latency.as_ref().map_or(0.0, |latency| latency.value_at_quantile(quantile) as f64 / 10.0)
    }

    pub(super) fn describe(&self) -> WebhookStatus {
        WebhookStatus {
            delivered: self.delivered,
            failed_attempts: self.failed,
            last_success_at: self.last_success_at,
            last_failure_at: self.last_failure_at,
            latency_p50_ms: self.quantile_ms(0.5),
            latency_p99_ms: self.quantile_ms(0.99),
            ..WebhookStatus::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{FailureCode, Phases};

    #[test]
    fn what_happened_lately_is_forgotten_after_a_while_and_the_rest_is_not() {
        let start = Timestamp::from_millis(1_000_000_000);
        let mut stats = Stats::default();
        let phases = Phases { total_us: 3_000, ..Phases::default() };
        for second in 0..10 {
            stats.attempt(
                &Outcome::failed(FailureCode::Status, "500", phases),
                start.after(Duration::from_secs(second)),
            );
        }
        let recent = stats.recent(start.after(SPAN));
        assert_eq!((recent.attempts, recent.failed, recent.mean_us()), (10, 10, 3_000));
        let success = Outcome { failure: None, ..Outcome::failed(FailureCode::Status, "", phases) };
        stats.attempt(&success, start.after(SPAN));
        let recent = stats.recent(start.after(SPAN));
        assert_eq!((recent.attempts, recent.failed), (11, 10));
        assert_eq!(stats.recent(start.after(3 * SPAN)), Recent::default());
        assert_eq!((stats.describe().failed_attempts, stats.describe().delivered), (10, 1));
    }
}
