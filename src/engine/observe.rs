//! What the actors of all threads are doing, summed up now and then for the gauges. Nobody is asked: each child keeps its figures in
//! a cell that its loft reads.

use parking_lot::Mutex;

use crate::domain::{LaneClass, Timestamp, WaitReason};
use crate::policy::CircuitState;
use crate::store::LaneCounts;

/// What holds the oldest due delivery of a webhook, in the order of [`Observed::oldest`].
pub const HELD_BY: [&str; 5] = ["ready", "throttled", "circuit_open", "order", "paused"];
/// The place of what is paused in [`HELD_BY`].
pub const PAUSED: usize = 4;
const ORDER: usize = 3;

/// The place of a reason in [`HELD_BY`].
pub(super) const fn held_by(reason: WaitReason) -> usize {
    match reason {
        WaitReason::None | WaitReason::Window => 0,
        WaitReason::Throttled => 1,
        WaitReason::CircuitOpen => 2,
        WaitReason::Order => ORDER,
        WaitReason::Paused => PAUSED,
    }
}

/// The figures of one thread, or of all.
#[derive(Clone, Copy, Debug, Default)]
pub struct Observed {
    /// When the oldest delivery that is due was due, by [`HELD_BY`].
    pub oldest: [Option<Timestamp>; HELD_BY.len()],
    /// When the oldest attempt in flight started.
    pub oldest_flight: Option<Timestamp>,
    /// When the oldest delivery that waits for a retry was accepted, of those in memory.
    pub oldest_retry: Option<Timestamp>,
    /// Webhooks with work, by [`HELD_BY`].
    pub active: [u64; HELD_BY.len()],
    /// Unfinished deliveries by [`HELD_BY`], those in flight or waiting for a retry not among them.
    pub waiting: [u64; HELD_BY.len()],
    /// Deliveries that wait for their next attempt.
    pub retrying: u64,
    pub instances: u64,
    pub webhooks: u64,
    /// Messages sent to children and not handled.
    pub mailbox: u64,
    /// Breakers by state: closed, open, probing.
    pub circuits: [u64; 3],
}

/// One webhook at work, as its loft sees it.
#[derive(Clone, Copy, Debug)]
pub(super) struct AtWork {
    /// Of [`HELD_BY`].
    pub(super) held_by: usize,
    pub(super) counts: LaneCounts,
    pub(super) in_flight: u64,
    pub(super) oldest_due: Option<Timestamp>,
    pub(super) oldest_flight: Option<Timestamp>,
    pub(super) oldest_retry: Option<Timestamp>,
}

impl Observed {
    pub(super) fn note(&mut self, webhook: &AtWork) {
        let held_by = webhook.held_by;
        self.active[held_by] += 1;
        self.oldest[held_by] = earlier(self.oldest[held_by], webhook.oldest_due);
        self.oldest_flight = earlier(self.oldest_flight, webhook.oldest_flight);
        self.oldest_retry = earlier(self.oldest_retry, webhook.oldest_retry);
        if held_by == PAUSED {
            // All that is paused is counted where also those are that have no actor.
            return;
        }
        let waiting = |class: LaneClass| webhook.counts.waiting[class as usize];
        let fresh = waiting(LaneClass::Live) + waiting(LaneClass::Low);
        let retries_in_flight = webhook.in_flight.saturating_sub(fresh);
        self.waiting[held_by] += fresh.saturating_sub(webhook.in_flight);
        self.waiting[ORDER] += waiting(LaneClass::Parked);
        self.retrying += waiting(LaneClass::Retry).saturating_sub(retries_in_flight);
    }

    pub(super) fn note_circuit(&mut self, state: CircuitState) {
        self.circuits[state as usize] += 1;
    }

    fn add(mut self, other: &Self) -> Self {
        for held_by in 0..HELD_BY.len() {
            self.oldest[held_by] = earlier(self.oldest[held_by], other.oldest[held_by]);
            self.active[held_by] += other.active[held_by];
            self.waiting[held_by] += other.waiting[held_by];
        }
        for (sum, more) in self.circuits.iter_mut().zip(other.circuits) {
            *sum += more;
        }
        self.oldest_flight = earlier(self.oldest_flight, other.oldest_flight);
        self.oldest_retry = earlier(self.oldest_retry, other.oldest_retry);
        self.retrying += other.retrying;
        self.instances += other.instances;
        self.webhooks += other.webhooks;
        self.mailbox += other.mailbox;
        self
    }
}

fn earlier(a: Option<Timestamp>, b: Option<Timestamp>) -> Option<Timestamp> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

/// The last figures of each thread.
#[derive(Debug)]
pub(super) struct Observations(Mutex<Vec<Observed>>);

impl Observations {
    pub(super) fn new(threads: usize) -> Self {
        Self(Mutex::new(vec![Observed::default(); threads]))
    }

    pub(super) fn put(&self, thread: usize, observed: Observed) {
        self.0.lock()[thread] = observed;
    }

    pub(super) fn sum(&self) -> Observed {
        self.0.lock().iter().fold(Observed::default(), Observed::add)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn webhook(held_by: usize, oldest: Option<u64>) -> AtWork {
        AtWork {
            held_by,
            counts: LaneCounts { waiting: [5, 10, 20, 7], dead: 3 },
            in_flight: 4,
            oldest_due: oldest.map(Timestamp::from_millis),
            oldest_flight: None,
            oldest_retry: None,
        }
    }

    #[test]
    fn the_oldest_of_all_threads_is_the_oldest() {
        let observations = Observations::new(2);
        let mut first = Observed::default();
        first.note(&webhook(0, Some(9)));
        let mut second = Observed::default();
        second.note(&webhook(0, Some(4)));
        second.note(&webhook(1, None));
        observations.put(0, first);
        observations.put(1, second);
        let sum = observations.sum();
        assert_eq!(sum.oldest[0], Some(Timestamp::from_millis(4)));
        assert_eq!(sum.active[..2], [2, 1]);
    }

    #[test]
    fn each_unfinished_delivery_is_counted_in_one_state() {
        let mut observed = Observed::default();
        observed.note(&webhook(2, None));
        assert_eq!((observed.waiting, observed.retrying), ([0, 0, 26, 7, 0], 5), "four are in flight");
        let mut busy = Observed::default();
        busy.note(&AtWork { in_flight: 32, ..webhook(0, None) });
        assert_eq!((busy.waiting, busy.retrying), ([0, 0, 0, 7, 0], 3), "two retries are in flight");
        let mut paused = Observed::default();
        paused.note(&webhook(PAUSED, None));
        assert_eq!((paused.waiting, paused.retrying, paused.active[PAUSED]), ([0; 5], 0, 1));
    }
}
