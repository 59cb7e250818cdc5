//! The entries of one webhook: in the order of their events, as they entered.

use std::collections::VecDeque;

use crate::domain::{EventId, LaneEntry, Timestamp};
use crate::store::LaneQuery;

/// What leaves is nearly always among so many of the oldest.
const NEAR: usize = 8;
/// Beside those that are here so many that have left may be kept.
const LEFT_BEHIND: usize = 8;

/// Where an entry sorts within its class.
fn place(entry: &LaneEntry) -> (Timestamp, EventId) {
    (entry.due, entry.event)
}

#[derive(Debug)]
struct Slot {
    entry: LaneEntry,
    is_here: bool,
}

/// See the module.
#[derive(Debug)]
pub struct Lane {
    /// The first is here: what has left stays only behind an older one.
    slots: VecDeque<Slot>,
    here: usize,
    /// Whether their order is that of their dues too, as it is of all that the engine appends.
    is_by_due: bool,
}

impl Lane {
    /// A lane is never empty.
    pub fn of(entry: LaneEntry) -> Self {
        Self { slots: VecDeque::from([Slot { entry, is_here: true }]), here: 1, is_by_due: true }
    }

    /// The entry's event comes after those that entered earlier.
    pub fn enter(&mut self, entry: LaneEntry) {
        debug_assert!(
            self.slots.back().is_none_or(|last| last.entry.event < entry.event),
            "an event enters a lane once"
        );
        self.is_by_due &= self.slots.back().is_none_or(|last| last.entry.due <= entry.due);
        self.slots.push_back(Slot { entry, is_here: true });
        self.here += 1;
    }

    pub fn get(&self, event: EventId) -> Option<&LaneEntry> {
        let slot = &self.slots[self.find(event)?];
        slot.is_here.then_some(&slot.entry)
    }

    /// Answers whether it was here; the lane may be empty afterwards.
    pub fn leave(&mut self, event: EventId) -> bool {
        let Some(slot) = self.find(event).map(|at| &mut self.slots[at]).filter(|slot| slot.is_here) else {
            return false;
        };
        slot.is_here = false;
        self.here -= 1;
        while self.slots.pop_front_if(|slot| !slot.is_here).is_some() {}
        if self.slots.len() > 2 * self.here + LEFT_BEHIND {
            self.slots.retain(|slot| slot.is_here);
            self.slots.shrink_to(2 * self.slots.len());
        }
        true
    }

    pub const fn is_empty(&self) -> bool {
        self.here == 0
    }

    /// In the order of their events.
    pub fn entries(&self) -> impl DoubleEndedIterator<Item = &LaneEntry> {
        self.slots.iter().filter(|slot| slot.is_here).map(|slot| &slot.entry)
    }

    /// As [`Store::lane`](crate::store::Store::lane), of what is here.
    pub fn page(&self, query: &LaneQuery) -> Vec<LaneEntry> {
        let is_asked =
            |entry: &&LaneEntry| entry.class == query.class && query.after.is_none_or(|after| place(entry) > after);
        if !self.is_by_due {
            let mut all: Vec<_> = self.entries().filter(is_asked).copied().collect();
            all.sort_unstable_by_key(place);
            all.truncate(query.limit);
            return all;
        }
        let passed = query.after.map_or(0, |(due, _)| self.slots.partition_point(|slot| slot.entry.due < due));
        let rest = self.slots.range(passed..).filter(|slot| slot.is_here).map(|slot| &slot.entry);
        rest.filter(is_asked).take(query.limit).copied().collect()
    }

    fn find(&self, event: EventId) -> Option<usize> {
        let near = self.slots.iter().take(NEAR).position(|slot| slot.entry.event >= event);
        let at = near.unwrap_or_else(|| self.slots.partition_point(|slot| slot.entry.event < event));
        self.slots.get(at).is_some_and(|slot| slot.entry.event == event).then_some(at)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::domain::LaneClass;
    use crate::store::contract::fixtures::{at, entry, event_id, part, webhook};

    #[test]
    fn what_has_left_behind_one_that_stays_takes_no_room() {
        let number = |n: u64| entry(webhook(1), event_id(n, 1));
        let mut lane = Lane::of(number(0));
        for n in 1..1_000 {
            lane.enter(number(n));
            if n % 100 > 1 {
                assert!(lane.leave(number(n).event));
            }
        }
        assert!(lane.slots.len() <= 2 * 21 + LEFT_BEHIND && lane.slots.capacity() < 128, "{}", lane.slots.capacity());
        let stay = (0..10).flat_map(|hundred| [100 * hundred, 100 * hundred + 1]).map(number);
        assert_eq!(lane.entries().copied().collect::<Vec<_>>(), stay.collect::<Vec<_>>());
    }

    const CLASSES: [LaneClass; 2] = [LaneClass::Live, LaneClass::Low];

    proptest! {
        /// Entries with events that rise, dues that nearly do, and leaves of any of them, against a sorted map.
        #[test]
        fn a_lane_is_a_sorted_map(
            steps in prop::collection::vec((any::<bool>(), 0..2_usize, 0..4_u64, any::<prop::sample::Index>()), 1..200),
            from in any::<prop::sample::Index>(),
            limit in 1..9_usize,
        ) {
            let (mut lane, mut model) = (None::<Lane>, BTreeMap::new());
            for (number, (enters, class, early, which)) in steps.into_iter().enumerate() {
                if enters || model.is_empty() {
                    let now = number as u64 + 9;
                    // One in four is due earlier than what came before it.
                    let due = at(if early == 3 { now - 5 } else { now });
                    let entry = LaneEntry { class: CLASSES[class], due, ..entry(webhook(1), event_id(now, 1)) };
                    match &mut lane {
                        Some(lane) => lane.enter(entry),
                        None => lane = Some(Lane::of(entry)),
                    }
                    model.insert((entry.class as u8, place(&entry)), entry);
                } else {
                    let key = *which.get(&model.keys().copied().collect::<Vec<_>>());
                    let event = model.remove(&key).unwrap().event;
                    let here = lane.as_mut().unwrap();
                    prop_assert_eq!(here.get(event).map(|entry| entry.event), Some(event));
                    prop_assert!(here.leave(event) && !here.leave(event) && here.get(event).is_none());
                    prop_assert!(here.slots.len() <= 2 * here.here + LEFT_BEHIND);
                    lane.take_if(|lane| lane.is_empty());
                }
                let Some(lane) = &lane else { continue };
                prop_assert_eq!(lane.entries().count(), model.len());
                let passed = from.get(&model.values().collect::<Vec<_>>()).to_owned();
                for (class, after) in CLASSES.into_iter().flat_map(|class| [(class, None), (class, Some(place(passed)))]) {
                    let of_class = model.iter().filter(|((of, _), _)| *of == class as u8).map(|(_, entry)| *entry);
                    let past = of_class.filter(|entry| after.is_none_or(|after| place(entry) > after));
                    let query = LaneQuery { after, limit, ..part(webhook(1), class) };
                    prop_assert_eq!(lane.page(&query), past.take(limit).collect::<Vec<_>>());
                }
            }
        }
    }
}
