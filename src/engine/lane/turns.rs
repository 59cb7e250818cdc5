//! Whose turn it is: retries that are due, keys that have become free, live events, history.
//!
//! Nobody is starved: history has a floor beside live events, and live events have half of the starts beside a replay, however large.

use super::{Lane, Waiting};
use crate::domain::{AttemptOrigin, Timestamp};

/// One in this many starts goes to history although live events wait.
const LOW_FLOOR: u32 = 16;

/// Where an entry comes from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Part {
    Retry,
    Ready,
    Live,
    Low,
}

/// What the last starts were.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Turns {
    live_since_low: u32,
    was_replay: bool,
}

impl Turns {
    pub(super) fn took(&mut self, part: Part, taken: &Waiting, low_waits: bool) {
        self.was_replay = part == Part::Retry && taken.entry.origin == AttemptOrigin::Replay;
        match part {
            Part::Low => self.live_since_low = 0,
            Part::Live if low_waits => self.live_since_low += 1,
            Part::Live | Part::Retry | Part::Ready => {}
        }
    }
}

impl Lane {
    pub(super) fn next(&self, now: Timestamp) -> Option<(Part, &Waiting)> {
        let retry = self.retries.first().filter(|retry| retry.entry.due <= now).map(|retry| (Part::Retry, retry));
        let steps_back =
            self.turns.was_replay && retry.is_some_and(|(_, retry)| retry.entry.origin == AttemptOrigin::Replay);
        if steps_back { self.next_fresh().or(retry) } else { retry.or_else(|| self.next_fresh()) }
    }

    fn next_fresh(&self) -> Option<(Part, &Waiting)> {
        if let Some(ready) = self.keys.first_ready() {
            return Some((Part::Ready, ready));
        }
        let keys_are_known = !self.retries.keys_unknown() && !self.keys.wants_parked();
        if !keys_are_known || self.keys.len() >= self.bounds.blocked_keys {
            return None;
        }
        let is_free = |waiting: &&Waiting| !self.keys.is_blocked(waiting.entry.order_key);
        let live = self.live.first().filter(is_free).map(|live| (Part::Live, live));
        let low = self.low.first().filter(is_free).map(|low| (Part::Low, low));
        if self.turns.live_since_low + 1 >= LOW_FLOOR { low.or(live) } else { live.or(low) }
    }
}
