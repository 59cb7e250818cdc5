//! Deliveries that wait for their next attempt: the earliest ones in memory, the rest in the store.

use std::collections::BTreeMap;

use ahash::AHashSet;

use super::fresh::KEPT_AT_REST;
use super::{Ask, Lane, Place, Waiting};
use crate::domain::{EventId, LaneClass, Timestamp};

/// Sorts before every real place.
const START: Place = (Timestamp::from_millis(0), EventId::MIN);

#[derive(Debug)]
pub(super) struct Retries {
    waiting: BTreeMap<Place, Waiting>,
    /// By id, so that the first is the one accepted first.
    due_of: BTreeMap<EventId, Timestamp>,
    /// Everything in the store up to here is in memory; `None`: everything is.
    horizon: Option<Place>,
    /// The page being read starts after this place.
    loading: Option<Place>,
    /// The earliest entry past the horizon that came while a page was being read: the page may lack it.
    missed: Option<Place>,
    /// What has left while a page was being read: the page may still show it where it was.
    left: AHashSet<EventId>,
    /// The page being read is of no use: others have stored something before it.
    nudged: bool,
    /// The first reading of an ordered lane goes through the whole part, because it tells which keys are blocked.
    scan: Option<Place>,
}

impl Retries {
    pub(super) fn new(behind: bool, ordered: bool) -> Self {
        Self {
            waiting: BTreeMap::new(),
            due_of: BTreeMap::new(),
            horizon: behind.then_some(START),
            loading: None,
            missed: None,
            left: AHashSet::new(),
            nudged: false,
            scan: (behind && ordered).then_some(START),
        }
    }

    /// The blocked keys of an ordered lane are not all known yet.
    pub(super) fn keys_unknown(&self) -> bool {
        self.scan.is_some()
    }

    pub(super) fn insert(&mut self, waiting: Waiting, bound: usize) {
        let place = waiting.place();
        if self.horizon.is_some_and(|horizon| place > horizon) {
            if self.loading.is_some() {
                self.missed = Some(self.missed.map_or(place, |missed| missed.min(place)));
            }
            return;
        }
        self.put(waiting);
        self.shrink_to(bound);
    }

    fn put(&mut self, waiting: Waiting) {
        if let Some(due) = self.due_of.insert(waiting.entry.event, waiting.entry.due) {
            self.waiting.remove(&(due, waiting.entry.event));
        }
        self.waiting.insert(waiting.place(), waiting);
    }

    fn shrink_to(&mut self, bound: usize) {
        while self.waiting.len() > bound {
            if let Some((place, _)) = self.waiting.pop_last() {
                self.due_of.remove(&place.1);
            }
            self.horizon = self.waiting.last_key_value().map(|(place, _)| *place);
        }
    }

    /// An entry in flight has landed, or one that waited is taken.
    pub(super) fn left(&mut self, event: EventId) {
        if self.loading.is_some() {
            self.left.insert(event);
        }
    }

    /// Whether a page says nothing new of the delivery: it waits here, or has left since the page was asked for.
    pub(super) fn knows_better(&self, event: EventId) -> bool {
        self.left.contains(&event) || self.due_of.contains_key(&event)
    }

    /// Others have put something into the store: what is in memory is there too, so all of it is read anew.
    pub(super) fn nudge(&mut self) {
        self.nudged = self.loading.is_some();
        self.forget();
    }

    fn forget(&mut self) {
        self.waiting.clear();
        self.due_of.clear();
        self.horizon = Some(START);
    }

    /// `full_to`: where a full page ends; `None`: there is nothing more. What [`Self::knows_better`] is not in `page`.
    pub(super) fn loaded(&mut self, page: Vec<Waiting>, full_to: Option<Place>, bound: usize) {
        let (asked, missed) = (self.loading.take(), self.missed.take());
        self.left.clear();
        if self.scan.is_some() {
            self.scan = full_to;
        }
        if std::mem::take(&mut self.nudged) {
            return self.forget();
        }
        // The page continues what is in memory unless memory has shrunk meanwhile or the scan has run ahead of it.
        if asked.is_none() || asked != self.horizon {
            return;
        }
        let (mut reached, mut complete) = (asked, full_to.is_none() && missed.is_none());
        for waiting in page {
            if missed.is_some_and(|missed| waiting.place() >= missed) {
                complete = false;
                break;
            }
            reached = Some(waiting.place());
            self.put(waiting);
        }
        if missed.is_none() {
            reached = full_to.or(reached);
        }
        self.horizon = if complete { None } else { reached };
        self.shrink_to(bound);
    }

    pub(super) fn load_failed(&mut self) {
        self.loading = None;
        self.missed = None;
        self.left.clear();
        if std::mem::take(&mut self.nudged) {
            self.forget();
        }
    }

    pub(super) fn wants(&mut self, low_water: usize) -> Option<Ask> {
        let after = self.scan.or_else(|| self.horizon.filter(|_| self.waiting.len() <= low_water))?;
        if self.loading.is_some() {
            return None;
        }
        self.loading = Some(after);
        Some(Ask::Load { class: LaneClass::Retry, order_key: 0, after: Some(after) })
    }

    pub(super) fn first(&self) -> Option<&Waiting> {
        self.waiting.first_key_value().map(|(_, waiting)| waiting)
    }

    pub(super) fn first_due(&self) -> Option<Timestamp> {
        self.first().map(|waiting| waiting.entry.due)
    }

    /// When the oldest of them was accepted.
    pub(super) fn oldest(&self) -> Option<Timestamp> {
        self.due_of.first_key_value().map(|(event, _)| event.timestamp())
    }

    pub(super) fn pop(&mut self) -> Option<Waiting> {
        let (place, waiting) = self.waiting.pop_first()?;
        self.due_of.remove(&place.1);
        self.left(place.1);
        Some(waiting)
    }

    pub(super) fn remove(&mut self, event: EventId) -> Option<Waiting> {
        let due = self.due_of.remove(&event)?;
        self.left(event);
        self.waiting.remove(&(due, event))
    }

    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    pub(super) fn is_behind(&self) -> bool {
        self.horizon.is_some() || self.loading.is_some()
    }

    /// Keeps a few entries without their events; the rest is read again.
    pub(super) fn rest(&mut self) {
        if self.loading.is_none() {
            self.shrink_to(KEPT_AT_REST);
        }
        self.waiting.values_mut().for_each(|waiting| waiting.carried = None);
    }
}

impl Lane {
    /// When the oldest of the retries in memory was accepted.
    pub fn oldest_retry(&self) -> Option<Timestamp> {
        self.retries.oldest()
    }

    pub fn next_retry_at(&self) -> Option<Timestamp> {
        self.retries.first_due()
    }
}
