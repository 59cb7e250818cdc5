//! Latencies as they are written down: a histogram while it runs, quantiles in the report.

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

/// Of recorded microseconds; one hour is more than any run waits.
const MAX_MICROS: u64 = 3_600_000_000;

pub fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, MAX_MICROS, 3).expect("the bounds are in order and the digits are at most 5")
}

/// Records `until - since`, both in nanoseconds.
pub fn record(histogram: &mut Histogram<u64>, since: u64, until: u64) {
    histogram.saturating_record((until.saturating_sub(since) / 1_000).max(1));
}

/// Milliseconds.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Latency {
    pub count: u64,
    pub p50: f64,
    pub p90: f64,
    pub p99: f64,
    pub p999: f64,
    pub max: f64,
    /// `[1 / (1 - quantile), milliseconds]`, for the plot.
    pub curve: Vec<[f64; 2]>,
}

impl Latency {
    pub fn of(histogram: &Histogram<u64>) -> Self {
        if histogram.is_empty() {
            return Self::default();
        }
        let at = |quantile: f64| histogram.value_at_quantile(quantile) as f64 / 1_000.0;
        // Eight points a decade of the tail, up to where a single value decides.
        let points = (8.0 * (histogram.len() as f64).log10()).ceil() as u32 + 1;
        let curve = (0..points).map(|point| {
            let nines = 10_f64.powf(f64::from(point) / 8.0);
            [nines, at(1.0 - 1.0 / nines)]
        });
        Self {
            count: histogram.len(),
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p999: at(0.999),
            max: histogram.max() as f64 / 1_000.0,
            curve: curve.collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_come_out_in_milliseconds() {
        let mut all = histogram();
        (1..=1_000).for_each(|millis| record(&mut all, 0, millis * 1_000_000));
        let latency = Latency::of(&all);
        assert!((latency.p50 - 500.0).abs() < 1.0, "{}", latency.p50);
        assert!((latency.p99 - 990.0).abs() < 1.0, "{}", latency.p99);
        assert!((latency.max - 1_000.0).abs() < 1.0);
        assert_eq!(Latency::of(&histogram()).count, 0);
    }
}
