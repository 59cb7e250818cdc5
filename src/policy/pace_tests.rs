//! Behaviour of the pace.

use super::*;
use proptest::prelude::*;

fn limit(limit: u32, period_ms: u64, burst: u32) -> RateLimit {
    RateLimit { limit, period_ms, burst }
}

fn millis(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// Takes as soon as allowed for `span`; the instants of the starts.
fn greedy(pace: &mut Pace, start: Instant, span: Duration) -> Vec<Instant> {
    let (mut now, mut starts) = (start, vec![]);
    while now < start + span {
        match pace.take(now) {
            Ok(()) => starts.push(now),
            Err(until) => {
                assert!(until > now, "asked to come back in the past");
                now = until;
            }
        }
    }
    starts
}

/// The promise itself: any `limit` + 1 consecutive starts span more than the period.
fn holds_in_every_window(starts: &[Instant], limit: RateLimit) -> bool {
    let count = limit.limit as usize;
    starts.windows(count + 1).all(|run| run[count] - run[0] > millis(limit.period_ms))
}

#[test]
fn without_a_limit_everything_passes() {
    let now = Instant::now();
    let mut pace = Pace::new(None, now);
    assert!((0..10_000).all(|_| pace.take(now).is_ok()));
}

#[test]
fn fifty_a_second_paces_at_forty_nine_a_second() {
    let now = Instant::now();
    let mut pace = Pace::new(Some(limit(50, 1_000, 1)), now);
    let starts = greedy(&mut pace, now, Duration::from_secs(10));
    assert_eq!(starts.len(), 491, "the one at 0 included");
    assert_eq!(starts[1] - starts[0], Duration::from_micros(20_400));
}

#[test]
fn a_burst_goes_back_to_back_and_is_part_of_the_limit() {
    let now = Instant::now();
    let rate = limit(10, 1_000, 5);
    let mut pace = Pace::new(Some(rate), now);
    assert_eq!((0..20).filter(|_| pace.take(now).is_ok()).count(), 5);
    let mut rested = greedy(&mut pace, now + millis(5_000), millis(1_000));
    assert_eq!(rested.len(), 10, "GCRA alone would have let 14 into this second");
    rested.extend(greedy(&mut pace, now + millis(6_000), millis(5_000)));
    assert!(holds_in_every_window(&rested, rate));
}

#[test]
fn the_instant_to_come_back_is_the_right_one() {
    let now = Instant::now();
    let mut pace = Pace::new(Some(limit(1, 1_000, 1)), now);
    pace.take(now).unwrap();
    let until = pace.take(now).unwrap_err();
    assert_eq!(until, now + millis(1_020));
    assert_eq!(pace.take(now + Duration::from_nanos(1_019_999_999)), Err(until));
    assert_eq!(pace.take(until), Ok(()));
}

#[test]
fn a_changed_limit_remembers_what_was_started() {
    let now = Instant::now();
    let mut pace = Pace::new(Some(limit(10, 1_000, 10)), now);
    assert_eq!((0..20).filter(|_| pace.take(now).is_ok()).count(), 10);
    pace.set_limit(Some(limit(5, 1_000, 5)), now);
    assert_eq!(pace.take(now + millis(500)), Err(now + millis(1_020)));
    pace.set_limit(Some(limit(12, 1_000, 12)), now + millis(500));
    assert_eq!((0..20).filter(|_| pace.take(now + millis(500)).is_ok()).count(), 2, "12 - 10 are left in this window");
    pace.set_limit(None, now);
    assert!((0..100).all(|_| pace.take(now).is_ok()));
}

#[test]
fn a_large_limit_holds_exactly_with_a_short_log() {
    let now = Instant::now();
    for (count, burst) in [(10_000, 10_000), (100_000, 40_000), (4_097, 1)] {
        let rate = limit(count, 1_000, burst);
        let mut pace = Pace::new(Some(rate), now);
        let starts = greedy(&mut pace, now, millis(3_500));
        assert!(holds_in_every_window(&starts, rate), "{rate:?}");
        assert!(starts.len() as f64 >= 0.95 * 3.5 * f64::from(count), "{rate:?}: {}", starts.len());
        let logged = pace.0.unwrap().log.len();
        assert!(logged <= MAX_LOGGED as usize + 1, "{logged}");
    }
}

#[test]
fn a_quiet_webhook_with_a_large_limit_allocates_little() {
    let now = Instant::now();
    let mut pace = Pace::new(Some(limit(100_000, 60_000, 100)), now);
    (0..10).for_each(|n| pace.take(now + millis(n)).unwrap());
    assert!(pace.0.unwrap().log.capacity() <= 16);
}

proptest! {
    #[test]
    fn every_sliding_window_holds_at_most_the_limit(
        count in 1..60u32, period_ms in 1..5_000u64, burst in 0..80u32, gaps in prop::collection::vec(0..400_000_000u64, 1..400), rush in 1..20u32,
    ) {
        let rate = limit(count, period_ms, burst);
        let mut now = Instant::now();
        let mut pace = Pace::new(Some(rate), now);
        let mut starts = vec![];
        for gap in gaps {
            now += Duration::from_nanos(gap % (period_ms * 1_000_000));
            for _ in 0..rush {
                match pace.take(now) {
                    Ok(()) => starts.push(now),
                    Err(until) => prop_assert!(until > now && until <= now + millis(period_ms * 2)),
                }
            }
        }
        prop_assert!(holds_in_every_window(&starts, rate));
    }

    #[test]
    fn large_limits_hold_too(count in 4_000..20_000u32, burst in 1..20_000u32, rests in prop::collection::vec(0..900u64, 1..5)) {
        let rate = limit(count, 1_000, burst);
        let mut now = Instant::now();
        let mut pace = Pace::new(Some(rate), now);
        let mut starts = vec![];
        for rest in rests {
            starts.extend(greedy(&mut pace, now, millis(700)));
            now += millis(700 + rest);
        }
        prop_assert!(holds_in_every_window(&starts, rate));
    }

    #[test]
    fn throughput_is_at_least_95_percent_when_always_asked(count in 1..200u32, period_ms in 1..5_000u64, burst in 1..200u32) {
        let now = Instant::now();
        let mut pace = Pace::new(Some(limit(count, period_ms, burst)), now);
        let starts = greedy(&mut pace, now, millis(period_ms * 20)).len();
        prop_assert!(starts as f64 >= (0.95 * 20.0 * f64::from(count)).floor(), "{starts}");
    }

    #[test]
    fn a_limit_changed_at_any_time_holds_from_then_on(before in 1..30u32, after in 1..30u32, at in 0..3_000u64) {
        let now = Instant::now();
        let mut pace = Pace::new(Some(limit(before, 1_000, before)), now);
        let mut starts = greedy(&mut pace, now, millis(at));
        pace.set_limit(Some(limit(after, 1_000, after)), now + millis(at));
        starts.extend(greedy(&mut pace, now + millis(at), millis(3_000)));
        prop_assert!(holds_in_every_window(&starts, limit(before.max(after), 1_000, 1)));
    }
}

#[test]
fn after_a_start_nobody_counted_a_whole_period_passes_first() {
    let before = Instant::now();
    let rate = limit(10, 1_000, 10);
    let mut pace = Pace::spent(Some(rate), before);
    let held_until = pace.take(before + millis(300)).expect_err("others may have started ten just before");
    assert_eq!(held_until, before + millis(1_020));
    let starts = greedy(&mut pace, before + millis(300), millis(10_000));
    assert!(starts[0] == held_until && holds_in_every_window(&starts, rate));
    assert!(starts.len() >= 80, "{}", starts.len());
    let mut rested = Pace::spent(Some(rate), before);
    assert_eq!((0..20).filter(|_| rested.take(before + millis(5_000)).is_ok()).count(), 10, "long ago");
}
