//! Thousands of deliveries through a gate to a modelled receiver, under a virtual clock, from a seed.
//!
//! At every step: never more in flight than the concurrency; exactly one probe while probing; after a recovery never more in
//! flight than the ramp allows; the rate limit in every sliding window. At the end: everything was delivered, in the time it should take.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::{Duration, Instant};

use super::{BreakerConfig, CircuitState, Gate, GateConfig, Permit};
use crate::domain::{RateLimit, WaitReason};

const CONCURRENCY: u32 = 32;

/// splitmix64: the same seed, the same run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % bound
    }
}

#[derive(Clone, Copy)]
enum Receiver {
    Healthy,
    /// Half its deaths are a refused connection, half a timeout of 15 s; well before and after.
    DeadBetween(u64, u64),
    Slow,
    /// One in ten answers 500.
    Flaky,
    /// One in two answers 400: the content's fault.
    Picky,
}

struct Answer {
    after_ms: u64,
    success: bool,
    counts: bool,
}

impl Receiver {
    fn answer(self, at_ms: u64, dice: &mut Dice) -> Answer {
        let quick = 15 + dice.below(10);
        let (after_ms, success, counts) = match self {
            Self::DeadBetween(from, to) if (from..to).contains(&at_ms) => {
                (if dice.below(2) == 0 { 1 } else { 15_000 }, false, true)
            }
            Self::Healthy | Self::DeadBetween(..) => (quick, true, true),
            Self::Slow => (1_800 + dice.below(400), true, true),
            Self::Flaky => (quick, dice.below(10) != 0, true),
            Self::Picky => (quick, dice.below(2) == 0, false),
        };
        Answer { after_ms, success, counts }
    }
}

struct InFlight {
    permit: Permit,
    answer: Answer,
    /// Started after the last opening, so bound by probe and ramp.
    epoch: u32,
}

/// What the run was like.
#[derive(Default, Debug)]
struct Run {
    took_ms: u64,
    attempts: u64,
    max_in_flight: u32,
    openings: u32,
    probes: u32,
}

fn run(receiver: Receiver, rate_limit: Option<RateLimit>, deliveries: u64, seed: u64) -> Run {
    let origin = Instant::now();
    let breaker = BreakerConfig {
        failures: 5,
        open_for: Duration::from_secs(5),
        max_open: Duration::from_secs(40),
        ramp_steps: 5,
    };
    let config = GateConfig { breaker, concurrency: CONCURRENCY, initial_window: 4, rate_limit };
    let mut gate = Gate::new(config, origin);
    let (mut dice, mut run) = (Dice(seed), Run::default());
    let (mut now_ms, mut due, mut delivered) = (0, deliveries, 0);
    let mut now = origin;
    let mut ends: BinaryHeap<Reverse<(Instant, usize)>> = BinaryHeap::new();
    let mut flying: Vec<Option<InFlight>> = vec![];
    let mut starts: Vec<Instant> = vec![];
    // Counted here, apart from the gate: the opening we are after, and the successes since its probe went out.
    let (mut epoch, mut since_probe) = (0, None::<u32>);

    while delivered < deliveries {
        let mut ask_again = None;
        while due > 0 {
            let before = gate.circuit();
            match gate.admit(now) {
                Ok(permit) => {
                    assert_ne!(before, CircuitState::Probing, "a second probe");
                    if gate.circuit() == CircuitState::Probing {
                        run.probes += 1;
                        since_probe = Some(0);
                    }
                    due -= 1;
                    let answer = receiver.answer(now_ms, &mut dice);
                    ends.push(Reverse((now + Duration::from_millis(answer.after_ms), flying.len())));
                    flying.push(Some(InFlight { permit, answer, epoch }));
                    starts.push(now);
                }
                Err(hold) => {
                    assert!(hold.until.is_none_or(|until| until > now), "asked to come back in the past: {hold:?}");
                    assert!(
                        hold.until.is_some() || gate.in_flight() > 0,
                        "waits for an end that never comes: {hold:?}"
                    );
                    assert!(hold.reason != WaitReason::Throttled || rate_limit.is_some());
                    ask_again = hold.until;
                    break;
                }
            }
            run.max_in_flight = run.max_in_flight.max(gate.in_flight());
            if let Some(successes) = since_probe {
                let fresh = flying.iter().rev().take(256).flatten().filter(|f| f.epoch == epoch).count();
                // A bound of 2^k is reached after 1 + 2 + … + 2^(k-1) = 2^k - 1 successes past the probe's.
                assert!(fresh <= successes.max(1) as usize, "{fresh} in flight {successes} successes after the probe");
            }
        }
        assert!(gate.in_flight() <= CONCURRENCY && gate.in_flight() as usize == ends.len());

        let end_at = ends.peek().map(|Reverse((at, _))| *at);
        now = end_at.into_iter().chain(ask_again).min().expect("something is in flight or held until a time");
        now_ms = (now - origin).as_millis() as u64;
        while let Some(Reverse((at, index))) = ends.peek().copied()
            && at <= now
        {
            ends.pop();
            let InFlight { permit, answer, epoch: started_in } = flying[index].take().expect("ends once");
            run.attempts += 1;
            let was_open = gate.circuit() == CircuitState::Open;
            gate.finish(permit, answer.success, answer.counts, Duration::from_millis(answer.after_ms), now);
            if answer.success {
                delivered += 1;
                if started_in == epoch {
                    since_probe = since_probe.map(|n| n + 1);
                }
            } else {
                due += 1;
            }
            if !was_open && gate.circuit() == CircuitState::Open {
                run.openings += 1;
                epoch += 1;
                since_probe = None;
            }
        }
    }
    if let Some(rate) = rate_limit {
        let count = rate.limit as usize;
        let period = Duration::from_millis(rate.period_ms);
        assert!(starts.windows(count + 1).all(|s| s[count] - s[0] > period), "more than the limit in one window");
    }
    run.took_ms = now_ms;
    run
}

#[test]
fn a_healthy_receiver_gets_the_whole_concurrency_and_no_pause() {
    for seed in 0..5 {
        let run = run(Receiver::Healthy, None, 20_000, seed);
        assert_eq!((run.openings, run.attempts, run.max_in_flight), (0, 20_000, CONCURRENCY), "{run:?}");
        // 20 000 at 32 each 20 ms are 12.5 s.
        assert!(run.took_ms < 14_000, "{run:?}");
    }
}

#[test]
fn a_dead_receiver_is_probed_and_recovers_without_a_burst() {
    for seed in 0..20 {
        let run = run(Receiver::DeadBetween(2_000, 90_000), None, 20_000, seed);
        // 5 + 10 + 20 + 40 + 40 s of waiting, a probe lasting up to 15 s.
        assert!((1..=10).contains(&run.openings) && run.probes >= 2, "{run:?}");
        assert!(run.attempts <= 20_000 + 2 * u64::from(CONCURRENCY), "few attempts are wasted on the dead: {run:?}");
        assert!(run.took_ms < 90_000 + 55_000 + 14_000, "{run:?}");
    }
}

#[test]
fn a_slow_receiver_is_served_at_full_width() {
    let run = run(Receiver::Slow, None, 2_000, 7);
    assert_eq!((run.openings, run.max_in_flight), (0, CONCURRENCY), "{run:?}");
    assert!(run.took_ms < 2_000 * 2_000 / 32 * 12 / 10, "{run:?}");
}

#[test]
fn a_receiver_failing_one_in_ten_goes_on_being_served() {
    for seed in 0..10 {
        let run = run(Receiver::Flaky, None, 10_000, seed);
        assert!(run.openings <= 2, "{run:?}");
        assert!(run.took_ms < 200_000, "{run:?}");
    }
}

#[test]
fn a_receiver_refusing_content_is_not_held_against() {
    let run = run(Receiver::Picky, None, 10_000, 3);
    assert_eq!((run.openings, run.probes), (0, 0), "{run:?}");
}

#[test]
fn the_rate_limit_holds_for_every_receiver() {
    let rate = RateLimit { limit: 50, period_ms: 1_000, burst: 10 };
    for receiver in [Receiver::Healthy, Receiver::DeadBetween(1_000, 30_000), Receiver::Slow, Receiver::Flaky] {
        for seed in 0..3 {
            run(receiver, Some(rate), 2_000, seed);
        }
    }
    let healthy = run(Receiver::Healthy, Some(rate), 2_000, 1);
    assert!(healthy.took_ms < 42_000, "49 a second: {healthy:?}");
}
