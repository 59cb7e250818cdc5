//! What goes after its time, and what must not.

use bytes::Bytes;

use super::House;
use super::fixtures::{
    DAY, HOUR, a_week, append, appended, at, entry, event, event_id, part, retained, settle, webhook,
};
use crate::domain::{AttemptOrigin, DeadReason, DeliveryStatus, LaneClass, MessageState, MessageStatus};
use crate::store::{DeliveryQuery, Next, Requeue, Retention};

pub async fn finished_events_go_after_their_time(house: &dyn House) {
    let store = house.open().await;
    let old = event_id(0, 1);
    let both = [entry(webhook(1), old), entry(webhook(2), old)];
    store.append(vec![append(event(old), &both)]).await.unwrap();
    let young = appended(&*store, webhook(1), event_id(DAY, 1)).await;
    store.append(vec![append(event(event_id(5, 5)), &[])]).await.unwrap();
    store.settle(vec![settle(both[0], Next::Delivered), settle(both[1], Next::Cancelled)]).await.unwrap();
    store.settle(vec![settle(young, Next::Delivered)]).await.unwrap();

    let step = retained(&*store, at(7 * DAY), a_week()).await;
    assert_eq!(step.events, 0, "not yet");
    let step = retained(&*store, at(7 * DAY + 6), a_week()).await;
    assert_eq!((step.events, step.deliveries), (2, 2));
    assert!(store.timeline(webhook(1), old).await.unwrap().is_none());
    let left = DeliveryQuery { webhook: webhook(1), status: None, kind: None, before: None, limit: 9 };
    let left = store.deliveries(left).await.unwrap();
    assert_eq!(left.iter().map(|delivery| delivery.event).collect::<Vec<_>>(), [young.event]);
    let back = store.requeue(webhook(1), old, AttemptOrigin::Manual, at(0)).await.unwrap();
    assert_eq!(back, Requeue::Unknown);
}

pub async fn unfinished_and_dead_deliveries_keep_their_event(house: &dyn House) {
    let store = house.open().await;
    let waiting = appended(&*store, webhook(1), event_id(0, 1)).await;
    let dead = appended(&*store, webhook(1), event_id(0, 2)).await;
    let shared = event_id(0, 3);
    let both = [entry(webhook(1), shared), entry(webhook(2), shared)];
    store.append(vec![append(event(shared), &both)]).await.unwrap();
    let exhausted = Next::Dead(DeadReason::Exhausted);
    store.settle(vec![settle(dead, exhausted), settle(both[0], Next::Delivered)]).await.unwrap();

    let step = retained(&*store, at(20 * DAY), a_week()).await;
    assert_eq!((step.events, step.deliveries, step.dead), (0, 0, 0));
    let kept = store.events(vec![waiting.event, dead.event, shared]).await.unwrap();
    assert!(kept.iter().all(Option::is_some));
    assert_eq!(store.lane(part(webhook(1), LaneClass::Live)).await.unwrap(), [waiting]);

    store.settle(vec![settle(waiting, Next::Delivered), settle(both[1], Next::Delivered)]).await.unwrap();
    let step = retained(&*store, at(20 * DAY + 2 * HOUR), a_week()).await;
    assert_eq!((step.events, step.deliveries), (2, 3), "they go once they are finished");
}

pub async fn an_expired_dead_letter_is_gone(house: &dyn House) {
    let store = house.open().await;
    let dead = appended(&*store, webhook(1), event_id(0, 1)).await;
    store.settle(vec![settle(dead, Next::Dead(DeadReason::Exhausted))]).await.unwrap();
    assert_eq!(retained(&*store, at(10_000 + 30 * DAY), a_week()).await.dead, 0);
    let step = retained(&*store, at(10_001 + 30 * DAY + 2 * HOUR), a_week()).await;
    assert_eq!((step.dead, step.events), (1, 1));
    assert_eq!(store.lane_counts(webhook(1)).dead, 0);
    let listed =
        DeliveryQuery { webhook: webhook(1), status: Some(DeliveryStatus::Dead), kind: None, before: None, limit: 9 };
    assert_eq!(store.deliveries(listed).await.unwrap(), []);
    let back = store.requeue(webhook(1), dead.event, AttemptOrigin::Manual, at(0)).await.unwrap();
    assert_eq!(back, Requeue::Unknown);
}

pub async fn the_oldest_history_goes_when_it_takes_too_much(house: &dyn House) {
    const BODY: usize = 100_000;
    let store = house.open().await;
    for n in 0..20 {
        let mut event = event(event_id(n, 0));
        event.data = Bytes::from(vec![b' '; BODY]);
        let mut entry = entry(webhook(1), event.id);
        entry.data_bytes = BODY as u32;
        store.append(vec![append(event, &[entry])]).await.unwrap();
        if n != 0 {
            store.settle(vec![settle(entry, Next::Delivered)]).await.unwrap();
        }
    }
    let bound = Retention { history_max_bytes: 10 * BODY as u64, ..a_week() };
    let step = retained(&*store, at(1_000), bound).await;
    assert!((9..=10).contains(&step.events), "19 finished bodies, at most 10 stay: {step:?}");
    let kept = store.events((0..20).map(|n| event_id(n, 0)).collect()).await.unwrap();
    let kept: Vec<_> = kept.iter().map(Option::is_some).collect();
    assert!(kept[0], "it is unfinished");
    assert!(!kept[1] && !kept[9] && kept[11] && kept[19], "the oldest goes first: {kept:?}");
}

pub async fn message_states_expire(house: &dyn House) {
    let store = house.open().await;
    let read =
        MessageStatus { message_id: "3EB0".into(), state: MessageState::Read, number: "55".into(), updated_at: at(0) };
    let mut carries = append(event(event_id(0, 1)), &[]);
    carries.messages.push(read.clone());
    store.append(vec![carries]).await.unwrap();
    let instance = super::fixtures::instance();
    retained(&*store, at(30 * DAY), a_week()).await;
    assert_eq!(store.message(&instance, "3EB0").await.unwrap(), Some(read));
    retained(&*store, at(30 * DAY + 1), a_week()).await;
    assert_eq!(store.message(&instance, "3EB0").await.unwrap(), None);
}
