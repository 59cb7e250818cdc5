//! Several nodes on one Redis: order of commits, fences, what they tell each other.

use super::*;
use crate::domain::{EventIds, LaneClass};
use crate::store::{DirectoryChange, StoreError};

async fn two() -> (Tenancy, Arc<RedisStore>, Arc<RedisStore>) {
    let house = Tenancy::new();
    let node = || async {
        Arc::new(RedisStore::open(RedisConfig { many_nodes: true, ..RedisConfig::new(house.0.url()) }).await.unwrap())
    };
    let (a, b) = (node().await, node().await);
    (house, a, b)
}

/// Makes the node the owner of the shards of webhooks 1 and 2.
async fn own(house: &Tenancy, node: &RedisStore) {
    for shard in [1, 2].map(ShardId::of_webhook) {
        let mut set = redis::cmd("SET");
        set.arg(node.owner_key(shard)).arg("owner:1");
        house.0.ask::<()>(&set).await;
        node.set_fence(shard, Some("owner:1"));
    }
}

fn one(millis: u64, number: u128) -> Vec<Append> {
    let id = event_id(millis, number);
    vec![append(event(id), &[entry(webhook(1), id)])]
}

#[tokio::test]
async fn what_is_appended_later_sorts_later_whatever_the_clocks_say() {
    let (house, a, b) = two().await;
    own(&house, &b).await;
    assert_eq!(a.append(one(100, 9)).await.unwrap(), [Appended::New]);
    assert_eq!(b.append(one(90, 1)).await.unwrap(), [Appended::Late], "its clock is behind");
    assert_eq!(a.append(one(100, 10)).await.unwrap(), [Appended::Late], "another node came in between");
    assert_eq!(a.append(one(101, 1)).await.unwrap(), [Appended::New]);

    let mut order = Vec::new();
    let mut query = LaneQuery { limit: 1, ..part(webhook(1), LaneClass::Live) };
    while let [next] = b.lane(query).await.unwrap()[..] {
        assert!(next.due >= next.event.timestamp());
        query.after = Some((next.due, next.event));
        order.push(next.event);
        let settled = b.settle(vec![settle(next, Next::Delivered)]).await;
        settled.unwrap();
    }
    assert_eq!(order, [(100, 9), (90, 1), (100, 10), (101, 1)].map(|(ms, n)| event_id(ms, n)));
    assert_eq!(a.count_lane(webhook(1)).await.unwrap().unfinished(), 0);
}

#[tokio::test]
async fn an_empty_lane_still_knows_how_far_it_was_read() {
    let (house, a, b) = two().await;
    own(&house, &a).await;
    let read_past = appended(&*a, webhook(1), event_id(100, 1)).await;
    a.settle(vec![settle(read_past, Next::Delivered)]).await.unwrap();
    b.append(one(50, 1)).await.unwrap();
    let query = LaneQuery { after: Some((read_past.due, read_past.event)), ..part(webhook(1), LaneClass::Live) };
    assert_eq!(a.lane(query).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_deposed_owner_settles_nothing() {
    let (house, a, _b) = two().await;
    let (lost, kept) = (ShardId::of_webhook(1), ShardId::of_webhook(2));
    let own = |shard, owner: &'static str| {
        let mut set = redis::cmd("SET");
        set.arg(a.owner_key(shard)).arg(owner);
        set
    };
    let entries = [appended(&*a, webhook(1), event_id(0, 1)).await, appended(&*a, webhook(2), event_id(0, 2)).await];
    let both = || entries.iter().map(|entry| settle(*entry, Next::Delivered)).collect();
    for shard in [lost, kept] {
        house.0.ask::<()>(&own(shard, "a:1")).await;
        a.set_fence(shard, Some("a:1"));
    }
    house.0.ask::<()>(&own(lost, "b:2")).await;
    let answer = a.settle(both()).await;
    assert!(matches!(answer, Err(StoreError::Fenced { shards }) if shards == lost.bit()), "{answer:?}");
    let left =
        [a.count_lane(webhook(1)).await.unwrap().unfinished(), a.count_lane(webhook(2)).await.unwrap().unfinished()];
    assert_eq!(left, [1, 0]);
    a.set_fence(lost, Some("b:2"));
    a.settle(both()).await.unwrap();
    assert_eq!(a.count_lane(webhook(1)).await.unwrap().unfinished(), 0);
}

#[tokio::test]
async fn an_append_that_failed_half_way_is_completed_when_it_comes_again() {
    let (house, a, _b) = two().await;
    own(&house, &a).await;
    let id = event_id(0, 1);
    let with_client_id = |id| {
        let mut event = event(id);
        event.client_id = Some("order-7".into());
        vec![append(event, &[entry(webhook(1), id)])]
    };
    a.append(with_client_id(id)).await.unwrap();
    let lane = a.shared.keys.of(ShardId::of_webhook(1), &keys::named("l:", &keys::lane_name(1, LaneClass::Live)));
    let mut lose = redis::cmd("DEL");
    lose.arg(lane);
    house.0.ask::<()>(&lose).await;
    for n in 2..4 {
        assert_eq!(a.append(with_client_id(event_id(0, n))).await.unwrap(), [Appended::Duplicate(id)]);
        let waiting = a.lane(part(webhook(1), LaneClass::Live)).await.unwrap();
        assert_eq!(waiting.iter().map(|entry| entry.event).collect::<Vec<_>>(), [id]);
    }
    let entry = a.lane(part(webhook(1), LaneClass::Live)).await.unwrap()[0];
    a.settle(vec![settle(entry, Next::Delivered)]).await.unwrap();
    a.append(with_client_id(event_id(0, 9))).await.unwrap();
    assert_eq!(a.lane(part(webhook(1), LaneClass::Live)).await.unwrap(), [], "a delivered one does not come back");
}

#[tokio::test]
async fn ids_made_for_an_owner_keep_everything_in_one_shard() {
    let (house, a, _b) = two().await;
    let shard = ShardId::of_instance(&fixtures::instance());
    let id = EventIds::new(3).next_in(at(5), shard);
    let webhook = shard.webhook_id();
    a.append(vec![append(event(id), &[entry(webhook, id)])]).await.unwrap();
    let keys: Vec<Vec<u8>> = house.0.ask(redis::cmd("KEYS").arg("pombo:{??}:*")).await;
    let base = a.shared.keys.base(shard).as_bytes();
    assert!(!keys.is_empty() && keys.iter().all(|key| key.starts_with(base)), "{keys:?}");
    assert_eq!(a.events(vec![id]).await.unwrap()[0].as_deref(), Some(&event(id)));
}

#[tokio::test]
async fn nodes_are_told_of_appends_to_their_shards_and_of_the_directory() {
    let (house, a, b) = two().await;
    let shard = ShardId::of_webhook(1);
    let mut own = redis::cmd("SET");
    own.arg(a.owner_key(shard)).arg("a:1");
    house.0.ask::<()>(&own).await;
    a.set_fence(shard, Some("a:1"));
    let mut told = a.listen();
    assert_eq!(told.recv().await, Some(Notice::Connected));
    a.append(one(1, 1)).await.unwrap();
    b.append(one(2, 1)).await.unwrap();
    assert_eq!(told.recv().await, Some(Notice::Wake(vec![webhook(1)])), "of b's append, not of its own");
    b.change_directory(vec![DirectoryChange::DeleteWebhook(webhook(7))]).await.unwrap();
    let changed = vec![format!("w/{}", webhook(7))];
    assert_eq!(told.recv().await, Some(Notice::Directory { version: 1, changed }));
}

#[tokio::test]
async fn a_node_that_never_owned_a_shard_settles_nothing_there() {
    let (_house, a, _b) = two().await;
    let waiting = appended(&*a, webhook(1), event_id(0, 1)).await;
    let answer = a.settle(vec![settle(waiting, Next::Delivered)]).await;
    let shard = ShardId::of_webhook(1);
    assert!(matches!(answer, Err(StoreError::Fenced { shards }) if shards == shard.bit()), "{answer:?}");
}

#[tokio::test]
async fn an_owner_is_told_of_what_others_put_back_or_want_hastened() {
    let (house, a, b) = two().await;
    own(&house, &a).await;
    let (done, waits) =
        (appended(&*a, webhook(1), event_id(0, 1)).await, appended(&*a, webhook(1), event_id(0, 2)).await);
    a.settle(vec![settle(done, Next::Delivered)]).await.unwrap();
    let mut told = a.listen();
    assert_eq!(told.recv().await, Some(Notice::Connected));
    for (entry, notice) in [(done, Notice::PutBack(webhook(1))), (waits, Notice::Hasten(webhook(1), waits.event))] {
        b.requeue(webhook(1), entry.event, AttemptOrigin::Manual, at(9)).await.unwrap();
        assert_eq!(told.recv().await, Some(notice));
    }
    a.requeue(webhook(1), waits.event, AttemptOrigin::Manual, at(9)).await.unwrap();
    b.append(one(2, 1)).await.unwrap();
    assert_eq!(told.recv().await, Some(Notice::Wake(vec![webhook(1)])), "not of its own doing");
}

#[tokio::test]
async fn many_events_of_many_instances_keep_their_order() {
    let (house, a, _b) = two().await;
    own(&house, &a).await;
    let ids: Vec<_> = (0..2_000).map(|n| event_id(n / 10, u128::from(n))).collect();
    let batch = ids.iter().enumerate().map(|(n, id)| {
        let mut event = event(*id);
        event.instance = InstanceId::new(&format!("shop-{}", n / 700)).unwrap();
        append(event, &[entry(webhook(1), *id), entry(webhook(2), *id)])
    });
    assert!(a.append(batch.collect()).await.unwrap().iter().all(|answer| *answer == Appended::New));
    let query = LaneQuery { limit: 5_000, ..part(webhook(2), LaneClass::Live) };
    let waiting = a.lane(query).await.unwrap();
    assert_eq!(waiting.iter().map(|entry| entry.event).collect::<Vec<_>>(), ids);
    a.settle(waiting.iter().map(|entry| settle(*entry, Next::Delivered)).collect()).await.unwrap();
    assert_eq!((a.lane_counts(webhook(1)).unfinished(), a.lane_counts(webhook(2)).unfinished()), (2_000, 0));
}

#[tokio::test]
async fn an_entry_is_settled_by_its_place_whatever_else_its_owner_changed() {
    let (house, a, _b) = two().await;
    own(&house, &a).await;
    let keyed = LaneEntry { order_key: 7, ..entry(webhook(1), event_id(0, 1)) };
    a.append(vec![append(event(keyed.event), &[keyed])]).await.unwrap();
    a.settle(vec![settle(keyed, Next::Dead(crate::domain::DeadReason::Gone))]).await.unwrap();
    a.requeue(webhook(1), keyed.event, AttemptOrigin::Manual, at(9)).await.unwrap();
    let [back] = a.lane(part(webhook(1), LaneClass::Retry)).await.unwrap()[..] else { panic!("it is not back") };
    a.settle(vec![settle(LaneEntry { order_key: 0, ..back }, Next::Delivered)]).await.unwrap();
    assert_eq!(a.count_lane(webhook(1)).await.unwrap(), LaneCounts::default());
}

#[tokio::test]
async fn what_is_put_back_after_a_lane_was_cancelled_is_found_by_the_next_process() {
    let (house, a, _b) = two().await;
    let waiting = appended(&*a, webhook(1), event_id(0, 1)).await;
    assert!(!a.cancel_lane(webhook(1), 10).await.unwrap());
    a.requeue(webhook(1), waiting.event, AttemptOrigin::Replay, at(9)).await.unwrap();
    let next = house.enter().await;
    assert_eq!((next.recovery().unfinished, next.lane_counts(webhook(1)).unfinished()), (1, 1));
}

#[tokio::test]
async fn an_append_that_was_given_up_changes_nothing_once_that_is_announced() {
    let house = Tenancy::new();
    let store = house.enter().await;
    store
        .shared
        .doubts
        .doubt([ShardId::of_webhook(1), ShardId::of_instance(&event(event_id(0, 1)).instance)].into_iter());
    store.flush().await.unwrap();
    let waiting = appended(&*store, webhook(1), event_id(0, 2)).await;
    // As if it had been made before, and had waited somewhere in the network.
    let mut before = Shared::new(RedisConfig::new(house.0.url())).unwrap();
    before.nonce = store.shared.nonce;
    let refused = super::append::append(&before, one(0, 1)).await;
    assert!(matches!(&refused, Err(StoreError::Unavailable(text)) if text.contains("given up")), "{refused:?}");
    assert_eq!(store.lane(part(webhook(1), LaneClass::Live)).await.unwrap(), [waiting]);
    // Its body, which nothing refers to, is left to retention.
    assert!(store.timeline(webhook(1), event_id(0, 1)).await.unwrap().is_none());
    store.flush().await.unwrap();
    assert_eq!(store.shared.doubts.generation(), 1, "nothing is in doubt, so nothing is announced");
}

#[tokio::test]
async fn a_failed_append_is_in_doubt_until_redis_answers() {
    let mut server = Server::start(&["--appendonly", "yes"]);
    let store = RedisStore::open(RedisConfig::new(server.url())).await.unwrap();
    server.kill();
    assert!(store.append(one(0, 1)).await.is_err());
    assert!(matches!(store.flush().await, Err(StoreError::Unavailable(_))), "nothing newer may be appended yet");
    server.restart();
    until("it does not find back", async || store.flush().await.is_ok()).await;
    assert_eq!(store.append(one(0, 1)).await.unwrap(), [Appended::New]);
}
