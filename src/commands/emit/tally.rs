//! What became of everything that was sent.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use hdrhistogram::Histogram;

use super::sender::Sent;

/// Different reasons shown; the rest is only counted.
const MAX_REASONS: usize = 20;

#[derive(Debug)]
pub struct Tally {
    pub accepted: u64,
    pub duplicates: u64,
    pub refused: u64,
    pub requests: u64,
    pub put_off: u64,
    reasons: BTreeMap<String, u64>,
    /// Microseconds of accepted requests.
    latency: Histogram<u64>,
}

impl Default for Tally {
    fn default() -> Self {
        // Three digits up to an hour.
        let latency = Histogram::new_with_bounds(1, 3_600_000_000, 3).expect("the bounds are valid");
        Self { accepted: 0, duplicates: 0, refused: 0, requests: 0, put_off: 0, reasons: BTreeMap::new(), latency }
    }
}

impl Tally {
    pub fn add(&mut self, sent: &Sent, events: usize) {
        self.requests += 1;
        match sent {
            Sent::Accepted { ids, duplicates, took, put_off } => {
                self.accepted += (ids.len() - duplicates) as u64;
                self.duplicates += *duplicates as u64;
                self.put_off += u64::from(*put_off);
                self.latency.saturating_record(took.as_micros() as u64);
            }
            Sent::Refused { reason } => self.refuse(reason.clone(), events),
        }
    }

    pub fn refuse(&mut self, reason: String, events: usize) {
        self.refused += events as u64;
        let known = self.reasons.len() < MAX_REASONS || self.reasons.contains_key(&reason);
        *self.reasons.entry(if known { reason } else { "(other reasons)".to_owned() }).or_default() += events as u64;
    }

    /// Several lines for the terminal.
    pub fn summary(&self, took: Duration) -> String {
        let rate = self.accepted as f64 / took.as_secs_f64().max(0.001);
        let at = |quantile| self.latency.value_at_quantile(quantile) as f64 / 1_000.0;
        let mut out = format!(
            "accepted    {} ({rate:.0}/s, {:.1} s)\nduplicates  {}\nrefused     {}\nrequests    {}, put off {} times, p50 {:.1} ms, p99 {:.1} ms",
            self.accepted,
            took.as_secs_f64(),
            self.duplicates,
            self.refused,
            self.requests,
            self.put_off,
            at(0.5),
            at(0.99),
        );
        for (reason, events) in &self.reasons {
            let _ = write!(out, "\n  {events} × {reason}");
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn duplicates_are_not_counted_as_accepted() {
        let mut tally = Tally::default();
        let ids = vec![crate::domain::EventId::MIN; 5];
        tally.add(&Sent::Accepted { ids, duplicates: 2, took: Duration::from_millis(3), put_off: 1 }, 5);
        tally.add(&Sent::Refused { reason: "404: instance not found".into() }, 7);
        assert_eq!((tally.accepted, tally.duplicates, tally.refused), (3, 2, 7));
        let text = tally.summary(Duration::from_secs(1));
        assert!(text.contains("7 × 404: instance not found") && text.contains("p50 3.0 ms"), "{text}");
    }

    #[test]
    fn the_number_of_reasons_is_bounded_and_none_is_lost() {
        let mut tally = Tally::default();
        for n in 0..100 {
            tally.refuse(format!("reason {n}"), 1);
        }
        assert_eq!(tally.reasons.len(), MAX_REASONS + 1);
        assert_eq!(tally.reasons.values().sum::<u64>(), 100);
    }
}
