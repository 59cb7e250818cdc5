//! Moves from one store to another.

use futures_util::TryStreamExt as _;

use super::directory::an_instance;
use super::fixtures::{append, at, attempt, entry, event, event_id, instance, part, retry_of, settle, webhook};
use super::{Ending, House};
use crate::domain::{DeadReason, EventId, HeldBack, LaneClass, LaneEntry, MessageState, MessageStatus};
use crate::store::memory::MemoryStore;
use crate::store::moving::Record;
use crate::store::{Appended, DeliveryQuery, DirectoryChange, LaneCounts, LaneQuery, Next, Settle, Store};

/// Everything `from` tells goes into `to`; answers how many events were new there.
pub async fn copy(from: &dyn Store, to: &dyn Store) -> u64 {
    let directory = from.directory().await.unwrap();
    let instances = directory.instances.into_iter().map(|one| DirectoryChange::PutInstance(Box::new(one)));
    to.change_directory(instances.collect()).await.unwrap();
    let mut pages = from.records();
    let mut taken = 0;
    while let Some(page) = pages.try_next().await.unwrap() {
        taken += to.restore(page).await.unwrap();
    }
    taken
}

/// One event owed to three webhooks: delivered to the first, waiting for its second attempt by the second, dead for the third;
/// one parked behind it, one that waits, one that was held back and told of a message.
pub async fn fill(store: &dyn Store) -> [LaneEntry; 3] {
    store.change_directory(vec![DirectoryChange::PutInstance(Box::new(an_instance()))]).await.unwrap();
    let ids = [event_id(1, 1), event_id(2, 1), event_id(3, 1)];
    let first = [1, 2, 3].map(|number| LaneEntry { order_key: 9, ..entry(webhook(number), ids[0]) });
    let behind = LaneEntry { order_key: 9, ..entry(webhook(2), ids[1]) };
    let waits = entry(webhook(1), ids[2]);
    let mut named = event(ids[0]);
    named.client_id = Some("order-7".into());
    let mut last = append(event(ids[2]), &[waits]);
    last.held_back.push((2, HeldBack::Disabled));
    last.messages.push(MessageStatus {
        message_id: "3EB0".into(),
        state: MessageState::Read,
        number: "5511".into(),
        updated_at: at(3),
    });
    store.append(vec![append(named, &first), append(event(ids[1]), &[behind]), last]).await.unwrap();
    let retry = retry_of(first[1], at(60_000));
    let parked = LaneEntry { class: LaneClass::Parked, ..behind };
    let parking = Settle { entry: behind, attempt: None, next: Next::Move(parked), at: at(9) };
    let ends = [
        settle(first[0], Next::Delivered),
        settle(first[1], Next::Move(retry)),
        settle(first[2], Next::Dead(DeadReason::GaveUp)),
        parking,
    ];
    store.settle(ends.to_vec()).await.unwrap();
    [retry, parked, waits]
}

pub async fn is_filled(store: &dyn Store, [retry, parked, waits]: [LaneEntry; 3]) {
    let counts = [1, 2, 3].map(|number| store.lane_counts(webhook(number)));
    assert_eq!(counts[0], LaneCounts { waiting: [0, 1, 0, 0], dead: 0 });
    assert_eq!(counts[1], LaneCounts { waiting: [1, 0, 0, 1], dead: 0 });
    assert_eq!(counts[2], LaneCounts { waiting: [0; 4], dead: 1 });
    assert_eq!(store.lane(part(webhook(1), LaneClass::Live)).await.unwrap(), [waits]);
    assert_eq!(store.lane(part(webhook(2), LaneClass::Retry)).await.unwrap(), [retry]);
    assert_eq!(store.parked_keys(webhook(2), 9).await.unwrap(), [9]);
    let behind = LaneQuery { order_key: 9, ..part(webhook(2), LaneClass::Parked) };
    assert_eq!(store.lane(behind).await.unwrap(), [parked]);
    let timeline = store.timeline(webhook(2), retry.event).await.unwrap().unwrap().delivery.unwrap();
    assert_eq!(timeline.attempts, [attempt(1, false)]);
    let told = store.timeline(webhook(2), waits.event).await.unwrap().unwrap();
    assert_eq!((told.held_back, told.delivery), (Some(HeldBack::Disabled), None));
    let query = DeliveryQuery { webhook: webhook(3), status: None, kind: None, before: None, limit: 9 };
    let dead = store.deliveries(query).await.unwrap();
    assert_eq!((dead.len(), dead[0].dead_reason), (1, Some(DeadReason::GaveUp)));
    let message = store.message(&instance(), "3EB0").await.unwrap().unwrap();
    assert_eq!((message.state, &*message.number), (MessageState::Read, "5511"));
}

pub async fn what_one_store_tells_fills_another(house: &dyn House) {
    let store = house.open().await;
    let entries = fill(&*store).await;
    let copied = MemoryStore::new();
    assert_eq!(copy(&*store, &copied).await, 3);
    is_filled(&copied, entries).await;
}

pub async fn what_is_taken_in_twice_is_there_once(house: &dyn House) {
    let source = MemoryStore::new();
    let entries = fill(&source).await;
    let store = house.open().await;
    assert_eq!(copy(&source, &*store).await, 3);
    is_filled(&*store, entries).await;
    // Somebody has gone on since: that is not undone.
    store.settle(vec![settle(entries[2], Next::Delivered)]).await.unwrap();
    assert_eq!(copy(&source, &*store).await, 0);
    assert_eq!(store.lane_counts(webhook(1)).unfinished(), 0);

    let store = house.reopen(store, Ending::Killed).await;
    assert_eq!((store.stats().unfinished, store.stats().dead), (2, 1));
    let again = EventId::from_u128(event_id(9, 1).as_u128());
    let mut repeated = event(again);
    repeated.client_id = Some("order-7".into());
    let answer = store.append(vec![append(repeated, &[entry(webhook(1), again)])]).await.unwrap();
    assert_eq!(answer, [Appended::Duplicate(entries[0].event)]);
    let told = store.records().try_concat().await.unwrap();
    let events = told.iter().filter(|record| matches!(record, Record::Event(_))).count();
    assert_eq!(events, 3);
}
