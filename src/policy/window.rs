//! Adaptive bound on a webhook's requests in flight: slow start, down on failures and on rising latency.
//!
//! Grows by one per success (doubling per round) until the first trouble, then by one per round; halves on failure. Both
//! reductions happen at most once per round, a round being as many results as could have been in flight at the reduction:
//! thirty requests that die of one cause are one sign, not thirty. It grows only while it is used.
//!
//! Latency: a smoothed latency well above the lowest smoothed latency of the last while means that our own requests queue up at
//! the receiver; the window then shrinks by a tenth, but not below where it started, for a few requests in flight harm nobody.
//! The baseline is the minimum of the *smoothed* latency, so a receiver that is now quick, now slow by nature is not
//! mistaken for an overloaded one.

use std::time::{Duration, Instant};

/// Latency may rise to this multiple of the baseline …
const TOLERANCE: f64 = 2.0;
/// … plus this many seconds, before it counts: below that it is noise of schedulers and networks.
const TOLERANCE_S: f64 = 0.005;
/// Weight of one result in the smoothed latency; also how many results make a first baseline.
const SMOOTHING: u32 = 10;
/// The baseline forgets within one to two of these, so that a receiver that became slower for good is accepted.
const BASELINE_SPAN: Duration = Duration::from_secs(15);
const GENTLE: f64 = 0.9;

#[derive(Clone, Copy, Debug)]
pub struct WindowConfig {
    pub initial: u32,
    pub max: u32,
}

#[derive(Clone, Debug)]
pub struct Window {
    initial: u32,
    max: u32,
    size: f64,
    slow_start: bool,
    /// Results to pass before the next reduction.
    until_next_cut: u32,
    latency: Latency,
}

impl Window {
    #[must_use]
    pub fn new(config: WindowConfig) -> Self {
        let max = config.max.max(1);
        let initial = config.initial.max(1);
        Self {
            initial,
            max,
            size: f64::from(initial.min(max)),
            slow_start: true,
            until_next_cut: 0,
            latency: Latency::default(),
        }
    }

    /// ≥ 1, ≤ max.
    pub fn size(&self) -> u32 {
        (self.size as u32).clamp(1, self.max)
    }

    pub fn set_max(&mut self, max: u32) {
        self.max = max.max(1);
        self.size = self.size.min(f64::from(self.max));
    }

    /// Begins anew, for a receiver that has come back: what was learnt while it was failing says nothing of it now.
    pub fn restart(&mut self) {
        *self = Self::new(WindowConfig { initial: self.initial, max: self.max });
    }

    /// `in_flight`: how many were in flight when this one ended, itself included (growth only when the window was used).
    pub fn on_success(&mut self, latency: Duration, in_flight: u32, now: Instant) {
        let rising = self.latency.add(latency, now);
        let may_cut = self.round_passed();
        if rising {
            let floor = f64::from(self.initial.min(self.max));
            if may_cut && self.size > floor {
                self.cut((self.size * GENTLE).max(floor));
            }
        } else if f64::from(in_flight) >= self.size.floor() * 0.75 {
            let step = if self.slow_start { 1.0 } else { 1.0 / self.size };
            self.size = (self.size + step).min(f64::from(self.max));
        }
    }

    pub fn on_failure(&mut self, _now: Instant) {
        if self.round_passed() {
            self.cut((self.size / 2.0).max(1.0));
        }
    }

    /// Counts a result; whether a reduction is allowed again.
    fn round_passed(&mut self) -> bool {
        let passed = self.until_next_cut == 0;
        self.until_next_cut = self.until_next_cut.saturating_sub(1);
        passed
    }

    fn cut(&mut self, size: f64) {
        // All that may be in flight besides the one that just ended was started under the old size.
        self.until_next_cut = self.size() - 1;
        self.size = size;
        self.slow_start = false;
    }
}

/// Smoothed latency against its own minimum, in seconds.
#[derive(Clone, Debug)]
struct Latency {
    results: u32,
    smoothed: f64,
    /// Minimum since `since`, and of the span before.
    low: f64,
    low_before: f64,
    since: Option<Instant>,
}

impl Default for Latency {
    fn default() -> Self {
        Self { results: 0, smoothed: 0.0, low: f64::INFINITY, low_before: f64::INFINITY, since: None }
    }
}

impl Latency {
    /// Whether the smoothed latency is now well above its baseline.
    fn add(&mut self, latency: Duration, now: Instant) -> bool {
        // A plain mean at first: no single result makes a baseline.
        self.results = (self.results + 1).min(SMOOTHING);
        self.smoothed += (latency.as_secs_f64() - self.smoothed) / f64::from(self.results);
        if self.results < SMOOTHING {
            return false;
        }
        let since = *self.since.get_or_insert(now);
        let age = now.saturating_duration_since(since);
        if age > BASELINE_SPAN {
            self.low_before = if age > BASELINE_SPAN * 2 { f64::INFINITY } else { self.low };
            self.low = f64::INFINITY;
            self.since = Some(now);
        }
        self.low = self.low.min(self.smoothed);
        self.smoothed > self.low.min(self.low_before) * TOLERANCE + TOLERANCE_S
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MS: Duration = Duration::from_millis(1);

    fn window(initial: u32, max: u32) -> Window {
        Window::new(WindowConfig { initial, max })
    }

    fn succeed(window: &mut Window, times: u32, latency: Duration, now: Instant) {
        for _ in 0..times {
            let in_flight = window.size();
            window.on_success(latency, in_flight, now);
        }
    }

    #[test]
    fn slow_start_doubles_per_round_up_to_the_maximum() {
        let (now, mut w) = (Instant::now(), window(4, 32));
        for expected in [8, 16, 32, 32] {
            let round = w.size();
            succeed(&mut w, round, 20 * MS, now);
            assert_eq!(w.size(), expected);
        }
    }

    #[test]
    fn a_failure_halves_once_per_round_and_growth_is_additive_after() {
        let (now, mut w) = (Instant::now(), window(32, 64));
        (0..32).for_each(|_| w.on_failure(now));
        assert_eq!(w.size(), 16, "thirty-two requests that died together are one sign");
        w.on_failure(now);
        assert_eq!(w.size(), 8);
        succeed(&mut w, 9, 20 * MS, now);
        assert_eq!(w.size(), 9, "one per round");
    }

    #[test]
    fn never_below_one() {
        let (now, mut w) = (Instant::now(), window(4, 32));
        (0..100).for_each(|_| w.on_failure(now));
        assert_eq!(w.size(), 1);
    }

    #[test]
    fn does_not_grow_while_it_is_not_used() {
        let (now, mut w) = (Instant::now(), window(8, 32));
        (0..100).for_each(|_| w.on_success(20 * MS, 2, now));
        assert_eq!(w.size(), 8);
    }

    #[test]
    fn rising_latency_shrinks_gently_to_the_initial_size_and_no_further() {
        let (now, mut w) = (Instant::now(), window(4, 64));
        succeed(&mut w, 64, 20 * MS, now);
        assert_eq!(w.size(), 64);
        succeed(&mut w, 63, 100 * MS, now);
        assert!((50..64).contains(&w.size()), "{}", w.size());
        succeed(&mut w, 2_000, 100 * MS, now);
        assert_eq!(w.size(), 4);
    }

    #[test]
    fn latency_within_tolerance_does_not_shrink() {
        let (now, mut w) = (Instant::now(), window(4, 64));
        succeed(&mut w, 100, 2 * MS, now);
        succeed(&mut w, 500, 8 * MS, now);
        assert_eq!(w.size(), 64, "2 ms to 8 ms is noise");
    }

    #[test]
    fn a_receiver_quick_and_slow_by_nature_keeps_its_window() {
        let (now, mut w) = (Instant::now(), window(4, 64));
        for n in 0..2_000u32 {
            let latency = if n % 3 == 0 { 100 * MS } else { 10 * MS };
            succeed(&mut w, 1, latency, now);
        }
        assert_eq!(w.size(), 64);
    }

    #[test]
    fn a_receiver_slower_for_good_is_accepted_after_the_baselines_span() {
        let (start, mut w) = (Instant::now(), window(4, 32));
        succeed(&mut w, 100, 20 * MS, start);
        succeed(&mut w, 2_000, 200 * MS, start + BASELINE_SPAN / 2);
        assert_eq!(w.size(), 4);
        for second in 8..120 {
            succeed(&mut w, 50, 200 * MS, start + Duration::from_secs(second));
        }
        assert_eq!(w.size(), 32);
    }

    #[test]
    fn a_lower_maximum_holds_at_once_and_a_higher_one_is_grown_into() {
        let (now, mut w) = (Instant::now(), window(16, 32));
        w.set_max(3);
        assert_eq!(w.size(), 3);
        w.set_max(8);
        assert_eq!(w.size(), 3);
        succeed(&mut w, 5, 20 * MS, now);
        assert_eq!(w.size(), 8);
    }

    #[test]
    fn restart_begins_at_the_initial_size_with_slow_start() {
        let (now, mut w) = (Instant::now(), window(4, 32));
        (0..50).for_each(|_| w.on_failure(now));
        w.restart();
        succeed(&mut w, 4, 20 * MS, now);
        assert_eq!(w.size(), 8);
    }

    proptest! {
        #[test]
        fn stays_between_one_and_its_maximum(initial in 0..100u32, max in 0..100u32,
            results in prop::collection::vec((any::<bool>(), 0..5_000u64, 0..200u32, 0..2_000u64), 0..300)) {
            let (mut now, mut w) = (Instant::now(), window(initial, max));
            for (success, latency, in_flight, gap) in results {
                now += Duration::from_millis(gap);
                let before = w.size();
                if success { w.on_success(Duration::from_millis(latency), in_flight, now) } else { w.on_failure(now) }
                prop_assert!(w.size() >= 1 && w.size() <= max.max(1));
                prop_assert!(w.size() >= before / 2 && w.size() <= before + 1);
                prop_assert!(in_flight * 4 >= before * 3 || w.size() <= before, "grew unused");
            }
        }
    }
}
