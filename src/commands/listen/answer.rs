//! How a receiver behaves: what it answers, when, and how often it fails.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The part a receiver plays.
#[derive(Clone, Debug, PartialEq)]
pub struct Script {
    /// Before the answer.
    pub delay: Duration,
    pub status: u16,
    /// Share of requests answered 500 instead.
    pub fail_rate: f64,
    /// Takes requests and never answers.
    pub never: bool,
    /// Headers of each answer, e.g. `Retry-After`.
    pub headers: Vec<(String, String)>,
}

impl Default for Script {
    fn default() -> Self {
        Self { delay: Duration::ZERO, status: 200, fail_rate: 0.0, never: false, headers: Vec::new() }
    }
}

/// Draws that fail at a given rate: a fixed sequence from a seed, so that a run can be repeated.
#[derive(Debug)]
pub struct Dice(AtomicU64);

impl Dice {
    pub const fn new(seed: u64) -> Self {
        Self(AtomicU64::new(seed))
    }

    /// Uniform in `0.0..1.0` (SplitMix64).
    pub fn roll(&self) -> f64 {
        const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
        let mut bits = self.0.fetch_add(STEP, Ordering::Relaxed).wrapping_add(STEP);
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^= bits >> 31;
        (bits >> 11) as f64 / (1_u64 << 53) as f64
    }
}

impl Script {
    /// The status of the next answer.
    pub fn next_status(&self, dice: &Dice) -> u16 {
        if self.fail_rate > 0.0 && dice.roll() < self.fail_rate { 500 } else { self.status }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_come_at_the_asked_rate_and_repeat_with_the_seed() {
        let script = Script { fail_rate: 0.25, ..Script::default() };
        let draw = |seed| {
            let dice = Dice::new(seed);
            (0..10_000).map(|_| script.next_status(&dice)).collect::<Vec<_>>()
        };
        let failures = draw(1).iter().filter(|status| **status == 500).count();
        assert!((2_300..2_700).contains(&failures), "{failures}");
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
    }

    #[test]
    fn rates_of_nothing_and_everything_are_exact() {
        let dice = Dice::new(7);
        let all = |fail_rate| {
            let script = Script { fail_rate, ..Script::default() };
            (0..1_000).all(|_| script.next_status(&dice) == 500)
        };
        assert!(all(1.0));
        assert!(!all(0.0));
    }
}
