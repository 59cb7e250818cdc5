//! Entries of the last moment, in memory only: what the log needs to know of them is in their events.
//!
//! An event is stored with all that it is owed to, and a delivery without history waits in the place its event was stored with. So a
//! fresh entry need not be written for itself: most are settled within milliseconds, and a row that comes and goes costs more than all
//! the rest of a delivery. What is still waiting after [`SPILL_AFTER`] is *spilt*: written to the lanes' table like any other entry.
//!
//! After a crash the entries are found again: the *floor* (see `marks`) is an event before which nothing is in memory only;
//! events from there on are looked through. The same entry may for a moment be seen here and in the table, never in neither.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use ahash::AHashMap;

use crate::domain::{EventId, LaneClass, LaneEntry, Timestamp, WebhookIdBits};
use crate::store::LaneQuery;

/// By how much the newest entry must be newer before one is spilt. Bounds what is looked through after a crash.
const SPILL_AFTER: Duration = Duration::from_secs(1);
/// More are spilt sooner (P7): 8 MiB or so.
const MAX_ENTRIES: usize = 32_768;
/// Rows that one commit writes besides its own, or as many as it enters when those are more.
const SPILT_BY_ONE_COMMIT: usize = 4_096;

/// Where an entry sorts within its lane.
type Place = (LaneClass, Timestamp, EventId);

fn place(entry: &LaneEntry) -> Place {
    (entry.class, entry.due, entry.event)
}

/// See the module.
#[derive(Debug, Default)]
pub struct Recent {
    lanes: AHashMap<WebhookIdBits, BTreeMap<Place, LaneEntry>>,
    /// By event; what has been settled stays until it is at the front.
    order: VecDeque<(WebhookIdBits, Place)>,
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
        self.order.push_back((entry.webhook, place(&entry)));
        self.lanes.entry(entry.webhook).or_default().insert(place(&entry), entry);
    }

    pub fn holds(&self, entry: &LaneEntry) -> bool {
        entry.attempts == 0 && self.lanes.get(&entry.webhook).is_some_and(|lane| lane.contains_key(&place(entry)))
    }

    /// The entry is settled or spilt.
    pub fn leave(&mut self, entry: &LaneEntry) {
        let Some(lane) = self.lanes.get_mut(&entry.webhook) else { return };
        lane.remove(&place(entry));
        if lane.is_empty() {
            self.lanes.remove(&entry.webhook);
        }
    }

    /// Forgets what has left, from the old end.
    pub fn trim(&mut self) {
        while let Some((webhook, place)) = self.order.front()
            && self.lanes.get(webhook).is_none_or(|lane| !lane.contains_key(place))
        {
            self.order.pop_front();
        }
    }

    /// Entries of events from here on may be in memory only.
    pub fn floor(&self) -> EventId {
        self.order.front().map_or(self.newest, |(_, (_, _, event))| *event)
    }

    /// The oldest entries, when it is time for them to be written. `entering`: how many the commit adds.
    pub fn to_spill(&self, entering: usize) -> Vec<LaneEntry> {
        let too_many = (self.order.len() + entering).saturating_sub(MAX_ENTRIES);
        let newest = self.newest.timestamp();
        let is_old = |event: EventId| newest.since(event.timestamp()) > SPILL_AFTER;
        let ready = self.order.iter().enumerate().take_while(|(at, (_, place))| *at < too_many || is_old(place.2));
        ready
            .filter_map(|(_, (webhook, place))| self.lanes.get(webhook)?.get(place))
            .take(entering.max(SPILT_BY_ONE_COMMIT))
            .copied()
            .collect()
    }

    /// The newest event that was ever entered, or the floor it began with.
    pub const fn newest(&self) -> EventId {
        self.newest
    }

    /// All of it.
    pub fn entries(&self) -> impl Iterator<Item = &LaneEntry> {
        self.lanes.values().flat_map(BTreeMap::values)
    }

    /// Of one webhook.
    pub fn of(&self, webhook: WebhookIdBits) -> impl Iterator<Item = &LaneEntry> {
        self.lanes.get(&webhook).into_iter().flat_map(BTreeMap::values)
    }

    /// As [`Store::lane`](crate::store::Store::lane), of what is here.
    pub fn page(&self, query: &LaneQuery) -> Vec<LaneEntry> {
        let Some(lane) = self.lanes.get(&query.webhook.as_u128()) else { return Vec::new() };
        let (due, event) = query.after.unwrap_or((Timestamp::from_millis(0), EventId::MIN));
        let past = lane.range((query.class, due, event)..).map(|(_, entry)| entry);
        let past = past.filter(|entry| query.after != Some((entry.due, entry.event)));
        past.take_while(|entry| entry.class == query.class).take(query.limit).copied().collect()
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
