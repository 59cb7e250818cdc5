//! Events that are in memory on this thread, found by their ids.
//!
//! A lane that is longer than its part in memory is read in pages. Of an event that many webhooks are owed, most lanes are about as far:
//! it is read and rendered for the first of them and shared while any of them holds it.

use std::cell::RefCell;
use std::sync::{Arc, Weak};

use ahash::AHashMap;

use super::carried::Carried;
use crate::domain::EventId;

/// So many are kept before those that nobody holds are looked for.
const SWEEP_AT: usize = 1_024;

/// See the module. Holds no event by itself.
#[derive(Debug)]
pub(super) struct Shelf(RefCell<Events>);

#[derive(Debug)]
struct Events {
    by_id: AHashMap<EventId, Weak<Carried>>,
    sweep_at: usize,
}

impl Shelf {
    pub(super) fn new() -> Self {
        Self(RefCell::new(Events { by_id: AHashMap::new(), sweep_at: SWEEP_AT }))
    }

    pub(super) fn put(&self, carried: &Arc<Carried>) {
        let mut events = self.0.borrow_mut();
        events.by_id.insert(carried.event.id, Arc::downgrade(carried));
        if events.by_id.len() >= events.sweep_at {
            events.by_id.retain(|_, carried| carried.strong_count() > 0);
            events.by_id.shrink_to(SWEEP_AT);
            events.sweep_at = (2 * events.by_id.len()).max(SWEEP_AT);
        }
    }

    pub(super) fn get(&self, event: EventId) -> Option<Arc<Carried>> {
        self.0.borrow().by_id.get(&event)?.upgrade()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::carried::Budget;
    use crate::store::contract::fixtures::{event, event_id};

    #[test]
    fn what_somebody_holds_is_shared_and_nothing_else_takes_room() {
        let (shelf, budget) = (Shelf::new(), Budget::new(1 << 20));
        let held = Carried::new(event(event_id(1, 1)).into(), &budget).unwrap();
        shelf.put(&held);
        for number in 0..10 * SWEEP_AT as u128 {
            let passing = Carried::new(event(event_id(2, number)).into(), &budget).unwrap();
            shelf.put(&passing);
            assert!(Arc::ptr_eq(&shelf.get(passing.event.id).unwrap(), &passing));
            drop(passing);
            assert!(shelf.get(event_id(2, number)).is_none());
            assert!(shelf.0.borrow().by_id.len() < SWEEP_AT);
        }
        assert!(Arc::ptr_eq(&shelf.get(held.event.id).unwrap(), &held));
    }
}
