//! Calls in which not everything goes the common way: the rest of the batch must go it all the same, and the sums must stay right.

use super::*;
use crate::domain::{EventId, EventIds, LaneClass, MessageState, MessageStatus};

/// Bytes stored and bytes held by what waits, as the shard's counters tell them.
pub async fn sums(store: &RedisStore) -> (i64, i64) {
    sums_of(store, ShardId::of_webhook(webhook(1).as_u128())).await
}

pub async fn sums_of(store: &RedisStore, shard: ShardId) -> (i64, i64) {
    let mut read = redis::cmd("HMGET");
    read.arg(store.shared.keys.of(shard, b"s")).arg("bytes").arg("held");
    let sums: (Option<i64>, Option<i64>) =
        redis::from_redis_value(store.shared.link.run(&read).await.unwrap()).unwrap();
    (sums.0.unwrap_or(0), sums.1.unwrap_or(0))
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

/// What may have become of an entry before it is told that it was delivered.
const FATES: usize = 4;

/// Three entries of each of many webhooks, with every combination of fates; then each webhook's are told to be delivered.
async fn delivered_whatever_became_of_them(store: &RedisStore, at_once: bool) -> Vec<String> {
    let shard = ShardId::of_instance(&fixtures::instance());
    let ids = EventIds::new(3);
    let mut webhooks = Vec::new();
    for n in 0..FATES.pow(3) {
        let webhook = WebhookId::from_u128(((n as u128 + 1) << 64) | u128::from(shard.index() as u64));
        assert_eq!(ShardId::of_webhook(webhook.as_u128()), shard);
        let mut fates = Vec::new();
        for place in 0..3_u32 {
            let waiting = appended(store, webhook, ids.next_in(at(1_000), shard)).await;
            fates.push((waiting, n / FATES.pow(place) % FATES));
        }
        webhooks.push((webhook, fates));
    }
    let all = || webhooks.iter().flat_map(|(_, fates)| fates.iter().copied());
    let of = |wanted| all().filter(move |(_, fate)| *fate == wanted).map(|(entry, _)| entry);
    store.settle(of(1).map(|entry| settle(entry, Next::Delivered)).collect()).await.unwrap();
    let after = at(8 * 24 * fixtures::HOUR);
    assert_eq!(fixtures::retained(store, after, fixtures::a_week()).await.events as usize, of(1).count(), "forgotten");
    store.settle(of(2).map(|entry| settle(entry, Next::Superseded { by: EventId::MAX })).collect()).await.unwrap();
    let low = |entry| LaneEntry { class: LaneClass::Low, ..entry };
    let moved = of(3).map(|entry| Settle { attempt: None, ..settle(entry, Next::Move(low(entry))) });
    store.settle(moved.collect()).await.unwrap();

    let mut told = Vec::new();
    for (webhook, fates) in &webhooks {
        let delivered: Vec<_> = fates.iter().map(|(entry, _)| settle(*entry, Next::Delivered)).collect();
        for batch in delivered.chunks(if at_once { 3 } else { 1 }) {
            store.settle(batch.to_vec()).await.unwrap();
        }
        let query = DeliveryQuery { webhook: *webhook, status: None, kind: None, before: None, limit: 9 };
        let lanes =
            (store.lane(part(*webhook, LaneClass::Live)).await, store.lane(part(*webhook, LaneClass::Low)).await);
        told.push(format!("{:?} {lanes:?} {:?}", store.deliveries(query).await, store.lane_counts(*webhook)));
        assert_eq!(
            store.lane_counts(*webhook).unfinished() as usize,
            fates.iter().filter(|(_, fate)| *fate == 3).count()
        );
    }
    told.push(format!("{:?}", sums_of(store, shard).await));
    told
}

#[tokio::test]
async fn of_a_group_each_is_settled_as_if_it_came_alone_whatever_became_of_it_before() {
    let (together, alone) = (Tenancy::new(), Tenancy::new());
    let together = delivered_whatever_became_of_them(&*together.enter().await, true).await;
    let alone = delivered_whatever_became_of_them(&*alone.enter().await, false).await;
    assert_eq!(together, alone);
}

#[tokio::test]
async fn a_lane_is_counted_and_read_right_while_it_grows_past_what_lies_in_one_piece() {
    let house = Tenancy::new();
    let store = house.enter().await;
    let mut waiting = Vec::new();
    // Past it at once, by one, by many, and from the beginning again.
    for (round, number) in [70_u64, 20, 3, 1, 1, 40].into_iter().enumerate() {
        let ids = (0..number).map(|n| event_id(round as u64, u128::from(n)));
        let batch = ids.map(|id| append(event(id), &[entry(webhook(1), id)]));
        let batch: Vec<_> = batch.collect();
        waiting.extend(batch.iter().flat_map(|append| append.entries.clone()));
        store.append(batch).await.unwrap();
        let query = LaneQuery { limit: 500, ..part(webhook(1), LaneClass::Live) };
        assert_eq!(store.lane(query).await.unwrap(), waiting);
        assert_eq!(store.lane_counts(webhook(1)).unfinished(), waiting.len() as u64);
        if round == 0 {
            store.settle(waiting.drain(..).map(|entry| settle(entry, Next::Delivered)).collect()).await.unwrap();
        }
    }
    let lane = house.0.ask::<Vec<Vec<u8>>>(redis::cmd("KEYS").arg("pombo:{??}:l:*")).await;
    let form: String = house.0.ask(redis::cmd("OBJECT").arg("ENCODING").arg(&lane[0])).await;
    assert_eq!(form, "skiplist", "or it was walked through");
}
