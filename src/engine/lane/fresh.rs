//! The live or the low part: a queue that is a prefix of the part's order in the store.

use std::collections::VecDeque;

use super::{Ask, Place, Waiting};
use crate::domain::LaneClass;

/// Entries in memory while nothing starts: enough for the first probes.
pub(super) const KEPT_AT_REST: usize = 16;

#[derive(Debug)]
pub(super) struct Fresh {
    class: LaneClass,
    queue: VecDeque<Waiting>,
    /// The last place that is or was in the queue: the store is read on from here.
    tail: Option<Place>,
    /// The store holds entries past `tail`.
    behind: bool,
    loading: bool,
    /// An entry was not taken up while a page was being read: the page may lack it.
    missed: bool,
}

impl Fresh {
    pub(super) fn new(class: LaneClass, behind: bool) -> Self {
        Self { class, queue: VecDeque::new(), tail: None, behind, loading: false, missed: false }
    }

    /// Answers what is left to be read from the store.
    pub(super) fn offer(&mut self, waiting: Waiting, bound: usize) -> Option<Waiting> {
        // Places only rise: one that is not past the tail came with a page already.
        if self.tail.is_some_and(|tail| waiting.place() <= tail) {
            return None;
        }
        if self.behind || self.loading || self.queue.len() >= bound {
            // A page that was read before this entry was stored may come after it: `missed` keeps the part behind.
            self.behind = true;
            self.missed = true;
            return Some(waiting);
        }
        self.tail = Some(waiting.place());
        self.queue.push_back(waiting);
        None
    }

    pub(super) fn loaded(&mut self, page: Vec<Waiting>, full: bool) {
        self.loading = false;
        if let Some(last) = page.last() {
            self.tail = Some(last.place());
        }
        self.queue.extend(page);
        self.behind = full || self.missed;
    }

    pub(super) fn load_failed(&mut self) {
        self.loading = false;
    }

    pub(super) fn wants(&mut self, low_water: usize) -> Option<Ask> {
        if !self.behind || self.loading || self.queue.len() > low_water {
            return None;
        }
        self.loading = true;
        self.missed = false;
        Some(Ask::Load { class: self.class, order_key: 0, after: self.tail })
    }

    pub(super) fn first(&self) -> Option<&Waiting> {
        self.queue.front()
    }

    pub(super) fn pop(&mut self) -> Option<Waiting> {
        let popped = self.queue.pop_front();
        if self.queue.is_empty() && self.queue.capacity() > 64 {
            self.queue.shrink_to(0);
        }
        popped
    }

    pub(super) fn len(&self) -> usize {
        self.queue.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    pub(super) fn is_behind(&self) -> bool {
        self.behind || self.loading
    }

    pub(super) fn let_go(&mut self) {
        self.queue.shrink_to_fit();
    }

    /// Keeps a few entries without their events; the rest is read again.
    pub(super) fn rest(&mut self) {
        // A page on its way continues the queue as it was: it must not find a gap.
        if !self.loading && self.queue.len() > KEPT_AT_REST {
            self.queue.truncate(KEPT_AT_REST);
            self.queue.shrink_to_fit();
            self.tail = self.queue.back().map(Waiting::place);
            self.behind = true;
        }
        self.queue.iter_mut().for_each(|waiting| waiting.carried = None);
    }

    pub(super) fn nudge(&mut self) {
        self.behind = true;
        self.missed = true;
    }
}
