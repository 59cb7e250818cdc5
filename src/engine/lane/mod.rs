//! The part of a webhook's lane that is in memory: a bounded window onto the store's ordered set.
//!
//! What must stay true:
//! - Memory is bounded whatever the backlog (P7): each part holds a prefix of its order in the store; what lies past it is read in pages.
//! - An entry is in at most one place: `retry`, `fresh`, `ready`, a key's queue, or in flight.
//! - Of an ordered key at most one entry is ready, in flight or waiting for a retry (P4); the others wait in the key's queue or, when
//!   that is full, parked in the store. Other keys go on.
//! - Nothing is handed out before it is due (P8).
//!
//! The lane decides nothing about rate, health or time-outs: that is the gate's (`policy::gate`). It is pure: instants are arguments,
//! reads and writes of the store are asked for through [`Ask`].

mod bounds;
mod fresh;
mod latest;
mod order;
mod retry;
mod turns;

use std::sync::Arc;

use ahash::AHashMap;

pub use self::bounds::LaneBounds;
use self::fresh::Fresh;
use self::latest::Latest;
use self::order::Keys;
use self::retry::Retries;
use self::turns::{Part, Turns};
use super::carried::Carried;
use crate::domain::{AttemptOrigin, EventId, LaneClass, LaneEntry, Timestamp};
use crate::store::LaneCounts;

/// An entry and, while memory allows, its event.
#[derive(Clone, Debug)]
pub struct Waiting {
    pub entry: LaneEntry,
    pub carried: Option<Arc<Carried>>,
}

impl Waiting {
    fn place(&self) -> Place {
        (self.entry.due, self.entry.event)
    }
}

/// Where an entry sorts within its part.
pub type Place = (Timestamp, EventId);

/// What the lane wants from the store. The actor carries it out and comes back with [`Lane::loaded`] or a settlement.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ask {
    /// Read a page of a part after a place.
    Load { class: LaneClass, order_key: u64, after: Option<Place> },
    /// Move the entry behind its key in the store.
    Park(LaneEntry),
    /// The entry's newer sibling has come: it ends here.
    Supersede { entry: LaneEntry, by: EventId },
}

/// The next entry of the lane.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Peek {
    /// One is due: [`Lane::take`] gives it. Its event has this much `data`.
    Due { data_bytes: u32 },
    /// The earliest is due then.
    NotBefore(Timestamp),
    /// Nothing in memory can start; a page is being read, or an entry in flight must end first, or the lane is empty.
    Nothing,
}

/// See the module.
#[derive(Debug)]
pub struct Lane {
    bounds: LaneBounds,
    /// All events under one key (`ordering: instance`): they stay in order where they are instead of being parked.
    single_key: bool,
    retries: Retries,
    live: Fresh,
    low: Fresh,
    keys: Keys,
    latest: Latest,
    /// As the store holds them now: parking may move an entry while it is in flight.
    in_flight: AHashMap<EventId, LaneEntry>,
    turns: Turns,
    /// Nothing starts for a while: what is in memory is kept small and not filled up.
    resting: bool,
    asks: Vec<Ask>,
}

impl Lane {
    /// A lane over what the store holds; empty counts mean nothing to read.
    pub fn new(bounds: LaneBounds, counts: &LaneCounts, ordered: bool, single_key: bool) -> Self {
        let [retry, live, low, parked] = counts.waiting.map(|count| count > 0);
        // What was parked while the webhook was ordered keeps its order after it no longer is.
        let ordered = ordered || parked;
        let mut lane = Self {
            bounds,
            single_key,
            retries: Retries::new(retry, ordered),
            live: Fresh::new(LaneClass::Live, live),
            low: Fresh::new(LaneClass::Low, low),
            keys: Keys::new(ordered && parked),
            latest: Latest::default(),
            in_flight: AHashMap::new(),
            turns: Turns::default(),
            resting: false,
            asks: Vec::new(),
        };
        lane.refill();
        lane
    }

    /// Whether all entries are under one key from here on.
    pub fn set_single_key(&mut self, single_key: bool) {
        self.single_key = single_key;
    }

    /// What the lane wants done, in the order it must be done.
    pub fn take_asks(&mut self) -> Vec<Ask> {
        std::mem::take(&mut self.asks)
    }

    /// An entry has been made durable and is handed on in memory. Answers it when the lane will read it from the store.
    pub fn offer(&mut self, waiting: Waiting) -> Option<Waiting> {
        self.latest.note(&waiting.entry);
        match waiting.entry.class {
            LaneClass::Live => self.live.offer(waiting, self.bounds.waiting),
            LaneClass::Low => self.low.offer(waiting, self.bounds.waiting),
            LaneClass::Retry => {
                self.retry_later(waiting);
                None
            }
            LaneClass::Parked => None,
        }
    }

    /// An entry waits for its retry, or was put back by hand.
    pub fn retry_later(&mut self, mut waiting: Waiting) {
        if self.in_flight.contains_key(&waiting.entry.event) {
            return;
        }
        self.unorder_when_by_hand(&mut waiting.entry);
        self.retries.insert(waiting, self.bounds.waiting);
    }

    /// Makes a waiting retry due at `due`; the entry as it was and is, when it was there.
    pub fn hasten(&mut self, event: EventId, due: Timestamp) -> Option<(LaneEntry, LaneEntry)> {
        let mut waiting = self.retries.remove(event)?;
        let before = waiting.entry;
        waiting.entry.due = due;
        waiting.entry.origin = AttemptOrigin::Manual;
        let after = waiting.entry;
        self.retries.insert(waiting, self.bounds.waiting);
        Some((before, after))
    }

    /// What could start at `now`. Entries that cannot are moved out of the way on the way.
    pub fn peek(&mut self, now: Timestamp) -> Peek {
        self.settle_fronts();
        self.refill();
        match self.next(now) {
            Some((_, first)) => Peek::Due { data_bytes: first.entry.data_bytes },
            None => self.retries.first_due().map_or(Peek::Nothing, Peek::NotBefore),
        }
    }

    /// Hands out the entry that [`Self::peek`] saw.
    pub fn take(&mut self, now: Timestamp) -> Option<Waiting> {
        self.settle_fronts();
        let part = self.next(now)?.0;
        let waiting = match part {
            Part::Retry => self.retries.pop(),
            Part::Ready => self.keys.pop_ready(),
            Part::Live => self.live.pop(),
            Part::Low => self.low.pop(),
        }?;
        self.turns.took(part, &waiting, !self.low.is_empty());
        if waiting.entry.order_key != 0 {
            self.keys.block(waiting.entry.order_key, waiting.entry.event);
        }
        self.in_flight.insert(waiting.entry.event, waiting.entry);
        self.refill();
        Some(waiting)
    }

    /// The entry in flight has ended its attempt: the entry as the store holds it now. Its key stays blocked until
    /// [`Self::release`] or until it has come back through [`Self::retry_later`] and ended.
    pub fn landed(&mut self, event: EventId) -> Option<LaneEntry> {
        self.retries.left(event);
        self.in_flight.remove(&event)
    }

    /// The entry is finished, one way or another: the next of its key may start.
    pub fn release(&mut self, entry: &LaneEntry) {
        if entry.order_key != 0 {
            self.keys.release(entry.order_key, entry.event);
        }
    }

    /// A page asked for with [`Ask::Load`] has come, `limit` being [`LaneBounds::page`].
    pub fn loaded(&mut self, class: LaneClass, order_key: u64, mut page: Vec<Waiting>) {
        for waiting in &page {
            self.latest.note(&waiting.entry);
        }
        let full = page.len() >= self.bounds.page;
        let reached = page.last().map(Waiting::place);
        match class {
            LaneClass::Retry => {
                page.retain(|waiting| {
                    let event = waiting.entry.event;
                    !self.in_flight.contains_key(&event) && !self.retries.knows_better(event)
                });
                for waiting in &mut page {
                    self.unorder_when_by_hand(&mut waiting.entry);
                    if waiting.entry.order_key != 0 {
                        self.keys.block(waiting.entry.order_key, waiting.entry.event);
                    }
                }
                self.retries.loaded(page, reached.filter(|_| full), self.bounds.waiting);
            }
            LaneClass::Live => self.live.loaded(page, full),
            LaneClass::Low => self.low.loaded(page, full),
            LaneClass::Parked => self.keys.loaded(order_key, page, full),
        }
        self.refill();
    }

    /// A read has failed: it is asked for again by the next [`Self::peek`].
    pub fn load_failed(&mut self, class: LaneClass, order_key: u64) {
        match class {
            LaneClass::Retry => self.retries.load_failed(),
            LaneClass::Live => self.live.load_failed(),
            LaneClass::Low => self.low.load_failed(),
            LaneClass::Parked => self.keys.load_failed(order_key),
        }
    }

    /// The keys that have parked entries in the store, read once at the start of an ordered lane.
    pub fn parked_keys(&mut self, keys: &[u64]) {
        self.keys.found_parked(keys);
        self.refill();
    }

    /// Whether the parked keys must be read before anything fresh may start.
    pub fn wants_parked_keys(&self) -> bool {
        self.keys.wants_parked()
    }

    /// Nothing will start for a while: lets go of events and of all but a few entries, which are read again later. So many
    /// webhooks that stand still take little memory.
    pub fn rest(&mut self) {
        self.resting = true;
        self.retries.rest();
        self.live.rest();
        self.low.rest();
        self.keys.drop_bodies();
    }

    /// An idle lane gives its room back: of many webhooks most are idle at any time.
    pub fn let_go(&mut self) {
        self.in_flight.shrink_to_fit();
        self.live.let_go();
        self.low.let_go();
        self.keys.let_go();
    }

    /// Something starts again.
    pub fn resume(&mut self) {
        self.resting = false;
    }

    /// Something may have been stored that was not handed over: the store is read on from what is known. Retries are read anew when
    /// the store has more of them than are known here.
    pub fn nudge(&mut self, stored_retries: u64) {
        self.live.nudge();
        self.low.nudge();
        if stored_retries > (self.retries.len() + self.in_flight.len()) as u64 {
            self.retries.nudge();
        }
        self.refill();
    }

    pub fn has_in_flight(&self) -> bool {
        !self.in_flight.is_empty()
    }

    pub fn is_in_flight(&self, event: EventId) -> bool {
        self.in_flight.contains_key(&event)
    }

    /// Entries in memory, in flight ones not counted.
    pub fn waiting(&self) -> usize {
        self.retries.len() + self.live.len() + self.low.len() + self.keys.waiting()
    }

    pub fn blocked_keys(&self) -> usize {
        self.keys.len()
    }

    /// When the oldest entry that waits in memory was due, those behind a key not counted.
    pub fn oldest_due(&self) -> Option<Timestamp> {
        let fronts = [self.retries.first(), self.keys.first_ready(), self.live.first(), self.low.first()];
        fronts.into_iter().flatten().map(|waiting| waiting.entry.due).min()
    }

    /// Nothing in memory, in flight or to be read.
    pub fn is_idle(&self) -> bool {
        self.in_flight.is_empty()
            && self.waiting() == 0
            && !self.retries.is_behind()
            && !self.live.is_behind()
            && !self.low.is_behind()
            && self.keys.is_empty()
    }

    /// A delivery put back by hand comes out of order by the owner's wish: it waits for nobody and nobody waits for it.
    /// But one that blocks its key already keeps it: otherwise its end would not free the key.
    fn unorder_when_by_hand(&self, entry: &mut LaneEntry) {
        if by_hand(entry) {
            entry.coalesce_key = 0;
            if !self.keys.is_held_by(entry.order_key, entry.event) {
                entry.order_key = 0;
            }
        }
    }

    /// Clears the fronts of all parts of what must not start: superseded entries end, entries of blocked keys step aside.
    fn settle_fronts(&mut self) {
        while let Some((entry, by)) =
            self.retries.first().and_then(|w| Some((w.entry, self.latest.supersedes(&w.entry)?)))
        {
            self.retries.pop();
            self.release(&entry);
            self.asks.push(Ask::Supersede { entry, by });
        }
        while let Some((entry, by)) =
            self.keys.first_ready().and_then(|w| Some((w.entry, self.latest.supersedes(&w.entry)?)))
        {
            self.keys.pop_ready();
            self.release(&entry);
            self.asks.push(Ask::Supersede { entry, by });
        }
        for class in [LaneClass::Live, LaneClass::Low] {
            self.settle_fresh(class);
        }
    }

    fn settle_fresh(&mut self, class: LaneClass) {
        loop {
            let part = if class == LaneClass::Live { &self.live } else { &self.low };
            let Some(entry) = part.first().map(|waiting| waiting.entry) else { return };
            let superseded = self.latest.supersedes(&entry);
            let steps_aside = !self.single_key && self.keys.is_blocked(entry.order_key);
            if superseded.is_none() && !steps_aside {
                return;
            }
            let part = if class == LaneClass::Live { &mut self.live } else { &mut self.low };
            let Some(waiting) = part.pop() else { return };
            if let Some(by) = superseded {
                self.asks.push(Ask::Supersede { entry, by });
                continue;
            }
            let (bound, per_key) = (self.bounds.parked, self.bounds.parked_per_key);
            let parked = self.keys.queue(waiting, &mut self.in_flight, bound, per_key);
            self.asks.extend(parked.into_iter().map(Ask::Park));
        }
    }

    fn refill(&mut self) {
        // One that rests still needs something to probe with.
        if self.resting && self.retries.len() + self.live.len() + self.low.len() > 0 && !self.retries.keys_unknown() {
            return;
        }
        let low_water = self.bounds.page / 2;
        let asks = &mut self.asks;
        asks.extend(self.retries.wants(low_water));
        if !self.retries.keys_unknown() && !self.keys.wants_parked() {
            asks.extend(self.live.wants(low_water));
            asks.extend(self.low.wants(low_water));
            self.keys.wants(asks);
        }
    }
}

fn by_hand(entry: &LaneEntry) -> bool {
    matches!(entry.origin, AttemptOrigin::Manual | AttemptOrigin::Replay)
}

#[cfg(test)]
mod tests;
