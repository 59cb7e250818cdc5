//! Breaker, window and pace of one webhook as one question: may a delivery start now?
//!
//! The pace is asked last and only it is consumed by asking, so a start that breaker or window refuse costs no part of the
//! rate limit. A gate is small plain data and `Send`: an idle webhook's actor may be dropped and its gate kept by value, so that
//! breaker, window and pace outlive it.

use std::time::{Duration, Instant};

use super::breaker::{Breaker, BreakerConfig, CircuitState, Generation};
use super::pace::Pace;
use super::window::{Window, WindowConfig};
use crate::domain::{RateLimit, WaitReason};

#[derive(Clone, Copy, Debug)]
pub struct GateConfig {
    pub breaker: BreakerConfig,
    /// The most requests in flight, whatever the window says.
    pub concurrency: u32,
    pub initial_window: u32,
    pub rate_limit: Option<RateLimit>,
}

/// Not now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Hold {
    pub reason: WaitReason,
    /// When to ask again; `None`: when a request in flight has ended.
    pub until: Option<Instant>,
}

/// The right to start one request; give it back to [`Gate::finish`].
#[derive(Debug)]
#[must_use = "a permit not given back takes a place in the window for ever"]
pub struct Permit {
    generation: Generation,
}

#[derive(Debug)]
pub struct Gate {
    breaker: Breaker,
    window: Window,
    pace: Pace,
    rate_limit: Option<RateLimit>,
    in_flight: u32,
}

impl Gate {
    #[must_use]
    pub fn new(config: GateConfig, now: Instant) -> Self {
        Self {
            breaker: Breaker::new(config.breaker),
            window: Window::new(WindowConfig { initial: config.initial_window, max: config.concurrency }),
            pace: Pace::new(config.rate_limit, now),
            rate_limit: config.rate_limit,
            in_flight: 0,
        }
    }

    /// A gate for a webhook that others may have delivered to until `before`, as fast as its rate limit allowed.
    #[must_use]
    pub fn resumed(config: GateConfig, before: Option<Instant>, now: Instant) -> Self {
        let pace = before.map_or_else(|| Pace::new(config.rate_limit, now), |at| Pace::spent(config.rate_limit, at));
        Self { pace, ..Self::new(config, now) }
    }

    /// Applies a changed webhook; what is known of the receiver's health and of past starts stays.
    pub fn reconfigure(&mut self, config: GateConfig, now: Instant) {
        self.breaker.set_config(config.breaker);
        self.window.set_max(config.concurrency);
        if self.rate_limit != config.rate_limit {
            self.pace.set_limit(config.rate_limit, now);
            self.rate_limit = config.rate_limit;
        }
    }

    pub fn admit(&mut self, now: Instant) -> Result<Permit, Hold> {
        if !self.breaker.admits(now) {
            return Err(Hold { reason: WaitReason::CircuitOpen, until: self.breaker.probe_at() });
        }
        if self.in_flight >= self.window.size() {
            return Err(Hold { reason: WaitReason::Window, until: None });
        }
        if let Err(until) = self.pace.take(now) {
            return Err(Hold { reason: WaitReason::Throttled, until: Some(until) });
        }
        self.in_flight += 1;
        Ok(Permit { generation: self.breaker.on_start(now) })
    }

    /// `success`: the receiver took it. `counts`: whether a failure speaks against the receiver's health (a 4xx of one
    /// delivery's content does not trip the breaker; 408, 425, 429, 5xx and network failures do).
    #[expect(clippy::needless_pass_by_value, reason = "a permit is given back once: taking it by value is the point")]
    pub fn finish(&mut self, permit: Permit, success: bool, counts: bool, latency: Duration, now: Instant) {
        let Permit { generation } = permit;
        let in_flight = self.in_flight;
        debug_assert!(in_flight > 0, "a permit of another gate was given back");
        self.in_flight = in_flight.saturating_sub(1);
        // Started before the breaker opened: known too late to say anything of the receiver as it is now.
        if !self.breaker.is_current(generation) {
            return;
        }
        let was_probing = self.circuit() == CircuitState::Probing;
        match (success, counts) {
            (true, _) => {
                self.window.on_success(latency, in_flight, now);
                self.breaker.on_success(generation, now);
            }
            (false, true) => {
                self.window.on_failure(now);
                self.breaker.on_failure(generation, now);
            }
            (false, false) => self.breaker.on_neutral(generation, now),
        }
        if was_probing && self.circuit() == CircuitState::Closed {
            self.window.restart();
        }
    }

    pub fn in_flight(&self) -> u32 {
        self.in_flight
    }

    pub fn window(&self) -> u32 {
        self.window.size()
    }

    pub fn circuit(&self) -> CircuitState {
        self.breaker.state()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);
    const CONFIG: GateConfig = GateConfig {
        breaker: BreakerConfig {
            failures: 3,
            open_for: Duration::from_secs(5),
            max_open: Duration::from_mins(1),
            ramp_steps: 3,
        },
        concurrency: 8,
        initial_window: 4,
        rate_limit: None,
    };

    fn limited(limit: u32) -> GateConfig {
        GateConfig { rate_limit: Some(RateLimit { limit, period_ms: 1_000, burst: limit }), ..CONFIG }
    }

    fn hold(reason: WaitReason, until: Option<Instant>) -> Hold {
        Hold { reason, until }
    }

    fn fail(gate: &mut Gate, now: Instant) {
        let permit = gate.admit(now).unwrap();
        gate.finish(permit, false, true, MS, now);
    }

    fn opened(config: GateConfig, now: Instant) -> Gate {
        let mut gate = Gate::new(config, now);
        (0..3).for_each(|_| fail(&mut gate, now));
        gate
    }

    #[test]
    fn a_full_window_waits_for_a_request_to_end() {
        let now = Instant::now();
        let mut gate = Gate::new(CONFIG, now);
        let mut permits: Vec<_> = (0..4).map(|_| gate.admit(now).unwrap()).collect();
        assert_eq!(gate.admit(now).unwrap_err(), hold(WaitReason::Window, None));
        gate.finish(permits.pop().unwrap(), true, true, MS, now);
        assert!(gate.admit(now).is_ok());
    }

    #[test]
    fn an_open_circuit_names_its_probe_and_a_probe_out_waits_for_its_end() {
        let now = Instant::now();
        let mut gate = opened(CONFIG, now);
        let due = now + 5_000 * MS;
        assert_eq!(gate.admit(now).unwrap_err(), hold(WaitReason::CircuitOpen, Some(due)));
        let probe = gate.admit(due).unwrap();
        assert_eq!(gate.admit(due).unwrap_err(), hold(WaitReason::CircuitOpen, None));
        gate.finish(probe, true, true, MS, due);
        assert_eq!((gate.circuit(), gate.window()), (CircuitState::Closed, 4));
        let _first = gate.admit(due).unwrap();
        assert_eq!(gate.admit(due).unwrap_err(), hold(WaitReason::CircuitOpen, None), "the ramp begins at one");
    }

    #[test]
    fn a_throttled_delivery_knows_when_to_come_back() {
        let now = Instant::now();
        let mut gate = Gate::new(limited(2), now);
        let _permits = [gate.admit(now).unwrap(), gate.admit(now).unwrap()];
        assert_eq!(gate.admit(now).unwrap_err(), hold(WaitReason::Throttled, Some(now + 1_020 * MS)));
        assert_eq!(gate.in_flight(), 2);
    }

    #[test]
    fn what_breaker_or_window_refuse_costs_no_rate() {
        let now = Instant::now();
        let mut gate = Gate::new(limited(5), now);
        let permits: Vec<_> = (0..4).map(|_| gate.admit(now).unwrap()).collect();
        assert!((0..100).all(|_| gate.admit(now).is_err()), "window full");
        for permit in permits {
            gate.finish(permit, true, true, MS, now);
        }
        assert!(gate.admit(now).is_ok(), "the fifth is still there");
        let mut gate = opened(limited(4), now);
        assert!((0..100).all(|_| gate.admit(now).is_err()), "circuit open");
        gate.reconfigure(GateConfig { concurrency: 1, ..limited(4) }, now);
        assert!(gate.admit(now + 5_000 * MS).is_ok());
    }

    #[test]
    fn a_probe_refused_by_the_pace_leaves_the_breaker_open() {
        let now = Instant::now();
        let config = GateConfig { rate_limit: Some(RateLimit { limit: 3, period_ms: 60_000, burst: 3 }), ..CONFIG };
        let mut gate = opened(config, now);
        let held = gate.admit(now + 5_000 * MS).unwrap_err();
        assert_eq!((held.reason, gate.circuit()), (WaitReason::Throttled, CircuitState::Open));
        assert!(gate.admit(held.until.unwrap()).is_ok());
        assert_eq!(gate.circuit(), CircuitState::Probing);
    }

    #[test]
    fn a_failure_that_does_not_count_frees_its_slot_and_nothing_else() {
        let now = Instant::now();
        let mut gate = Gate::new(CONFIG, now);
        for _ in 0..100 {
            let permit = gate.admit(now).unwrap();
            gate.finish(permit, false, false, MS, now);
        }
        assert_eq!((gate.circuit(), gate.window(), gate.in_flight()), (CircuitState::Closed, 4, 0));
    }

    #[test]
    fn reconfigure_keeps_circuit_window_and_pace() {
        let now = Instant::now();
        let mut gate = opened(limited(3), now);
        gate.reconfigure(GateConfig { concurrency: 32, ..limited(3) }, now);
        assert_eq!((gate.circuit(), gate.window()), (CircuitState::Open, 2));
        let mut gate = Gate::new(limited(2), now);
        let _permits = [gate.admit(now).unwrap(), gate.admit(now).unwrap()];
        gate.reconfigure(limited(3), now);
        assert!(gate.admit(now).is_ok(), "one more of the new limit");
        assert_eq!(gate.admit(now).unwrap_err().reason, WaitReason::Throttled);
    }

    #[test]
    fn stale_results_free_slots_but_do_not_touch_the_recovered_window() {
        let now = Instant::now();
        let mut gate = Gate::new(CONFIG, now);
        let old = gate.admit(now).unwrap();
        (0..3).for_each(|_| fail(&mut gate, now));
        let due = now + 5_000 * MS;
        let probe = gate.admit(due).unwrap();
        gate.finish(probe, true, true, MS, due);
        gate.finish(old, false, true, 5_000 * MS, due);
        assert_eq!((gate.circuit(), gate.window(), gate.in_flight()), (CircuitState::Closed, 4, 0));
    }

    #[test]
    fn a_gate_can_be_kept_by_another_thread() {
        fn is_send<T: Send + 'static>() {}
        is_send::<Gate>();
    }
}
