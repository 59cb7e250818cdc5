//! Ordered keys: which are blocked by what, and what waits behind them.
//!
//! A key is known here while one of its entries is ready, in flight or waiting for a retry, or while others wait behind it. When too
//! many wait, *all* of the key's entries that are still in a fresh part of the store move to its parked part, the one in flight
//! included: so after a restart everything parked is older than anything fresh of the same key, and order holds.

use std::collections::VecDeque;

use ahash::AHashMap;

use super::{Ask, Place, Waiting};
use crate::domain::{EventId, LaneClass, LaneEntry};

/// Pages of parked entries read at the same time.
const MAX_LOADS: usize = 4;

#[derive(Debug, Default)]
struct Key {
    /// The entry that must end before the next may start.
    by: Option<EventId>,
    queue: VecDeque<Waiting>,
    /// The store's parked part holds more, after `tail`.
    stored: bool,
    tail: Option<Place>,
    loading: bool,
    /// An entry was parked while a page was being read: the page may lack it.
    missed: bool,
}

#[derive(Debug)]
pub(super) struct Keys {
    known: AHashMap<u64, Key>,
    /// The next entries of keys that have become free: startable now.
    ready: VecDeque<Waiting>,
    /// In the queues of all keys.
    waiting: usize,
    to_load: VecDeque<u64>,
    loads: usize,
    wants_parked: bool,
}

impl Keys {
    pub(super) fn new(wants_parked: bool) -> Self {
        Self {
            known: AHashMap::new(),
            ready: VecDeque::new(),
            waiting: 0,
            to_load: VecDeque::new(),
            loads: 0,
            wants_parked,
        }
    }

    pub(super) fn is_blocked(&self, key: u64) -> bool {
        key != 0 && self.known.contains_key(&key)
    }

    /// Whether the key waits for this entry.
    pub(super) fn is_held_by(&self, key: u64, event: EventId) -> bool {
        self.known.get(&key).is_some_and(|key| key.by == Some(event))
    }

    pub(super) fn block(&mut self, key: u64, by: EventId) {
        self.known.entry(key).or_default().by = Some(by);
    }

    /// Lets an entry wait behind its key. Answers the entries to be parked in the store when memory for them is full.
    pub(super) fn queue(
        &mut self,
        waiting: Waiting,
        in_flight: &mut AHashMap<EventId, LaneEntry>,
        bound: usize,
        bound_per_key: usize,
    ) -> Vec<LaneEntry> {
        let key = self.known.entry(waiting.entry.order_key).or_default();
        if !key.stored && !key.loading && key.queue.len() < bound_per_key && self.waiting < bound {
            key.queue.push_back(waiting);
            self.waiting += 1;
            return Vec::new();
        }
        let blocker = key.by.and_then(|by| in_flight.get_mut(&by));
        let ready =
            self.ready.iter_mut().filter(|ready| Some(ready.entry.event) == key.by).map(|ready| &mut ready.entry);
        let queued = key.queue.iter_mut().map(|queued| &mut queued.entry);
        let mut parked = Vec::new();
        for entry in blocker.into_iter().chain(ready).chain(queued) {
            if matches!(entry.class, LaneClass::Live | LaneClass::Low) {
                parked.push(*entry);
                entry.class = LaneClass::Parked;
                key.tail = key.tail.max(Some((entry.due, entry.event)));
            }
        }
        parked.push(waiting.entry);
        key.stored = true;
        key.missed = key.loading;
        parked
    }

    /// The blocking entry has ended: the next of its key may start.
    pub(super) fn release(&mut self, key: u64, event: EventId) {
        if let Some(state) = self.known.get_mut(&key)
            && state.by == Some(event)
        {
            state.by = None;
            self.promote(key);
        }
    }

    fn promote(&mut self, key: u64) {
        let Some(state) = self.known.get_mut(&key) else { return };
        if state.by.is_some() {
            return;
        }
        if let Some(next) = state.queue.pop_front() {
            state.by = Some(next.entry.event);
            self.waiting -= 1;
            self.ready.push_back(next);
        } else if state.stored {
            if !state.loading {
                self.to_load.push_back(key);
            }
        } else if !state.loading {
            self.known.remove(&key);
        }
    }

    pub(super) fn found_parked(&mut self, keys: &[u64]) {
        self.wants_parked = false;
        for key in keys {
            self.known.entry(*key).or_default().stored = true;
            self.promote(*key);
        }
    }

    pub(super) fn wants_parked(&self) -> bool {
        self.wants_parked
    }

    pub(super) fn wants(&mut self, asks: &mut Vec<Ask>) {
        while self.loads < MAX_LOADS {
            let Some(order_key) = self.to_load.pop_front() else { return };
            let Some(key) = self.known.get_mut(&order_key) else { continue };
            if key.loading || !key.stored || key.by.is_some() || !key.queue.is_empty() {
                continue;
            }
            key.loading = true;
            key.missed = false;
            self.loads += 1;
            asks.push(Ask::Load { class: LaneClass::Parked, order_key, after: key.tail });
        }
    }

    pub(super) fn loaded(&mut self, order_key: u64, page: Vec<Waiting>, full: bool) {
        self.loads = self.loads.saturating_sub(1);
        let Some(key) = self.known.get_mut(&order_key) else { return };
        key.loading = false;
        key.stored = full || key.missed;
        if let Some(last) = page.last() {
            key.tail = Some(last.place());
        }
        self.waiting += page.len();
        key.queue.extend(page);
        self.promote(order_key);
    }

    pub(super) fn load_failed(&mut self, order_key: u64) {
        self.loads = self.loads.saturating_sub(1);
        if let Some(key) = self.known.get_mut(&order_key) {
            key.loading = false;
            self.to_load.push_back(order_key);
        }
    }

    pub(super) fn first_ready(&self) -> Option<&Waiting> {
        self.ready.front()
    }

    pub(super) fn pop_ready(&mut self) -> Option<Waiting> {
        self.ready.pop_front()
    }

    /// Entries in memory that wait or are ready.
    pub(super) fn waiting(&self) -> usize {
        self.waiting + self.ready.len()
    }

    pub(super) fn len(&self) -> usize {
        self.known.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.known.is_empty() && !self.wants_parked
    }

    pub(super) fn let_go(&mut self) {
        self.known.shrink_to_fit();
        self.ready.shrink_to_fit();
        self.to_load.shrink_to_fit();
    }

    pub(super) fn drop_bodies(&mut self) {
        let queued = self.known.values_mut().flat_map(|key| key.queue.iter_mut());
        queued.chain(self.ready.iter_mut()).for_each(|waiting| waiting.carried = None);
    }
}
