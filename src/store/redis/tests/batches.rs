//! Calls in which not everything goes the common way: the rest of the batch must go it all the same, and the sums must stay right.

use super::*;
use crate::domain::{EventId, MessageState, MessageStatus};

/// Bytes stored and bytes held by what waits, as the shard's counters tell them.
async fn sums(store: &RedisStore) -> (i64, i64) {
    let shard = ShardId::of_webhook(webhook(1).as_u128());
    let mut read = redis::cmd("HMGET");
    read.arg(store.shared.keys.of(shard, b"s")).arg("bytes").arg("held");
    redis::from_redis_value(store.shared.link.run(&read).await.unwrap()).unwrap()
}

async fn three_waiting(store: &RedisStore) -> Vec<LaneEntry> {
    let mut waiting = Vec::new();
    for n in 1..4 {
        waiting.push(appended(store, webhook(1), event_id(1_000, n)).await);
    }
    waiting
}

#[tokio::test]
async fn a_settlement_that_comes_again_among_others_is_passed_over() {
    let (once, again) = (Tenancy::new(), Tenancy::new());
    let (once, again) = (once.enter().await, again.enter().await);
    let delivered = |entry: &LaneEntry| settle(*entry, Next::Delivered);
    once.settle(three_waiting(&once).await.iter().map(delivered).collect()).await.unwrap();

    let waiting = three_waiting(&again).await;
    again.settle(vec![delivered(&waiting[1])]).await.unwrap();
    let late = waiting.iter().map(|entry| Settle { at: at(9_999), ..delivered(entry) });
    again.settle(late.collect()).await.unwrap();
    for (entry, finished_at) in waiting.iter().zip([at(9_999), delivered(&waiting[1]).at, at(9_999)]) {
        let told = again.timeline(webhook(1), entry.event).await.unwrap().unwrap().delivery.unwrap();
        assert_eq!(told.finished_at, Some(finished_at));
    }
    assert_eq!(again.lane_counts(webhook(1)).unfinished(), 0);
    assert_eq!(sums(&again).await, sums(&once).await);
}

fn telling(id: EventId, client_id: &str, states: &[(&str, MessageState)]) -> Append {
    let mut event = event(id);
    event.client_id = (!client_id.is_empty()).then(|| client_id.into());
    let mut append = append(event, &[entry(webhook(1), id)]);
    append.messages.extend(states.iter().map(|(message, state)| MessageStatus {
        message_id: (*message).into(),
        state: *state,
        number: "5511".into(),
        updated_at: id.timestamp(),
    }));
    append
}

async fn state(store: &RedisStore, message: &str) -> Option<MessageState> {
    store.message(&fixtures::instance(), message).await.unwrap().map(|status| status.state)
}

#[tokio::test]
async fn what_one_call_tells_of_one_message_is_told_in_order() {
    let (first, later, last) = (MessageState::ServerAck, MessageState::DeliveryAck, MessageState::Read);
    // With ids of the caller's any event may be known already: those go another way.
    for client in ["", "c"] {
        let house = Tenancy::new();
        let store = house.enter().await;
        let named = |n: &str| if client.is_empty() { String::new() } else { format!("{client}{n}") };
        let id = |n| event_id(1_000 + n as u64, n);
        store.append(vec![telling(id(1), &named("1"), &[("a", first)])]).await.unwrap();
        let answers = store.append(vec![
            telling(id(2), &named("2"), &[("a", later), ("b", first)]),
            telling(id(3), &named("1"), &[("c", first)]),
            telling(id(4), &named("4"), &[("a", last), ("b", later)]),
        ]);
        let answers = answers.await.unwrap();
        let repeats = !client.is_empty();
        assert_eq!(answers[1], if repeats { Appended::Duplicate(id(1)) } else { Appended::New });
        assert_eq!((state(&store, "a").await, state(&store, "b").await), (Some(last), Some(later)));
        assert_eq!(state(&store, "c").await, Some(first).filter(|_| !repeats), "of an event that was known");
        assert_eq!(store.lane_counts(webhook(1)).unfinished(), if repeats { 3 } else { 4 });
    }
}
