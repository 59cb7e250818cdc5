//! What an attempt's outcome means for its delivery.
//!
//! In this order: a 2xx is delivered; 410 Gone ends the delivery and its webhook (Standard Webhooks, "disabling endpoints");
//! a status the owner gave up on is dead at once; everything else, our own faults included, is tried again.

use std::time::Duration;

use crate::domain::{DeadReason, Outcome, RetryPolicy};

const STATUS_GONE: u16 = 410;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    Delivered,
    /// Try again by the schedule; not before `not_before` when the receiver said so with `Retry-After`.
    Retry {
        not_before: Option<Duration>,
    },
    /// Never again, by the webhook's rule.
    Dead(DeadReason),
    /// 410: the delivery is dead and its webhook is to be disabled.
    Gone,
}

#[must_use]
pub fn classify(outcome: &Outcome, policy: &RetryPolicy) -> Verdict {
    if outcome.is_success() {
        return Verdict::Delivered;
    }
    match outcome.status {
        STATUS_GONE => Verdict::Gone,
        // 0 stands for "no response": no list of statuses can mean it.
        status if status != 0 && policy.give_up_status.contains(&status) => Verdict::Dead(DeadReason::GaveUp),
        _ => Verdict::Retry { not_before: outcome.retry_after_s.map(|seconds| Duration::from_secs(seconds.into())) },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Failure, FailureCode, Phases};
    use bytes::Bytes;
    use proptest::prelude::*;

    fn answered(status: u16) -> Outcome {
        let failure = (!(200..300).contains(&status))
            .then(|| Failure { code: FailureCode::Status, detail: format!("HTTP {status}").into() });
        Outcome { status, failure, retry_after_s: None, snippet: Bytes::new(), phases: Phases::default() }
    }

    fn giving_up_on(statuses: &[u16]) -> RetryPolicy {
        RetryPolicy { give_up_status: statuses.to_vec(), ..RetryPolicy::default() }
    }

    #[test]
    fn every_failure_without_a_response_is_tried_again_even_our_own() {
        for code in FailureCode::ALL {
            let outcome = Outcome::failed(code, "x", Phases::default());
            assert_eq!(classify(&outcome, &giving_up_on(&[0])), Verdict::Retry { not_before: None }, "{code:?}");
        }
    }

    #[test]
    fn a_status_given_up_on_is_dead_at_once() {
        let policy = giving_up_on(&[400, 422]);
        assert_eq!(classify(&answered(422), &policy), Verdict::Dead(DeadReason::GaveUp));
        assert_eq!(classify(&answered(401), &policy), Verdict::Retry { not_before: None });
    }

    #[test]
    fn gone_disables_the_webhook_even_when_it_is_also_given_up_on() {
        assert_eq!(classify(&answered(410), &RetryPolicy::default()), Verdict::Gone);
        assert_eq!(classify(&answered(410), &giving_up_on(&[410])), Verdict::Gone);
    }

    #[test]
    fn a_status_listed_by_mistake_does_not_undo_a_success() {
        assert_eq!(classify(&answered(200), &giving_up_on(&[200])), Verdict::Delivered);
    }

    #[test]
    fn retry_after_is_handed_on() {
        let outcome = Outcome { retry_after_s: Some(90), ..answered(429) };
        let verdict = classify(&outcome, &RetryPolicy::default());
        assert_eq!(verdict, Verdict::Retry { not_before: Some(Duration::from_secs(90)) });
    }

    proptest! {
        #[test]
        fn exactly_the_2xx_are_delivered_and_only_listed_statuses_die(status in 100..600u16, listed in prop::collection::vec(100..600u16, 0..8)) {
            match classify(&answered(status), &giving_up_on(&listed)) {
                Verdict::Delivered => prop_assert!((200..300).contains(&status)),
                Verdict::Gone => prop_assert_eq!(status, 410),
                Verdict::Dead(_) => prop_assert!(listed.contains(&status)),
                Verdict::Retry { .. } => prop_assert!(!listed.contains(&status) && !(200..300).contains(&status)),
            }
        }
    }
}
