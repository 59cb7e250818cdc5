//! Circuit breaker of a webhook: closed, open, probing with exactly one probe, then a ramp.
//!
//! - **Closed** opens after `failures` failures in a row, or when half of a run of [`SAMPLE`] results within [`SAMPLE_SPAN`]
//!   failed (a receiver that fails every other request never fails often in a row). The run is long enough that a receiver
//!   failing one request in ten practically never trips it.
//! - **Open** starts nothing until its time is up.
//! - **Probing** has one request in flight. Failed: open again, twice as long, up to `max_open`.
//! - **Ramp** after a successful probe: 1, 2, 4, … in flight, doubled after as many successes, so a backlog does not fall on a
//!   receiver that has just come back. A failure halves the bound; at 1 it opens again. It reads as closed from outside.
//!
//! A result only counts in the phase its request was started in: what was in flight when the breaker opened neither
//! closes it, nor prolongs it, nor takes the probe's place.

use std::time::{Duration, Instant};

/// Results in a run judged by its share of failures.
pub const SAMPLE: u32 = 32;
/// A run that takes longer says little about now and is begun afresh.
pub const SAMPLE_SPAN: Duration = Duration::from_secs(10);

#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum CircuitState {
    Closed,
    Open,
    Probing,
}

#[derive(Clone, Copy, Debug)]
pub struct BreakerConfig {
    /// Consecutive failures that open it.
    pub failures: u32,
    /// Time open before the first probe; doubles with each failed probe up to `max_open`.
    pub open_for: Duration,
    pub max_open: Duration,
    /// After a successful probe the number of requests in flight is bounded by 1, 2, 4, … successes for this many doublings.
    pub ramp_steps: u32,
}

/// The phase a request was started in; give it back with the result.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Generation(u32);

#[derive(Clone, Copy, Debug)]
enum Phase {
    Closed { in_a_row: u32, sample: Sample },
    Open { until: Instant },
    Probing,
    Ramp { step: u32, successes: u32 },
}

impl Phase {
    const CLOSED: Self = Self::Closed { in_a_row: 0, sample: Sample { since: None, results: 0, failed: 0 } };
}

#[derive(Clone, Copy, Debug)]
struct Sample {
    since: Option<Instant>,
    results: u32,
    failed: u32,
}

impl Sample {
    /// Whether this result completes a run of which at least half failed.
    fn add(&mut self, failed: bool, now: Instant) -> bool {
        let since = *self.since.get_or_insert(now);
        if self.results == SAMPLE || now.saturating_duration_since(since) > SAMPLE_SPAN {
            *self = Self { since: Some(now), results: 0, failed: 0 };
        }
        self.results += 1;
        self.failed += u32::from(failed);
        self.results == SAMPLE && self.failed * 2 >= SAMPLE
    }
}

#[derive(Clone, Debug)]
pub struct Breaker {
    config: BreakerConfig,
    phase: Phase,
    /// How long it stays open the next time.
    wait: Duration,
    generation: Generation,
    /// Requests of this generation in flight.
    in_flight: u32,
}

impl Breaker {
    #[must_use]
    pub fn new(config: BreakerConfig) -> Self {
        Self { config, phase: Phase::CLOSED, wait: config.open_for, generation: Generation(0), in_flight: 0 }
    }

    /// Applies changed settings from the next opening on; the present phase stays.
    pub fn set_config(&mut self, config: BreakerConfig) {
        self.config = config;
        self.wait = self.wait.min(config.max_open).max(config.open_for);
    }

    pub fn state(&self) -> CircuitState {
        match self.phase {
            Phase::Closed { .. } | Phase::Ramp { .. } => CircuitState::Closed,
            Phase::Open { .. } => CircuitState::Open,
            Phase::Probing => CircuitState::Probing,
        }
    }

    /// The bound the breaker sets now on requests in flight that were started since it last opened: 0 open, 1 probing (or due
    /// to probe), a ramp after recovery, `None` closed.
    pub fn max_in_flight(&self, now: Instant) -> Option<u32> {
        match self.phase {
            Phase::Closed { .. } => None,
            Phase::Open { until } => Some(u32::from(now >= until)),
            Phase::Probing => Some(1),
            Phase::Ramp { step, .. } => Some(ramp_bound(step)),
        }
    }

    /// Whether one more request may start now.
    pub fn admits(&self, now: Instant) -> bool {
        match self.max_in_flight(now) {
            None => true,
            // What was in flight at the opening belongs to an older generation and does not keep the probe waiting.
            Some(bound) => self.in_flight < bound,
        }
    }

    /// When an open breaker lets its next probe through.
    pub fn probe_at(&self) -> Option<Instant> {
        match self.phase {
            Phase::Open { until } => Some(until),
            _ => None,
        }
    }

    /// Whether a request of `generation` was started in the present phase, so that its result will count.
    pub fn is_current(&self, generation: Generation) -> bool {
        self.generation == generation
    }

    /// A request starts (an open breaker whose time has come turns to probing).
    pub fn on_start(&mut self, now: Instant) -> Generation {
        if let Phase::Open { until } = self.phase
            && now >= until
        {
            self.enter(Phase::Probing);
        }
        self.in_flight += 1;
        self.generation
    }

    pub fn on_success(&mut self, generation: Generation, now: Instant) {
        if !self.end(generation) {
            return;
        }
        match &mut self.phase {
            Phase::Closed { in_a_row, sample } => {
                *in_a_row = 0;
                sample.add(false, now);
            }
            Phase::Open { .. } => {}
            Phase::Probing => self.ramp(0, 0),
            Phase::Ramp { step, successes } => {
                let (step, successes) = (*step, *successes + 1);
                if successes >= ramp_bound(step) { self.ramp(step + 1, 0) } else { self.ramp(step, successes) }
            }
        }
    }

    /// A request ended in a failure that does not speak against the receiver. Its answer is a sign of life to a probe and on
    /// the ramp, and says nothing to a closed breaker.
    pub fn on_neutral(&mut self, generation: Generation, now: Instant) {
        match self.phase {
            Phase::Closed { .. } | Phase::Open { .. } => {
                self.end(generation);
            }
            Phase::Probing | Phase::Ramp { .. } => self.on_success(generation, now),
        }
    }

    pub fn on_failure(&mut self, generation: Generation, now: Instant) {
        if !self.end(generation) {
            return;
        }
        match &mut self.phase {
            Phase::Closed { in_a_row, sample } => {
                *in_a_row += 1;
                let half_failed = sample.add(true, now);
                if *in_a_row >= self.config.failures || half_failed {
                    self.wait = self.config.open_for;
                    self.open(now);
                }
            }
            Phase::Open { .. } => {}
            Phase::Probing | Phase::Ramp { step: 0, .. } => {
                self.wait = self.wait.saturating_mul(2).min(self.config.max_open).max(self.config.open_for);
                self.open(now);
            }
            Phase::Ramp { step, successes } => (*step, *successes) = (*step - 1, 0),
        }
    }

    /// Takes a request out of flight; `false`: it belongs to an earlier phase and its result does not count.
    fn end(&mut self, generation: Generation) -> bool {
        let current = self.is_current(generation);
        self.in_flight = self.in_flight.saturating_sub(u32::from(current));
        current
    }

    fn open(&mut self, now: Instant) {
        self.enter(Phase::Open { until: now + self.wait });
    }

    /// Requests in flight are left behind in the old generation.
    fn enter(&mut self, phase: Phase) {
        self.phase = phase;
        self.generation = Generation(self.generation.0.wrapping_add(1));
        self.in_flight = 0;
    }

    fn ramp(&mut self, step: u32, successes: u32) {
        self.phase = if step >= self.config.ramp_steps { Phase::CLOSED } else { Phase::Ramp { step, successes } };
    }
}

fn ramp_bound(step: u32) -> u32 {
    1u32.checked_shl(step).unwrap_or(u32::MAX)
}

#[cfg(test)]
#[path = "breaker_tests.rs"]
mod tests;
