//! A lane above a store kept as a plain set, on a virtual clock. It checks what must hold whatever happens: every entry is delivered
//! exactly once, of an ordered key in order and one at a time, nothing before it is due, and memory stays within its bounds.

use std::collections::BTreeMap;

use crate::domain::{AttemptOrigin, EventId, EventKind, LaneClass, LaneEntry, Timestamp};
use crate::engine::lane::{Ask, Lane, LaneBounds, Peek, Place, Waiting};
use crate::store::LaneCounts;

pub(super) const BOUNDS: LaneBounds =
    LaneBounds { waiting: 8, page: 4, parked: 12, parked_per_key: 3, blocked_keys: 64 };

pub(super) type StoredAt = (LaneClass, u64, Timestamp, EventId);

pub(super) fn stored_at(entry: &LaneEntry) -> StoredAt {
    let key = if entry.class == LaneClass::Parked { entry.order_key } else { 0 };
    (entry.class, key, entry.due, entry.event)
}

pub(super) fn event(number: u64) -> EventId {
    EventId::from_u128(u128::from(number) << 80 | 1)
}

pub(super) fn entry(number: u64, order_key: u64) -> LaneEntry {
    LaneEntry {
        webhook: 1,
        event: event(number),
        class: LaneClass::Live,
        due: Timestamp::from_millis(number),
        kind: EventKind::MessagesUpsert,
        origin: AttemptOrigin::First,
        attempts: 0,
        round_attempts: 0,
        order_key,
        coalesce_key: 0,
        data_bytes: 0,
    }
}

pub(super) fn waiting(entry: LaneEntry) -> Waiting {
    Waiting { entry, carried: None }
}

/// A lane, the store below it, and what came out.
pub(super) struct World {
    pub(super) lane: Lane,
    pub(super) store: BTreeMap<StoredAt, LaneEntry>,
    pub(super) loads: Vec<(LaneClass, u64, Option<Place>)>,
    /// Pages as they were when they were read, on their way to the lane.
    pub(super) pages: Vec<(LaneClass, u64, Vec<Waiting>)>,
    pub(super) now: u64,
    pub(super) ordered: bool,
    pub(super) single_key: bool,
    pub(super) flying: Vec<LaneEntry>,
    pub(super) delivered: Vec<LaneEntry>,
    pub(super) superseded: Vec<EventId>,
    pub(super) appended: u64,
}

impl World {
    pub(super) fn new(ordered: bool, single_key: bool) -> Self {
        Self {
            lane: Lane::new(BOUNDS, &LaneCounts::default(), ordered, single_key),
            store: BTreeMap::new(),
            loads: vec![],
            pages: vec![],
            now: 1,
            ordered,
            single_key,
            flying: vec![],
            delivered: vec![],
            superseded: vec![],
            appended: 0,
        }
    }

    pub(super) fn counts(&self) -> LaneCounts {
        let mut counts = LaneCounts::default();
        self.store.keys().for_each(|at| counts.waiting[at.0 as usize] += 1);
        counts
    }

    /// The process dies and another takes the lane over: nothing in memory is left.
    pub(super) fn restart(&mut self) {
        self.lane = Lane::new(BOUNDS, &self.counts(), self.ordered, self.single_key);
        self.loads.clear();
        self.pages.clear();
        self.flying.clear();
        if self.lane.wants_parked_keys() {
            let mut keys: Vec<u64> = self.store.keys().filter(|at| at.0 == LaneClass::Parked).map(|at| at.1).collect();
            keys.dedup();
            self.lane.parked_keys(&keys);
        }
        self.carry_out();
    }

    pub(super) fn append(&mut self, order_key: u64, class: LaneClass, coalesce_key: u64) {
        self.now += 1;
        self.appended += 1;
        let entry = LaneEntry { class, coalesce_key, ..entry(self.now, order_key) };
        self.store.insert(stored_at(&entry), entry);
        self.lane.offer(waiting(entry));
        self.carry_out();
    }

    pub(super) fn append_untold(&mut self, order_key: u64) {
        self.now += 1;
        self.appended += 1;
        let entry = entry(self.now, order_key);
        self.store.insert(stored_at(&entry), entry);
        self.lane.nudge(0);
        self.carry_out();
    }

    /// Another node puts a finished delivery back, due now, and tells of it.
    pub(super) fn put_back_elsewhere(&mut self, order_key: u64) {
        self.now += 1;
        self.appended += 1;
        let class = LaneClass::Retry;
        let entry = LaneEntry { class, origin: AttemptOrigin::Replay, attempts: 3, ..entry(self.now, order_key) };
        self.store.insert(stored_at(&entry), entry);
        self.lane.nudge(u64::MAX);
        self.carry_out();
    }

    pub(super) fn carry_out(&mut self) {
        for ask in self.lane.take_asks() {
            match ask {
                Ask::Load { class, order_key, after } => self.loads.push((class, order_key, after)),
                Ask::Park(entry) => {
                    assert!(self.store.remove(&stored_at(&entry)).is_some(), "parked from where it is: {entry:?}");
                    let parked = LaneEntry { class: LaneClass::Parked, ..entry };
                    self.store.insert(stored_at(&parked), parked);
                }
                Ask::Supersede { entry, by } => {
                    assert!(by > entry.event);
                    assert!(self.store.remove(&stored_at(&entry)).is_some());
                    self.superseded.push(entry.event);
                }
            }
        }
    }

    /// The oldest page asked for is read, from the store as it is now; it arrives later.
    pub(super) fn read_one(&mut self) {
        if self.loads.is_empty() {
            return;
        }
        let (class, order_key, after) = self.loads.remove(0);
        let of_part = |at: &StoredAt| at.0 == class && (class != LaneClass::Parked || at.1 == order_key);
        let past = |at: &StoredAt| after.is_none_or(|after| (at.2, at.3) > after);
        let page = self.store.iter().filter(|(at, _)| of_part(at) && past(at)).map(|(_, e)| waiting(*e));
        let page = page.take(BOUNDS.page).collect();
        self.pages.push((class, order_key, page));
    }

    /// The oldest page that was read arrives.
    pub(super) fn arrive_one(&mut self) {
        if !self.pages.is_empty() {
            let (class, order_key, page) = self.pages.remove(0);
            self.lane.loaded(class, order_key, page);
            self.carry_out();
        }
    }

    pub(super) fn load_one(&mut self) {
        self.read_one();
        self.arrive_one();
    }

    pub(super) fn start_all(&mut self, window: usize) {
        while self.flying.len() < window {
            let peeked = self.lane.peek(Timestamp::from_millis(self.now));
            self.carry_out();
            if !matches!(peeked, Peek::Due { .. }) {
                break;
            }
            let taken = self.lane.take(Timestamp::from_millis(self.now)).expect("peek said so").entry;
            self.carry_out();
            assert!(taken.due.millis() <= self.now, "early: {taken:?} at {}", self.now);
            assert!(self.flying.iter().all(|flying| flying.event != taken.event), "twice in flight: {taken:?}");
            assert!(self.delivered.iter().all(|done| done.event != taken.event), "again after success: {taken:?}");
            if taken.order_key != 0 {
                assert!(
                    self.flying.iter().all(|flying| flying.order_key != taken.order_key),
                    "two of one key in flight: {taken:?}"
                );
                let by_hand = |e: &&LaneEntry| e.origin == AttemptOrigin::Replay;
                let mut others = self.store.values().filter(|e| !by_hand(e));
                let older = others.find(|e| e.order_key == taken.order_key && e.event < taken.event);
                assert!(older.is_none(), "{taken:?} overtook {older:?}");
            }
            self.flying.push(taken);
        }
        let bound = 3 * BOUNDS.waiting + 3 * BOUNDS.page + BOUNDS.parked + 4 * BOUNDS.page + window;
        assert!(self.lane.waiting() <= bound, "{} entries in memory", self.lane.waiting());
    }

    pub(super) fn land(&mut self, index: usize, success: bool, delay: u64) {
        if self.flying.is_empty() {
            return;
        }
        let event = self.flying.remove(index % self.flying.len()).event;
        let entry = self.lane.landed(event).expect("it was in flight");
        assert!(self.store.remove(&stored_at(&entry)).is_some(), "settled where the store has it: {entry:?}");
        if success {
            self.delivered.push(entry);
            self.lane.release(&entry);
        } else {
            let retry = LaneEntry {
                class: LaneClass::Retry,
                due: Timestamp::from_millis(self.now + delay),
                attempts: entry.attempts + 1,
                origin: AttemptOrigin::Retry,
                ..entry
            };
            self.store.insert(stored_at(&retry), retry);
            self.lane.retry_later(waiting(retry));
        }
        self.carry_out();
    }

    /// Everything succeeds from here on: the lane must empty.
    pub(super) fn drain(&mut self) {
        for _ in 0..20 * (self.appended + 10) {
            self.now += 50;
            while !self.loads.is_empty() || !self.pages.is_empty() {
                self.load_one();
            }
            self.lane.resume();
            self.start_all(4);
            while !self.flying.is_empty() {
                self.land(0, true, 0);
            }
            if self.store.is_empty() && self.lane.is_idle() {
                break;
            }
        }
        assert!(self.store.is_empty(), "left behind: {:?}", self.store.values().collect::<Vec<_>>());
        assert!(self.lane.is_idle());
        assert_eq!(self.delivered.len() + self.superseded.len(), usize::try_from(self.appended).unwrap());
    }
}
