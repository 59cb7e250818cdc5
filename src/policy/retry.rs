//! When to try again: the webhook's schedule, spread by jitter, and no sooner than the receiver asked for (up to a cap).

use std::time::Duration;

use crate::domain::RetryPolicy;

#[derive(Clone, Copy, Debug)]
pub struct RetryLimits {
    /// The schedule's delays are spread by ± this share, `0.0..=1.0`.
    pub jitter: f64,
    /// `Retry-After` is obeyed up to this.
    pub max_retry_after: Duration,
}

/// The delay before the next attempt after `round_attempts` attempts (≥ 1) of this round; `None`: the schedule has run out.
/// `random` is uniform in `0.0..1.0`.
///
/// `Retry-After` can only make the delay longer: a receiver that says "in a second" at its fifth failure still gets the
/// schedule's patience.
#[must_use]
pub fn next_attempt(
    policy: &RetryPolicy,
    limits: &RetryLimits,
    round_attempts: u16,
    not_before: Option<Duration>,
    random: f64,
) -> Option<Duration> {
    let seconds = *policy.schedule_seconds.get(usize::from(round_attempts.saturating_sub(1)))?;
    let factor = 1.0 + limits.jitter.clamp(0.0, 1.0) * (2.0 * random.clamp(0.0, 1.0) - 1.0);
    let scheduled = Duration::from_secs_f64(f64::from(seconds) * factor);
    let asked = not_before.map_or(Duration::ZERO, |delay| delay.min(limits.max_retry_after));
    Some(scheduled.max(asked))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LIMITS: RetryLimits = RetryLimits { jitter: 0.2, max_retry_after: Duration::from_hours(1) };

    fn after(attempts: u16, not_before: Option<u64>, random: f64) -> Option<Duration> {
        next_attempt(&RetryPolicy::default(), &LIMITS, attempts, not_before.map(Duration::from_secs), random)
    }

    #[test]
    fn the_schedule_is_followed_and_runs_out_after_its_last_delay() {
        let seconds: Vec<_> = (1..=9).map(|n| after(n, None, 0.5).unwrap().as_secs()).collect();
        assert_eq!(seconds, [5, 30, 120, 600, 1_800, 3_600, 7_200, 18_000, 36_000]);
        assert_eq!(after(10, None, 0.5), None);
        assert_eq!(after(10, Some(5), 0.5), None, "Retry-After does not prolong the schedule");
    }

    #[test]
    fn retry_after_longer_than_cap_is_clamped() {
        assert_eq!(after(1, Some(86_400), 0.5), Some(LIMITS.max_retry_after));
    }

    #[test]
    fn retry_after_shorter_than_the_schedule_changes_nothing() {
        assert_eq!(after(4, Some(1), 0.5), Some(Duration::from_mins(10)));
    }

    #[test]
    fn retry_after_is_never_undercut_by_jitter() {
        assert_eq!(after(1, Some(60), 0.0), Some(Duration::from_mins(1)));
    }

    #[test]
    fn an_empty_schedule_means_one_attempt() {
        let policy = RetryPolicy { schedule_seconds: vec![], ..RetryPolicy::default() };
        assert_eq!(next_attempt(&policy, &LIMITS, 1, None, 0.5), None);
    }

    proptest! {
        #[test]
        fn the_delay_stays_within_jitter_of_the_schedule_and_above_what_was_asked(
            schedule in prop::collection::vec(0..1_000_000u32, 1..12), attempt in 1..14u16,
            jitter in -0.5..3.0f64, random in 0.0..1.0f64, asked in prop::option::of(0..200_000u64), cap in 0..100_000u64,
        ) {
            let policy = RetryPolicy { schedule_seconds: schedule.clone(), ..RetryPolicy::default() };
            let limits = RetryLimits { jitter, max_retry_after: Duration::from_secs(cap) };
            let delay = next_attempt(&policy, &limits, attempt, asked.map(Duration::from_secs), random);
            let Some(&seconds) = schedule.get(usize::from(attempt) - 1) else {
                prop_assert_eq!(delay, None);
                return Ok(());
            };
            let delay = delay.unwrap().as_secs_f64();
            let (share, asked) = (jitter.clamp(0.0, 1.0), asked.map_or(0.0, |s| s.min(cap) as f64));
            let (low, high) = (f64::from(seconds) * (1.0 - share), f64::from(seconds) * (1.0 + share));
            prop_assert!(delay >= low - 1e-6 && delay >= asked - 1e-6);
            prop_assert!(delay <= high.max(asked) + 1e-6);
        }
    }
}
