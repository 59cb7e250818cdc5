//! The lane by example, and in a simulated [`world`].

mod simulation;
mod world;

use super::*;
use world::{BOUNDS, World, entry, event, stored_at, waiting};

#[test]
fn a_long_backlog_behind_one_key_stops_no_other_key_and_fills_no_memory() {
    let mut world = World::new(true, false);
    world.append(1, LaneClass::Live, 0);
    world.start_all(4);
    world.land(0, false, 1_000_000);
    for _ in 0..500 {
        world.append(1, LaneClass::Live, 0);
        world.load_one();
        world.start_all(4);
    }
    world.append(2, LaneClass::Live, 0);
    for _ in 0..500 {
        world.load_one();
        world.start_all(4);
    }
    assert_eq!(world.flying.iter().map(|flying| flying.order_key).collect::<Vec<_>>(), [2]);
    assert!(world.lane.waiting() <= BOUNDS.parked + BOUNDS.waiting + 1, "{}", world.lane.waiting());
}

#[test]
fn history_waits_for_live_events_but_is_not_starved() {
    let mut world = World::new(false, false);
    for _ in 0..4 {
        world.append(0, LaneClass::Low, 0);
    }
    let mut low_at = vec![];
    for start in 0..40 {
        world.append(0, LaneClass::Live, 0);
        world.start_all(1);
        if world.flying[0].class == LaneClass::Low {
            low_at.push(start);
        }
        world.land(0, true, 0);
    }
    assert_eq!(low_at, [15, 31]);
}

#[test]
fn a_newer_state_supersedes_one_that_waits_and_not_one_in_flight() {
    let mut world = World::new(false, false);
    world.append(0, LaneClass::Live, 7);
    world.start_all(1);
    world.append(0, LaneClass::Live, 7);
    world.append(0, LaneClass::Live, 7);
    world.land(0, true, 0);
    world.start_all(1);
    assert_eq!(world.superseded, [event(3)]);
    assert_eq!(world.flying[0].event, event(4));
}

#[test]
fn a_delivery_put_back_by_hand_waits_for_nobody() {
    let mut world = World::new(true, false);
    world.append(1, LaneClass::Live, 0);
    world.start_all(4);
    let mut by_hand = LaneEntry { class: LaneClass::Retry, origin: AttemptOrigin::Manual, ..entry(900, 1) };
    by_hand.due = Timestamp::from_millis(1);
    world.store.insert(stored_at(&by_hand), by_hand);
    world.lane.offer(waiting(by_hand));
    assert_eq!(world.lane.peek(Timestamp::from_millis(world.now)), Peek::Due { data_bytes: 0 });
    assert_eq!(world.lane.take(Timestamp::from_millis(world.now)).map(|w| w.entry.event), Some(event(900)));
}

#[test]
fn live_events_have_half_of_the_starts_beside_a_replay() {
    let mut world = World::new(false, false);
    for number in 0..6 {
        let replayed = LaneEntry { class: LaneClass::Retry, origin: AttemptOrigin::Replay, ..entry(1, 0) };
        let replayed = LaneEntry { event: event(700 + number), ..replayed };
        world.store.insert(stored_at(&replayed), replayed);
        world.lane.offer(waiting(replayed));
    }
    let mut replays_first = 0;
    for _ in 0..6 {
        world.append(0, LaneClass::Live, 0);
        world.start_all(1);
        replays_first += usize::from(world.flying[0].origin == AttemptOrigin::Replay);
        world.land(0, true, 0);
    }
    assert_eq!(replays_first, 3);
}

#[test]
fn a_lane_at_rest_holds_little_and_loses_nothing() {
    let bounds = LaneBounds { waiting: 512, page: 256, ..BOUNDS };
    let mut lane = Lane::new(bounds, &LaneCounts::default(), false, false);
    for number in 0..500 {
        lane.offer(waiting(entry(number + 1, 0)));
    }
    lane.rest();
    assert_eq!(lane.waiting(), fresh::KEPT_AT_REST);
    assert_eq!(lane.take_asks(), []);
    lane.resume();
    assert!(matches!(lane.peek(Timestamp::from_millis(600)), Peek::Due { .. }));
    let after = Some((Timestamp::from_millis(16), event(16)));
    assert_eq!(lane.take_asks(), [Ask::Load { class: LaneClass::Live, order_key: 0, after }]);
}

#[test]
fn hastening_moves_a_waiting_retry_to_now() {
    let mut world = World::new(false, false);
    world.append(0, LaneClass::Live, 0);
    world.start_all(1);
    world.land(0, false, 500_000);
    assert_eq!(world.lane.peek(Timestamp::from_millis(world.now)), Peek::NotBefore(Timestamp::from_millis(500_002)));
    let (before, after) = world.lane.hasten(event(2), Timestamp::from_millis(world.now)).expect("it waits");
    assert_eq!((before.due.millis(), after.due.millis()), (500_002, 2));
    assert_eq!(world.lane.peek(Timestamp::from_millis(world.now)), Peek::Due { data_bytes: 0 });
}

#[test]
fn a_retry_by_hand_of_the_entry_that_blocks_its_key_frees_the_key_when_it_ends() {
    let counts = LaneCounts::default();
    let mut lane = Lane::new(BOUNDS, &counts, true, false);
    let now = Timestamp::from_millis(100);
    lane.offer(waiting(entry(1, 7)));
    let first = lane.take(now).expect("it is due").entry;
    lane.landed(first.event).expect("it was in flight");
    // It failed and waits in the store alone, where an operator finds it and makes it due now.
    lane.offer(waiting(entry(2, 7)));
    let by_hand = LaneEntry { class: LaneClass::Retry, origin: AttemptOrigin::Manual, attempts: 1, ..first };
    lane.offer(waiting(by_hand));
    let again = lane.take(now).expect("it is due").entry;
    assert_eq!(again.event, first.event);
    lane.landed(again.event).expect("it was in flight");
    lane.release(&again);
    assert_eq!(lane.take(now).map(|next| next.entry.event), Some(event(2)), "the next of its key may start");
}
