//! What is told of deliveries, and putting them back.

use smallvec::smallvec;

use super::House;
use super::fixtures::{append, appended, at, attempt, entry, event, event_id, part, retry_of, settle, webhook};
use crate::domain::DeliveryStatus::{Cancelled, Dead, Delivered, Pending, Retrying, Superseded};
use crate::domain::{AttemptOrigin, DeadReason, DeliveryStatus, EventId, EventKind, LaneClass, LaneEntry, WebhookId};
use crate::store::{DeliveryQuery, HeldBack, Next, Requeue, Settle};

const fn all_of(webhook: WebhookId) -> DeliveryQuery {
    DeliveryQuery { webhook, status: None, kind: None, before: None, limit: 100 }
}

pub async fn a_timeline_tells_every_attempt(house: &dyn House) {
    let store = house.open().await;
    let first = appended(&*store, webhook(1), event_id(0, 1)).await;
    let pending = store.timeline(webhook(1), first.event).await.unwrap().unwrap().delivery.unwrap();
    assert_eq!((pending.status, pending.next_attempt_at), (DeliveryStatus::Pending, Some(first.due)));

    let retry = retry_of(first, at(5_000));
    store.settle(vec![settle(first, Next::Move(retry))]).await.unwrap();
    let retrying = store.timeline(webhook(1), first.event).await.unwrap().unwrap().delivery.unwrap();
    assert_eq!((retrying.status, retrying.next_attempt_at), (DeliveryStatus::Retrying, Some(at(5_000))));

    store.settle(vec![settle(retry, Next::Dead(DeadReason::Gone))]).await.unwrap();
    let timeline = store.timeline(webhook(1), first.event).await.unwrap().unwrap();
    assert_eq!(*timeline.event, event(first.event));
    let dead = timeline.delivery.unwrap();
    assert_eq!((dead.status, dead.dead_reason), (DeliveryStatus::Dead, Some(DeadReason::Gone)));
    assert_eq!((dead.next_attempt_at, dead.finished_at), (None, Some(at(10_000))));
    assert_eq!(dead.attempts, [attempt(1, false), attempt(2, false)]);
}

pub async fn a_timeline_is_not_shown_to_a_webhook_it_does_not_concern(house: &dyn House) {
    let store = house.open().await;
    let id = event_id(0, 1);
    let mut append = append(event(id), &[entry(webhook(1), id)]);
    append.held_back = smallvec![(webhook(2).as_u128(), HeldBack::IgnoreGroups)];
    store.append(vec![append]).await.unwrap();

    let held_back = store.timeline(webhook(2), id).await.unwrap().unwrap();
    assert_eq!((held_back.delivery, held_back.held_back), (None, Some(HeldBack::IgnoreGroups)));
    assert!(store.timeline(webhook(3), id).await.unwrap().is_none(), "it may belong to another tenant");
    assert!(store.timeline(webhook(1), event_id(0, 2)).await.unwrap().is_none());
    assert_eq!(store.deliveries(all_of(webhook(2))).await.unwrap(), []);
}

pub async fn deliveries_are_listed_newest_first_with_filters_and_cursor(house: &dyn House) {
    let store = house.open().await;
    let mut entries = Vec::new();
    for n in 0..8 {
        let mut entry = entry(webhook(1), event_id(n, 0));
        if n == 7 {
            entry.kind = EventKind::PresenceUpdate;
            entry.class = LaneClass::Low;
        }
        store.append(vec![append(event(entry.event), &[entry])]).await.unwrap();
        entries.push(entry);
    }
    appended(&*store, webhook(2), event_id(3, 5)).await;
    let retry = retry_of(entries[2], at(90_000));
    let twice = retry_of(retry, at(99_000));
    store
        .settle(vec![
            settle(entries[0], Next::Delivered),
            settle(entries[1], Next::Dead(DeadReason::Exhausted)),
            settle(entries[2], Next::Move(retry)),
            settle(retry, Next::Move(twice)),
            Settle { attempt: None, ..settle(entries[5], Next::Superseded { by: entries[6].event }) },
        ])
        .await
        .unwrap();

    let all = store.deliveries(all_of(webhook(1))).await.unwrap();
    let statuses: Vec<_> = all.iter().map(|delivery| delivery.status).collect();
    assert_eq!(statuses, [Pending, Pending, Superseded, Pending, Pending, Retrying, Dead, Delivered]);
    let newest_first: Vec<_> = entries.iter().rev().map(|entry| entry.event).collect();
    assert_eq!(all.iter().map(|delivery| delivery.event).collect::<Vec<_>>(), newest_first);
    assert_eq!(all[5].attempts, [attempt(2, false)], "a list carries the last attempt");
    assert_eq!(all[5].next_attempt_at, Some(at(99_000)));
    assert_eq!(all[6].dead_reason, Some(DeadReason::Exhausted));

    let mut paged = Vec::new();
    let mut query = DeliveryQuery { limit: 3, ..all_of(webhook(1)) };
    loop {
        let page = store.deliveries(query.clone()).await.unwrap();
        let Some(last) = page.last() else { break };
        query.before = Some(last.event);
        paged.extend(page);
    }
    assert_eq!(paged, all);

    for status in DeliveryStatus::ALL {
        let listed = store.deliveries(DeliveryQuery { status: Some(status), ..all_of(webhook(1)) }).await.unwrap();
        let expected: Vec<_> = all.iter().filter(|delivery| delivery.status == status).cloned().collect();
        assert_eq!(listed, expected, "{status:?}");
    }
    let of_kind = DeliveryQuery { kind: Some(EventKind::PresenceUpdate), ..all_of(webhook(1)) };
    assert_eq!(store.deliveries(of_kind).await.unwrap(), all[..1]);
}

pub async fn parked_and_early_entries_are_listed_too(house: &dyn House) {
    let store = house.open().await;
    let base = |n: u128| entry(webhook(1), event_id(1_000, n));
    let parked_at_once = LaneEntry { class: LaneClass::Parked, order_key: 9, ..base(1) };
    // The clock stepped back between making the id and the entry.
    let early = LaneEntry { due: at(0), ..base(2) };
    let late = LaneEntry { due: at(50_000), ..base(3) };
    for entry in [parked_at_once, early, late] {
        store.append(vec![append(event(entry.event), &[entry])]).await.unwrap();
    }
    let listed = store.deliveries(DeliveryQuery { limit: 2, ..all_of(webhook(1)) }).await.unwrap();
    assert_eq!(listed.iter().map(|delivery| delivery.event).collect::<Vec<_>>(), [late.event, early.event]);
    let older = DeliveryQuery { before: Some(early.event), ..all_of(webhook(1)) };
    let listed = store.deliveries(older).await.unwrap();
    assert_eq!(listed.iter().map(|delivery| delivery.event).collect::<Vec<_>>(), [parked_at_once.event]);
}

pub async fn a_finished_delivery_can_be_put_back(house: &dyn House) {
    let store = house.open().await;
    let first = LaneEntry { order_key: 4, coalesce_key: 5, ..entry(webhook(1), event_id(0, 1)) };
    store.append(vec![append(event(first.event), &[first])]).await.unwrap();
    store.settle(vec![settle(first, Next::Dead(DeadReason::GaveUp))]).await.unwrap();
    assert_eq!(store.lane_counts(webhook(1)).dead, 1);

    let back = LaneEntry {
        class: LaneClass::Retry,
        due: at(77),
        origin: AttemptOrigin::Manual,
        attempts: 1,
        round_attempts: 0,
        ..first
    };
    let answer = store.requeue(webhook(1), first.event, AttemptOrigin::Manual, at(77)).await.unwrap();
    assert_eq!(answer, Requeue::Queued(back));
    assert_eq!(store.lane(part(webhook(1), LaneClass::Retry)).await.unwrap(), [back]);
    let counts = store.lane_counts(webhook(1));
    assert_eq!((counts.unfinished(), counts.dead), (1, 0));
    let listed = store.deliveries(all_of(webhook(1))).await.unwrap();
    assert_eq!((listed[0].status, listed[0].attempts.len()), (DeliveryStatus::Retrying, 1));
    let dead = DeliveryQuery { status: Some(DeliveryStatus::Dead), ..all_of(webhook(1)) };
    assert_eq!(store.deliveries(dead).await.unwrap(), []);

    store.settle(vec![settle(back, Next::Delivered)]).await.unwrap();
    let delivery = store.timeline(webhook(1), first.event).await.unwrap().unwrap().delivery.unwrap();
    assert_eq!(delivery.status, DeliveryStatus::Delivered);
    assert_eq!(delivery.attempts, [attempt(1, false), attempt(2, true)]);

    for stranger in [(webhook(1), event_id(0, 9)), (webhook(2), first.event)] {
        let answer = store.requeue(stranger.0, stranger.1, AttemptOrigin::Replay, at(1)).await.unwrap();
        assert_eq!(answer, Requeue::Unknown);
    }
}

pub async fn an_unfinished_delivery_is_not_put_back_twice(house: &dyn House) {
    let store = house.open().await;
    let first = appended(&*store, webhook(1), event_id(0, 1)).await;
    let again = || store.requeue(webhook(1), first.event, AttemptOrigin::Manual, at(1));
    assert_eq!(again().await.unwrap(), Requeue::Unfinished(first));
    let retry = retry_of(first, at(5));
    store.settle(vec![settle(first, Next::Move(retry))]).await.unwrap();
    assert_eq!(again().await.unwrap(), Requeue::Unfinished(retry));
    let parked = LaneEntry { class: LaneClass::Parked, ..retry };
    store.settle(vec![Settle { attempt: None, ..settle(retry, Next::Move(parked)) }]).await.unwrap();
    assert_eq!(again().await.unwrap(), Requeue::Unfinished(parked));
    assert_eq!(store.lane_counts(webhook(1)).unfinished(), 1);
}

pub async fn finished_deliveries_are_found_by_range_and_status(house: &dyn House) {
    let store = house.open().await;
    let mut entries = Vec::new();
    for n in 0..6 {
        entries.push(appended(&*store, webhook(1), event_id(n, 0)).await);
    }
    let ends = [Next::Delivered, Next::Dead(DeadReason::Exhausted), Next::Delivered, Next::Cancelled];
    let settlements = entries.iter().zip(ends).map(|(entry, next)| settle(*entry, next)).collect();
    store.settle(settlements).await.unwrap();
    store.settle(vec![settle(entries[4], Next::Move(retry_of(entries[4], at(9))))]).await.unwrap();

    let ids = |places: &[usize]| places.iter().map(|place| entries[*place].event).collect::<Vec<_>>();
    let all = EventId::MIN..EventId::MAX;
    let find = |range, statuses, limit| store.finished(webhook(1), range, statuses, limit);
    assert_eq!(find(all.clone(), vec![Delivered], 10).await.unwrap(), ids(&[0, 2]));
    assert_eq!(find(all.clone(), vec![Delivered, Dead, Cancelled], 3).await.unwrap(), ids(&[0, 1, 2]));
    assert_eq!(find(entries[1].event..entries[3].event, vec![Delivered, Dead], 9).await.unwrap(), ids(&[1, 2]));
    assert_eq!(find(entries[3].event..entries[1].event, vec![Delivered, Dead], 9).await.unwrap(), []);
    store.requeue(webhook(1), entries[0].event, AttemptOrigin::Replay, at(1)).await.unwrap();
    assert_eq!(find(all, vec![Delivered], 10).await.unwrap(), ids(&[2]));
}
