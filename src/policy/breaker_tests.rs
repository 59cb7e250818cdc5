//! Behaviour of the breaker.

use super::*;
use proptest::prelude::*;

const CONFIG: BreakerConfig =
    BreakerConfig { failures: 5, open_for: Duration::from_secs(10), max_open: Duration::from_secs(35), ramp_steps: 3 };

fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn opened(now: Instant) -> Breaker {
    let mut breaker = Breaker::new(CONFIG);
    for _ in 0..CONFIG.failures {
        let request = breaker.on_start(now);
        breaker.on_failure(request, now);
    }
    assert_eq!(breaker.state(), CircuitState::Open);
    breaker
}

fn succeed(breaker: &mut Breaker, now: Instant) {
    let request = breaker.on_start(now);
    breaker.on_success(request, now);
}

fn fail(breaker: &mut Breaker, now: Instant) {
    let request = breaker.on_start(now);
    breaker.on_failure(request, now);
}

#[test]
fn opens_only_after_the_configured_failures_in_a_row() {
    let now = Instant::now();
    let mut breaker = Breaker::new(CONFIG);
    for _ in 0..6 {
        (0..4).for_each(|_| fail(&mut breaker, now));
        succeed(&mut breaker, now + seconds(20));
    }
    assert_eq!(breaker.state(), CircuitState::Closed);
    (0..5).for_each(|_| fail(&mut breaker, now));
    assert_eq!((breaker.state(), breaker.max_in_flight(now)), (CircuitState::Open, Some(0)));
}

#[test]
fn opens_when_half_of_a_run_fails_though_never_in_a_row() {
    let now = Instant::now();
    let mut breaker = Breaker::new(CONFIG);
    for _ in 0..SAMPLE / 2 {
        assert_eq!(breaker.state(), CircuitState::Closed);
        succeed(&mut breaker, now);
        fail(&mut breaker, now);
    }
    assert_eq!(breaker.state(), CircuitState::Open);
}

#[test]
fn a_run_longer_than_its_span_is_not_judged() {
    let start = Instant::now();
    let mut breaker = Breaker::new(CONFIG);
    for second in 0..200 {
        succeed(&mut breaker, start + seconds(second));
        fail(&mut breaker, start + seconds(second));
    }
    assert_eq!(breaker.state(), CircuitState::Closed);
}

#[test]
fn lets_exactly_one_probe_through_when_its_time_has_come() {
    let now = Instant::now();
    let mut breaker = opened(now);
    assert!(!breaker.admits(now + seconds(9)));
    let due = breaker.probe_at().unwrap();
    assert_eq!(due, now + seconds(10));
    assert!(breaker.admits(due));
    let _probe = breaker.on_start(due);
    assert_eq!(breaker.state(), CircuitState::Probing);
    assert!(!breaker.admits(due + seconds(1_000)), "not even long after");
}

#[test]
fn each_failed_probe_doubles_the_time_up_to_its_maximum_and_recovery_resets_it() {
    let mut now = Instant::now();
    let mut breaker = opened(now);
    for expected in [20, 35, 35] {
        now = breaker.probe_at().unwrap();
        fail(&mut breaker, now);
        assert_eq!(breaker.probe_at(), Some(now + seconds(expected)));
    }
    now = breaker.probe_at().unwrap();
    (0..8).for_each(|_| succeed(&mut breaker, now));
    assert_eq!(breaker.max_in_flight(now), None);
    (0..5).for_each(|_| fail(&mut breaker, now));
    assert_eq!(breaker.probe_at(), Some(now + seconds(10)));
}

#[test]
fn recovery_doubles_the_bound_per_round_of_successes() {
    let now = Instant::now();
    let mut breaker = opened(now);
    let due = now + seconds(10);
    let mut bounds = vec![];
    for _ in 0..8 {
        succeed(&mut breaker, due);
        bounds.push(breaker.max_in_flight(due));
    }
    assert_eq!(bounds, [Some(1), Some(2), Some(2), Some(4), Some(4), Some(4), Some(4), None]);
}

#[test]
fn failures_on_the_ramp_step_down_and_open_at_the_bottom() {
    let now = Instant::now();
    let mut breaker = opened(now);
    let due = now + seconds(10);
    (0..4).for_each(|_| succeed(&mut breaker, due));
    let mut bounds = vec![];
    for _ in 0..3 {
        fail(&mut breaker, due);
        bounds.push(breaker.max_in_flight(due));
    }
    assert_eq!(bounds, [Some(2), Some(1), Some(0)]);
    assert_eq!(breaker.probe_at(), Some(due + seconds(20)), "not yet recovered: the time doubles");
}

#[test]
fn results_of_requests_older_than_the_opening_change_nothing() {
    let now = Instant::now();
    let mut breaker = Breaker::new(CONFIG);
    let old: Vec<_> = (0..20).map(|_| breaker.on_start(now)).collect();
    old[..5].iter().for_each(|request| breaker.on_failure(*request, now));
    let due = breaker.probe_at().unwrap();
    breaker.on_failure(old[5], now + seconds(5));
    assert_eq!(breaker.probe_at(), Some(due), "does not prolong");
    breaker.on_success(old[6], now + seconds(5));
    assert_eq!(breaker.state(), CircuitState::Open, "does not close");
    assert!(breaker.admits(due), "does not keep the probe waiting");
    let probe = breaker.on_start(due);
    breaker.on_failure(old[7], due);
    breaker.on_success(old[8], due);
    breaker.on_neutral(old[9], due);
    assert_eq!((breaker.state(), breaker.admits(due)), (CircuitState::Probing, false), "does not decide the probe");
    breaker.on_success(probe, due);
    breaker.on_failure(old[10], due);
    assert_eq!(breaker.max_in_flight(due), Some(1));
}

#[test]
fn a_neutral_result_is_a_sign_of_life_to_a_probe_and_nothing_to_a_closed_breaker() {
    let now = Instant::now();
    let mut breaker = Breaker::new(CONFIG);
    (0..4).for_each(|_| fail(&mut breaker, now));
    let request = breaker.on_start(now);
    breaker.on_neutral(request, now);
    fail(&mut breaker, now);
    assert_eq!(breaker.state(), CircuitState::Open, "did not end the row of failures");
    let due = breaker.probe_at().unwrap();
    let probe = breaker.on_start(due);
    breaker.on_neutral(probe, due);
    assert_eq!((breaker.state(), breaker.max_in_flight(due)), (CircuitState::Closed, Some(1)));
}

proptest! {
    /// Random starts (where admitted), results in random order and time passing: the bounds hold at every step,
    /// and a breaker is never stuck (open always has a time, probing always has a request out).
    #[test]
    fn never_more_than_its_bound_and_never_stuck(actions in prop::collection::vec((0..6u8, any::<prop::sample::Index>()), 1..600)) {
        let mut now = Instant::now();
        let mut breaker = Breaker::new(CONFIG);
        let mut out: Vec<Generation> = vec![];
        for (action, which) in actions {
            match action {
                0..=2 if breaker.admits(now) => out.push(breaker.on_start(now)),
                3 if !out.is_empty() => { let request = out.swap_remove(which.index(out.len())); breaker.on_success(request, now); }
                4 if !out.is_empty() => { let request = out.swap_remove(which.index(out.len())); breaker.on_failure(request, now); }
                _ => now += Duration::from_millis(which.index(4_000) as u64),
            }
            let fresh = out.iter().filter(|request| breaker.is_current(**request)).count();
            match breaker.state() {
                CircuitState::Open => prop_assert!(breaker.probe_at().unwrap() <= now + CONFIG.max_open && fresh == 0),
                CircuitState::Probing => prop_assert_eq!(fresh, 1),
                CircuitState::Closed => prop_assert!(fresh > 0 || breaker.admits(now)),
            }
        }
    }
}
