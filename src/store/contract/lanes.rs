//! Lanes, settlements and what survives.

use super::fixtures::{DAY, append, appended, at, entry, event, event_id, part, retry_of, settle, webhook};
use super::{Ending, House};
use crate::domain::{DeadReason, LaneClass, LaneEntry};
use crate::store::{Appended, LaneQuery, Next, StoreError};

pub async fn entries_wait_in_due_order_and_are_read_in_pages(house: &dyn House) {
    let store = house.open().await;
    let mut entries: Vec<_> = (0..25).map(|n| entry(webhook(1), event_id(n, u128::from(n)))).collect();
    entries[3].due = at(500);
    let batch = entries.iter().map(|entry| append(event(entry.event), &[*entry])).collect();
    assert_eq!(store.append(batch).await.unwrap(), vec![Appended::New; 25]);
    appended(&*store, webhook(2), event_id(3, 99)).await;

    let mut read = Vec::new();
    let mut query = LaneQuery { limit: 10, ..part(webhook(1), LaneClass::Live) };
    loop {
        let page = store.lane(query).await.unwrap();
        let Some(last) = page.last() else { break };
        query.after = Some((last.due, last.event));
        assert!(page.len() <= 10);
        read.extend(page);
    }
    entries.sort_by_key(|entry| (entry.due, entry.event));
    assert_eq!(read, entries);
}

pub async fn a_repeated_client_id_is_a_duplicate_and_stores_nothing(house: &dyn House) {
    let store = house.open().await;
    let with_client_id = |n: u128| {
        let mut event = event(event_id(0, n));
        event.client_id = Some("order-7".into());
        append(event, &[entry(webhook(1), event_id(0, n))])
    };
    let first = event_id(0, 1);
    let answers = store.append(vec![with_client_id(1), with_client_id(2)]).await.unwrap();
    assert_eq!(answers, [Appended::New, Appended::Duplicate(first)], "within one batch");

    let mut elsewhere = with_client_id(3);
    std::sync::Arc::make_mut(&mut elsewhere.event).instance = crate::domain::InstanceId::new("other").unwrap();
    let plain = append(event(event_id(0, 4)), &[entry(webhook(1), event_id(0, 4))]);
    let answers = store.append(vec![with_client_id(5), elsewhere, plain]).await.unwrap();
    assert_eq!(answers, [Appended::Duplicate(first), Appended::New, Appended::New], "the others of a batch are stored");

    let store = house.reopen(store, Ending::Killed).await;
    assert_eq!(store.append(vec![with_client_id(6)]).await.unwrap(), [Appended::Duplicate(first)]);
    assert_eq!(store.lane_counts(webhook(1)).waiting[LaneClass::Live as usize], 3);
    let unknown = vec![event_id(0, 2), event_id(0, 5), event_id(0, 6)];
    assert!(store.events(unknown).await.unwrap().iter().all(Option::is_none));
}

pub async fn a_client_id_is_free_again_after_24_hours(house: &dyn House) {
    let store = house.open().await;
    for (millis, expected) in [
        (0, Appended::New),
        (DAY - 1, Appended::Duplicate(event_id(0, 0))),
        (DAY, Appended::New),
        (DAY + 1, Appended::Duplicate(event_id(DAY, 0))),
    ] {
        let mut event = event(event_id(millis, 0));
        event.client_id = Some("order-7".into());
        assert_eq!(store.append(vec![append(event, &[])]).await.unwrap(), [expected], "after {millis} ms");
    }
}

pub async fn a_retry_leaves_its_old_place(house: &dyn House) {
    let store = house.open().await;
    let first = appended(&*store, webhook(1), event_id(0, 1)).await;
    let retry = retry_of(first, at(5_000));
    store.settle(vec![settle(first, Next::Move(retry))]).await.unwrap();
    assert_eq!(store.lane(part(webhook(1), LaneClass::Live)).await.unwrap(), []);
    assert_eq!(store.lane(part(webhook(1), LaneClass::Retry)).await.unwrap(), [retry]);

    let same_batch = vec![settle(retry, Next::Move(retry_of(retry, at(9_000))))];
    store.settle(same_batch).await.unwrap();
    store.settle(vec![settle(retry_of(retry, at(9_000)), Next::Delivered)]).await.unwrap();
    assert_eq!(store.lane(part(webhook(1), LaneClass::Retry)).await.unwrap(), []);
    assert_eq!(store.lane_counts(webhook(1)).unfinished(), 0);
}

pub async fn settling_an_entry_that_is_gone_does_nothing(house: &dyn House) {
    let store = house.open().await;
    let first = appended(&*store, webhook(1), event_id(0, 1)).await;
    let never_there = entry(webhook(1), event_id(0, 2));
    let settlements = vec![
        settle(first, Next::Delivered),
        settle(first, Next::Move(retry_of(first, at(1)))),
        settle(first, Next::Dead(DeadReason::Exhausted)),
        settle(never_there, Next::Move(retry_of(never_there, at(1)))),
    ];
    store.settle(settlements.clone()).await.unwrap();
    store.settle(settlements).await.unwrap();
    let counts = store.lane_counts(webhook(1));
    assert_eq!((counts.unfinished(), counts.dead), (0, 0));
    assert_eq!(store.lane(part(webhook(1), LaneClass::Retry)).await.unwrap(), []);

    let held = appended(&*store, webhook(1), event_id(0, 3)).await;
    let same_place = LaneEntry { attempts: 1, ..held };
    let late = crate::store::Settle { attempt: None, ..settle(held, Next::Delivered) };
    store.settle(vec![settle(held, Next::Move(same_place)), late]).await.unwrap();
    assert_eq!(store.lane(part(webhook(1), LaneClass::Live)).await.unwrap(), [same_place], "an older life of it");
    let timeline = store.timeline(webhook(1), first.event).await.unwrap().unwrap();
    assert_eq!(timeline.delivery.unwrap().attempts.len(), 1);
}

pub async fn parked_entries_are_read_by_key(house: &dyn House) {
    let store = house.open().await;
    let keyed = |n: u128, order_key| LaneEntry { order_key, ..entry(webhook(1), event_id(0, n)) };
    let parked = |entry: LaneEntry| LaneEntry { class: LaneClass::Parked, ..entry };
    let (a, b, c) = (keyed(1, 7), keyed(2, u64::MAX), keyed(3, 7));
    for entry in [a, b, c] {
        store.append(vec![append(event(entry.event), &[entry])]).await.unwrap();
    }
    let park = |entry| crate::store::Settle { attempt: None, ..settle(entry, Next::Move(parked(entry))) };
    store.settle(vec![park(c), park(b), park(a)]).await.unwrap();
    assert_eq!(store.parked_keys(webhook(1), 10).await.unwrap(), [7, u64::MAX]);
    assert_eq!(store.parked_keys(webhook(1), 1).await.unwrap(), [7]);
    let of_key = |order_key| LaneQuery { order_key, ..part(webhook(1), LaneClass::Parked) };
    assert_eq!(store.lane(of_key(7)).await.unwrap(), [parked(a), parked(c)]);
    assert_eq!(store.lane(of_key(u64::MAX)).await.unwrap(), [parked(b)]);
    assert_eq!(store.lane(of_key(8)).await.unwrap(), []);
    store.settle(vec![settle(parked(a), Next::Delivered)]).await.unwrap();
    assert_eq!(store.lane(of_key(7)).await.unwrap(), [parked(c)]);
}

pub async fn counts_and_active_lanes_are_exact(house: &dyn House) {
    let store = house.open().await;
    let mut low = entry(webhook(1), event_id(0, 4));
    low.class = LaneClass::Low;
    store.append(vec![append(event(low.event), &[low, entry(webhook(2), low.event)])]).await.unwrap();
    let mut live = Vec::new();
    for n in 1..4 {
        live.push(appended(&*store, webhook(1), event_id(0, n)).await);
    }
    let retry = retry_of(live[0], at(9));
    let dead = Next::Dead(DeadReason::GaveUp);
    store.settle(vec![settle(live[0], Next::Move(retry)), settle(live[1], dead.clone())]).await.unwrap();
    store.settle(vec![settle(entry(webhook(2), low.event), dead)]).await.unwrap();

    for ending in [Ending::Killed, Ending::Closed] {
        let counts = store.lane_counts(webhook(1));
        assert_eq!((counts.waiting, counts.dead), ([1, 1, 1, 0], 1), "before {ending:?}");
        assert_eq!(store.active_lanes().await.unwrap(), [(webhook(1), counts)]);
        let stats = store.stats();
        assert_eq!((stats.unfinished, stats.dead), (3, 2));
    }
}

pub async fn what_was_answered_survives_every_ending(house: &dyn House) {
    let mut store = house.open().await;
    let mut expected = Vec::new();
    for (round, ending) in [Ending::Killed, Ending::Closed, Ending::Killed, Ending::Killed].into_iter().enumerate() {
        let id = event_id(round as u64, 0);
        let first = appended(&*store, webhook(1), id).await;
        let settled = appended(&*store, webhook(1), event_id(round as u64, 1)).await;
        store.settle(vec![settle(settled, Next::Delivered)]).await.unwrap();
        store.flush().await.unwrap();
        expected.push(first);

        store = house.reopen(store, ending).await;
        assert_eq!(store.lane(part(webhook(1), LaneClass::Live)).await.unwrap(), expected, "after {ending:?}");
        assert_eq!(store.lane_counts(webhook(1)).unfinished(), expected.len() as u64);
        let stored = store.events(vec![id]).await.unwrap();
        assert_eq!(stored[0].as_deref(), Some(&event(id)));
    }
}

pub async fn a_deleted_webhook_is_cancelled_in_steps(house: &dyn House) {
    let store = house.open().await;
    let mut entries = Vec::new();
    for n in 0..5 {
        entries.push(appended(&*store, webhook(1), event_id(0, n)).await);
    }
    let other = appended(&*store, webhook(2), event_id(0, 9)).await;
    store.settle(vec![settle(entries[0], Next::Move(retry_of(entries[0], at(1))))]).await.unwrap();
    assert!(store.cancel_lane(webhook(1), 3).await.unwrap());
    assert!(!store.cancel_lane(webhook(1), 3).await.unwrap());
    assert!(!store.cancel_lane(webhook(1), 3).await.unwrap());
    assert_eq!(store.lane_counts(webhook(1)).unfinished(), 0);
    assert_eq!(store.lane(part(webhook(2), LaneClass::Live)).await.unwrap(), [other]);

    store.settle(vec![settle(entries[4], Next::Move(retry_of(entries[4], at(1))))]).await.unwrap();
    assert_eq!(store.lane(part(webhook(1), LaneClass::Retry)).await.unwrap(), [], "an attempt in flight came back");
    let timeline = store.timeline(webhook(1), entries[4].event).await.unwrap().unwrap();
    assert_eq!(timeline.delivery.unwrap().status, crate::domain::DeliveryStatus::Cancelled);
}

pub async fn a_closed_store_says_so(house: &dyn House) {
    let store = house.open().await;
    store.check().await.unwrap();
    store.close().await.unwrap();
    store.close().await.unwrap();
    assert!(matches!(store.append(vec![]).await, Err(StoreError::Closed)));
    assert!(matches!(store.lane(part(webhook(1), LaneClass::Live)).await, Err(StoreError::Closed)));
    assert!(matches!(store.check().await, Err(StoreError::Closed)));
}
