//! Entries of the last moment, in memory only: what the log needs to know of them is in their events.
//!
//! An event is stored with all that it is owed to, and a delivery without history waits in the place its event was stored with. So a
//! fresh entry need not be written for itself: most are settled within milliseconds, and a row that comes and goes costs more than all
//! the rest of a delivery. What is still waiting after [`SPILL_AFTER`] is *spilt*: written to the lanes' table like any other entry.
//!
//! After a crash the entries are found again: the *floor* (see `marks`) is an event before which nothing is in memory only;
//! events from there on are looked through. The same entry may for a moment be seen here and in the table, never in neither.

mod lane;

use std::collections::VecDeque;
use std::time::Duration;

use ahash::AHashMap;

use self::lane::Lane;
use crate::domain::{EventId, LaneClass, LaneEntry, WebhookIdBits};
use crate::store::LaneQuery;

/// By how much the newest entry must be newer before one is spilt. Bounds what is looked through after a crash.
const SPILL_AFTER: Duration = Duration::from_secs(1);
/// More are spilt sooner (P7): 8 MiB or so, and as much again for what has left.
const MAX_ENTRIES: usize = 32_768;
/// Rows that one commit writes besides its own, or as many as it enters when those are more.
const SPILT_BY_ONE_COMMIT: usize = 4_096;
/// Beside those that are here so many that have left may be kept in the order of all.
const LEFT_BEHIND: usize = 1_024;

/// See the module.
#[derive(Debug, Default)]
pub struct Recent {
    /// None of them empty.
    lanes: AHashMap<WebhookIdBits, Lane>,
    /// By event; what has left stays for a while behind an older one.
    order: VecDeque<(WebhookIdBits, EventId)>,
    here: usize,
    /// The newest event that was ever entered.
    newest: EventId,
}

impl Recent {
    /// Nothing of events before `floor` is in memory only.
    pub fn from(floor: EventId) -> Self {
        Self { newest: floor, ..Self::default() }
    }

    /// Whether the event's entries may be kept here: their order is that of events, and they are as the event was stored with them.
    pub fn takes(&self, entry: &LaneEntry) -> bool {
        entry.event >= self.newest && entry.is_fresh()
    }

    pub fn enter(&mut self, entry: LaneEntry) {
        self.newest = self.newest.max(entry.event);
        self.here += 1;
        self.order.push_back((entry.webhook, entry.event));
        let lane = self.lanes.entry(entry.webhook);
        lane.and_modify(|lane| lane.enter(entry)).or_insert_with(|| Lane::of(entry));
    }

    pub fn holds(&self, entry: &LaneEntry) -> bool {
        let held = self.get(entry.webhook, entry.event);
        entry.attempts == 0 && held.is_some_and(|held| (held.class, held.due) == (entry.class, entry.due))
    }

    fn get(&self, webhook: WebhookIdBits, event: EventId) -> Option<&LaneEntry> {
        self.lanes.get(&webhook)?.get(event)
    }

    /// The entry is settled or spilt.
    pub fn leave(&mut self, entry: &LaneEntry) {
        let Some(lane) = self.lanes.get_mut(&entry.webhook) else { return };
        self.here -= usize::from(lane.leave(entry.event));
        if lane.is_empty() {
            self.lanes.remove(&entry.webhook);
        }
    }

    /// Forgets what has left: from the old end, and elsewhere when there is much of it.
    pub fn trim(&mut self) {
        let Self { lanes, order, .. } = self;
        let has_left = |(webhook, event): &(WebhookIdBits, EventId)| {
            lanes.get(webhook).is_none_or(|lane| lane.get(*event).is_none())
        };
        while order.pop_front_if(|place| has_left(place)).is_some() {}
        if order.len() > 2 * self.here + LEFT_BEHIND {
            order.retain(|place| !has_left(place));
        }
    }

    /// Entries of events from here on may be in memory only.
    pub fn floor(&self) -> EventId {
        self.order.front().map_or(self.newest, |(_, event)| *event)
    }

    /// The oldest entries, when it is time for them to be written. `entering`: how many the commit adds.
    pub fn to_spill(&self, entering: usize) -> Vec<LaneEntry> {
        let too_many = (self.here + entering).saturating_sub(MAX_ENTRIES);
        let newest = self.newest.timestamp();
        let is_old = |entry: &LaneEntry| newest.since(entry.event.timestamp()) > SPILL_AFTER;
        let oldest = self.order.iter().filter_map(|(webhook, event)| self.get(*webhook, *event)).enumerate();
        let ready = oldest.take_while(|(at, entry)| *at < too_many || is_old(entry));
        ready.map(|(_, entry)| *entry).take(entering.max(SPILT_BY_ONE_COMMIT)).collect()
    }

    /// The newest event that was ever entered, or the floor it began with.
    pub const fn newest(&self) -> EventId {
        self.newest
    }

    /// All of it.
    pub fn entries(&self) -> impl Iterator<Item = &LaneEntry> {
        self.lanes.values().flat_map(Lane::entries)
    }

    /// Of one webhook, in the order of their events.
    pub fn of(&self, webhook: WebhookIdBits) -> impl DoubleEndedIterator<Item = &LaneEntry> {
        self.lanes.get(&webhook).into_iter().flat_map(Lane::entries)
    }

    /// As [`Store::lane`](crate::store::Store::lane), of what is here.
    pub fn page(&self, query: &LaneQuery) -> Vec<LaneEntry> {
        if !matches!(query.class, LaneClass::Live | LaneClass::Low) {
            return Vec::new();
        }
        self.lanes.get(&query.webhook.as_u128()).map(|lane| lane.page(query)).unwrap_or_default()
    }
}

/// Two pages of the same part as one: sorted, each entry once.
pub fn merge(mut stored: Vec<LaneEntry>, recent: Vec<LaneEntry>, limit: usize) -> Vec<LaneEntry> {
    if !recent.is_empty() {
        stored.extend(recent);
        stored.sort_by_key(|entry| (entry.due, entry.event));
        stored.dedup_by_key(|entry| (entry.due, entry.event));
        stored.truncate(limit);
    }
    stored
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::contract::fixtures::{entry, event_id, webhook};

    fn at(millis: u64, number: u128) -> LaneEntry {
        entry(webhook(1), event_id(millis, number))
    }

    #[test]
    fn the_floor_is_the_oldest_that_waits_whatever_came_and_went_since() {
        let mut recent = Recent::default();
        let entries: Vec<_> = (1..=5).map(|n| at(n, 0)).collect();
        for entry in &entries {
            recent.enter(*entry);
        }
        for settled in [1, 3, 4] {
            recent.leave(&entries[settled]);
            recent.trim();
        }
        assert_eq!(recent.floor(), entries[0].event);
        recent.leave(&entries[0]);
        recent.trim();
        assert_eq!(recent.floor(), entries[2].event);
        recent.leave(&entries[2]);
        recent.trim();
        assert_eq!((recent.floor(), recent.entries().count()), (entries[4].event, 0));
        assert!(!recent.takes(&at(2, 0)), "an older event would be before the floor");
    }

    #[test]
    fn what_has_left_behind_one_that_stays_takes_no_room() {
        let mut recent = Recent::default();
        let first = at(1, 0);
        recent.enter(first);
        for n in 0..2 * MAX_ENTRIES as u128 {
            let settled = LaneEntry { webhook: 2 + n % 7, ..at(2, n) };
            recent.enter(settled);
            recent.leave(&settled);
            recent.trim();
            assert!(recent.order.len() <= 2 + LEFT_BEHIND, "{}", recent.order.len());
        }
        assert_eq!((recent.to_spill(1), recent.floor()), (vec![], first.event));
        assert!(recent.holds(&first));
    }

    #[test]
    fn what_waits_for_long_or_in_great_number_is_spilt() {
        let mut recent = Recent::default();
        let (old, young) = (at(0, 1), at(1_000, 2));
        recent.enter(old);
        recent.enter(young);
        assert_eq!(recent.to_spill(0), []);
        recent.enter(at(1_001, 3));
        assert_eq!(recent.to_spill(0), [old]);
        recent.leave(&old);
        recent.trim();
        assert_eq!(recent.to_spill(0), []);
        for n in 0..MAX_ENTRIES as u128 {
            recent.enter(at(1_001, n + 4));
        }
        assert_eq!(recent.to_spill(0), [young, at(1_001, 3)]);
    }

    #[test]
    fn pages_of_both_places_are_one() {
        let all: Vec<_> = (1..=6).map(|n| at(n, 0)).collect();
        let merged = merge(vec![all[0], all[2], all[3]], vec![all[1], all[3], all[5]], 4);
        assert_eq!(merged, all[..4]);
    }
}
