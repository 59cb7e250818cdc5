//! What was measured, and what it comes to.

pub mod svg;
pub mod write;

use serde::{Deserialize, Serialize};

use crate::floor::Floor;
use crate::latency::Latency;
use crate::plan::Outcome;
use crate::receive::{self, Verdict};
use crate::scenario::{Mode, Pass, Scenario};
use crate::usage::{Machine, Usage};

const MIB: f64 = (1 << 20) as f64;

/// What each process used for the deliveries of a run.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Costs {
    pub engine: Usage,
    pub receiver: Usage,
    pub generator: Usage,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Sample {
    /// Of the monotonic clock.
    pub at: u64,
    pub seconds: f64,
    pub delivered: u64,
    pub rss_bytes: u64,
}

/// Deliveries to receivers that behave alike.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Class {
    pub behaviour: String,
    pub acknowledged: u64,
    pub refused: u64,
    pub e2e: Latency,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Run {
    /// Deliveries a second.
    pub rate: f64,
    /// Accepted events a second.
    pub events_rate: f64,
    /// Intended send to 202.
    pub accept: Latency,
    /// Intended send to arrival, at the healthy receivers.
    pub e2e: Latency,
    pub classes: Vec<Class>,
    /// CPU for a delivery, µs.
    pub engine_us: f64,
    pub receiver_us: f64,
    pub generator_us: f64,
    pub engine_to_hyper: f64,
    pub rate_to_hyper: f64,
    pub switches_per_delivery: f64,
    pub peak_rss_mib: f64,
    pub end_rss_mib: f64,
    pub rss_growth_mib: f64,
    pub delivered_body_bytes: f64,
    pub durability: String,
    pub events: u64,
    pub events_refused: u64,
    pub late_requests: u64,
    pub owed: u64,
    pub delivered: u64,
    pub requests: u64,
    pub verdict: Verdict,
    pub set_up_seconds: f64,
    pub stop_seconds: f64,
    pub costs: Costs,
    pub floor: Floor,
    pub samples: Vec<Sample>,
    /// What makes this a failed run, whatever its figures.
    pub failures: Vec<String>,
}

impl Run {
    /// `from`: when the time of the rate begins, on the monotonic clock.
    #[expect(clippy::too_many_arguments, reason = "the sources of a run's figures, each used once")]
    pub fn new(
        scenario: &Scenario,
        floor: Floor,
        outcome: &Outcome,
        report: receive::Report,
        verdict: Verdict,
        costs: Costs,
        samples: Vec<Sample>,
        from: u64,
    ) -> Self {
        let warmup = scenario.load.warmup;
        let delivered = report.delivered;
        let each = |usage: &Usage| usage.cpu_us() as f64 / delivered.max(1) as f64;
        let engine_us = each(&costs.engine);
        // Of a paced or closed load only the time of sending counts: a late retry must not stretch it.
        let until = if scenario.load.mode == Mode::Drain { report.last_arrival } else { outcome.ended };
        let counted = if scenario.load.mode == Mode::Drain {
            delivered as f64
        } else {
            delivered_at(&samples, until) - delivered_at(&samples, from)
        };
        let events = outcome.events_sent() - outcome.events_refused();
        let begun = outcome.begun;
        let rate = counted / (until.saturating_sub(from).max(1) as f64 / 1e9);
        let classes: Vec<Class> = scenario
            .webhooks
            .iter()
            .zip(report.classes)
            .map(|(webhooks, class)| Class {
                behaviour: webhooks.behaviour.name().to_owned(),
                acknowledged: class.acknowledged,
                refused: class.refused,
                e2e: class.latency,
            })
            .collect();
        let healthy = scenario.webhooks.iter().position(|webhooks| webhooks.behaviour.is_healthy()).unwrap_or_default();
        let warm = samples.iter().find(|sample| sample.seconds >= warmup.max(1.0)).or(samples.last());
        let warm_rss = warm.map_or(costs.engine.rss_bytes, |sample| sample.rss_bytes) as f64;
        let switches = costs.engine.voluntary_switches + costs.engine.involuntary_switches;
        Self {
            rate,
            events_rate: events as f64 / (outcome.ended.saturating_sub(begun).max(1) as f64 / 1e9),
            accept: outcome.accept.clone(),
            e2e: classes[healthy].e2e.clone(),
            engine_us,
            receiver_us: each(&costs.receiver),
            generator_us: each(&costs.generator),
            engine_to_hyper: engine_us / floor.hyper.sender_us,
            rate_to_hyper: rate / floor.hyper.rate,
            switches_per_delivery: switches as f64 / delivered.max(1) as f64,
            peak_rss_mib: costs.engine.peak_rss_bytes as f64 / MIB,
            end_rss_mib: costs.engine.rss_bytes as f64 / MIB,
            rss_growth_mib: (costs.engine.rss_bytes as f64 - warm_rss) / MIB,
            delivered_body_bytes: report.body_bytes as f64 / report.requests.max(1) as f64,
            durability: String::new(),
            events,
            events_refused: outcome.events_refused(),
            late_requests: outcome.late_requests,
            owed: 0,
            delivered,
            requests: report.requests,
            verdict,
            set_up_seconds: 0.0,
            stop_seconds: 0.0,
            failures: failures(outcome, &verdict, report.unsigned, report.strange),
            classes,
            costs,
            floor,
            samples,
        }
    }
}

/// Between two looks, as if deliveries had come evenly.
fn delivered_at(samples: &[Sample], at: u64) -> f64 {
    let after = samples.partition_point(|sample| sample.at < at);
    let (Some(before), Some(next)) = (samples.get(after.wrapping_sub(1)), samples.get(after)) else {
        return samples.get(after).or(samples.last()).map_or(0.0, |sample| sample.delivered as f64);
    };
    let share = (at - before.at) as f64 / (next.at - before.at).max(1) as f64;
    before.delivered as f64 + share * (next.delivered - before.delivered) as f64
}

fn failures(outcome: &Outcome, verdict: &Verdict, unsigned: u64, strange: u64) -> Vec<String> {
    let mut failures = Vec::new();
    let mut none = |count: u64, what: &str| {
        if count > 0 {
            failures.push(format!("{count} {what}"));
        }
    };
    none(verdict.lost, "deliveries lost");
    none(verdict.repeated, "deliveries repeated");
    none(verdict.unexpected, "deliveries of events that were refused");
    none(verdict.out_of_order, "deliveries out of order");
    none(unsigned, "deliveries without a signature");
    none(strange, "requests that are no delivery");
    none(outcome.errors, &format!("requests failed, first: {}", outcome.first_error.as_deref().unwrap_or_default()));
    failures
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Report {
    pub name: String,
    pub at: String,
    pub commit: String,
    pub machine: Machine,
    pub scenario: Scenario,
    pub runs: Vec<Run>,
    /// The run in the middle by rate.
    pub median: usize,
    /// Of the runs and of the pass ranges.
    pub failures: Vec<String>,
}

impl Report {
    pub fn new(name: String, scenario: Scenario, machine: Machine, runs: Vec<Run>) -> Self {
        let mut by_rate: Vec<usize> = (0..runs.len()).collect();
        by_rate.sort_by(|a, b| runs[*a].rate.total_cmp(&runs[*b].rate));
        let mut failures: Vec<String> = runs
            .iter()
            .enumerate()
            .flat_map(|(index, run)| run.failures.iter().map(move |failure| format!("run {}: {failure}", index + 1)))
            .collect();
        failures.extend(beyond(&scenario.pass, &runs));
        Self {
            name,
            at: jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            commit: commit(),
            machine,
            scenario,
            median: by_rate[by_rate.len() / 2],
            runs,
            failures,
        }
    }
}

/// Median, least and greatest of a figure.
pub fn spread(runs: &[Run], figure: impl Fn(&Run) -> f64) -> [f64; 3] {
    let mut values: Vec<f64> = runs.iter().map(figure).collect();
    values.sort_by(f64::total_cmp);
    [values[values.len() / 2], values[0], values[values.len() - 1]]
}

fn beyond(pass: &Pass, runs: &[Run]) -> Vec<String> {
    let mut failures = Vec::new();
    let mut hold = |name: &str, bound: Option<f64>, figure: fn(&Run) -> f64| {
        let [median, ..] = spread(runs, figure);
        let Some(bound) = bound else { return };
        if if name.starts_with("min") { median < bound } else { median > bound } {
            failures.push(format!("{name} is {bound}, the median is {median:.3}"));
        }
    };
    hold("min_rate", pass.min_rate, |run| run.rate);
    hold("max_accept_p99_ms", pass.max_accept_p99_ms, |run| run.accept.p99);
    hold("max_e2e_p50_ms", pass.max_e2e_p50_ms, |run| run.e2e.p50);
    hold("max_e2e_p99_ms", pass.max_e2e_p99_ms, |run| run.e2e.p99);
    hold("max_engine_us", pass.max_engine_us, |run| run.engine_us);
    hold("max_engine_to_hyper", pass.max_engine_to_hyper, |run| run.engine_to_hyper);
    hold("max_peak_rss_mib", pass.max_peak_rss_mib, |run| run.peak_rss_mib);
    hold("max_rss_growth_mib", pass.max_rss_growth_mib, |run| run.rss_growth_mib);
    failures
}

/// Of the working folder; "unknown" outside a repository.
pub fn commit() -> String {
    let git = std::process::Command::new("git").args(["describe", "--always", "--dirty"]).output();
    let text = git.ok().filter(|output| output.status.success()).map(|output| output.stdout);
    text.map_or_else(|| "unknown".to_owned(), |text| String::from_utf8_lossy(&text).trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deliveries_between_two_looks_are_shared_out_evenly() {
        let sample = |at, delivered| Sample { at, seconds: 0.0, delivered, rss_bytes: 0 };
        let samples = [sample(100, 10), sample(200, 30)];
        for (at, delivered) in [(50, 10.0), (100, 10.0), (150, 20.0), (200, 30.0), (900, 30.0)] {
            assert!((delivered_at(&samples, at) - delivered).abs() < 1e-9, "{at}");
        }
    }
}
