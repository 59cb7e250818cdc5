//! What the actors of all threads are doing, summed up now and then for the gauges. Nobody is asked: each child keeps its figures in
//! a cell that its loft reads.

use parking_lot::Mutex;

use crate::domain::{Timestamp, WaitReason};

/// What holds the oldest due delivery of a webhook, in the order of [`Observed::oldest`].
pub const HELD_BY: [&str; 5] = ["ready", "throttled", "circuit_open", "order", "paused"];

/// The place of a reason in [`HELD_BY`].
pub(super) const fn held_by(reason: WaitReason) -> usize {
    match reason {
        WaitReason::None | WaitReason::Window => 0,
        WaitReason::Throttled => 1,
        WaitReason::CircuitOpen => 2,
        WaitReason::Order => 3,
        WaitReason::Paused => 4,
    }
}

/// The figures of one thread, or of all.
#[derive(Clone, Copy, Debug, Default)]
pub struct Observed {
    /// When the oldest delivery that is due was due, by [`HELD_BY`].
    pub oldest: [Option<Timestamp>; HELD_BY.len()],
    /// Webhooks with work, by [`HELD_BY`].
    pub active: [u64; HELD_BY.len()],
    pub instances: u64,
    pub webhooks: u64,
    /// Messages sent to children and not handled.
    pub mailbox: u64,
}

impl Observed {
    pub(super) fn note(&mut self, held_by: usize, oldest: Option<Timestamp>) {
        self.active[held_by] += 1;
        self.oldest[held_by] = earlier(self.oldest[held_by], oldest);
    }

    fn add(mut self, other: &Self) -> Self {
        for held_by in 0..HELD_BY.len() {
            self.oldest[held_by] = earlier(self.oldest[held_by], other.oldest[held_by]);
            self.active[held_by] += other.active[held_by];
        }
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

    #[test]
    fn the_oldest_of_all_threads_is_the_oldest() {
        let observations = Observations::new(2);
        let mut first = Observed::default();
        first.note(0, Some(Timestamp::from_millis(9)));
        let mut second = Observed::default();
        second.note(0, Some(Timestamp::from_millis(4)));
        second.note(1, None);
        observations.put(0, first);
        observations.put(1, second);
        let sum = observations.sum();
        assert_eq!(sum.oldest[0], Some(Timestamp::from_millis(4)));
        assert_eq!(sum.active[..2], [2, 1]);
    }
}
