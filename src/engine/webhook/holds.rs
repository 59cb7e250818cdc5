//! What has held a webhook's lane lately, so that a delivery that starts late can say what it waited for: not what held it last,
//! which after an outage is the window, but what held it longest.

use std::collections::VecDeque;
use std::time::Duration;

use crate::domain::{Timestamp, WaitReason};

/// Spans remembered.
const KEPT: usize = 8;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Holds {
    /// What holds the front of the lane now, and since when.
    now: WaitReason,
    since: Timestamp,
    past: VecDeque<Span>,
}

#[derive(Clone, Copy, Debug)]
struct Span {
    reason: WaitReason,
    from: Timestamp,
    to: Timestamp,
}

impl Span {
    fn overlap(&self, due: Timestamp) -> Duration {
        self.to.since(self.from.max(due))
    }
}

impl Holds {
    pub(super) fn reason(&self) -> WaitReason {
        self.now
    }

    /// From `at` on the lane is held by this.
    pub(super) fn hold(&mut self, reason: WaitReason, at: Timestamp) {
        if reason == self.now {
            return;
        }
        if self.now != WaitReason::None {
            if self.past.len() == KEPT {
                self.past.pop_front();
            }
            self.past.push_back(Span { reason: self.now, from: self.since, to: at });
        }
        (self.now, self.since) = (reason, at);
    }

    /// What one that was due at `due` and starts at `at` waited for longest; when nothing held the lane, its own key did, if it has one.
    pub(super) fn longest(&self, due: Timestamp, at: Timestamp, has_key: bool) -> WaitReason {
        let present = Span { reason: self.now, from: self.since, to: at };
        let mut times = [(WaitReason::None, Duration::ZERO); KEPT + 1];
        for span in self.past.iter().chain([&present]).filter(|span| span.reason != WaitReason::None) {
            let place = times.iter().position(|(known, time)| *known == span.reason || time.is_zero());
            let overlap = span.overlap(due);
            if let Some(place) = place.filter(|_| !overlap.is_zero()) {
                times[place] = (span.reason, times[place].1 + overlap);
            }
        }
        let (reason, _) = times.into_iter().max_by_key(|(_, time)| *time).unwrap_or_default();
        if reason == WaitReason::None && has_key { WaitReason::Order } else { reason }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    #[test]
    fn after_an_outage_the_outage_is_told_and_not_the_window_that_came_after() {
        let mut holds = Holds::default();
        holds.hold(WaitReason::CircuitOpen, at(100));
        holds.hold(WaitReason::Window, at(10_000));
        assert_eq!(holds.longest(at(200), at(10_500), false), WaitReason::CircuitOpen);
        assert_eq!(holds.longest(at(10_001), at(10_500), false), WaitReason::Window);
        assert_eq!(holds.longest(at(20_000), at(20_000), true), WaitReason::Order);
    }

    #[test]
    fn spans_of_one_reason_add_up_and_those_before_it_was_due_do_not_count() {
        let mut holds = Holds::default();
        for n in 0..20 {
            holds.hold(WaitReason::Throttled, at(n * 100));
            holds.hold(WaitReason::Window, at(n * 100 + 70));
        }
        holds.hold(WaitReason::None, at(2_000));
        assert_eq!(holds.longest(at(0), at(2_100), false), WaitReason::Throttled);
        assert_eq!(holds.longest(at(1_975), at(2_100), false), WaitReason::Window);
        assert_eq!(holds.longest(at(2_000), at(2_100), false), WaitReason::None);
        assert!(holds.past.len() <= KEPT);
    }
}
