use super::super::super::testing::{ADMIN, World};
use crate::domain::{LaneClass, LaneEntry, ShardId, Timestamp};
use crate::store::Store as _;
use crate::store::contract::fixtures::{append, entry, event, event_id};

#[actix_web::test]
async fn a_process_without_others_is_one_node_with_all_shards() {
    let world = World::new().await;
    let answer = world.get("/admin/cluster", ADMIN).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let node = answer.text("/nodeId");
    assert_eq!((answer.text("/durability"), answer.text("/nodes/0/nodeId")), ("memory".to_owned(), node.clone()));
    assert_eq!((&answer.body["unfinished"], &answer.body["nodes"][0]["shards"]), (&0.into(), &64.into()));
    let shards = answer.body["shards"].as_array().expect("shards");
    assert_eq!(shards.len(), 64);
    assert!(shards.iter().enumerate().all(|(number, shard)| shard["shard"] == number && shard["owner"] == *node));
}

#[actix_web::test]
async fn what_waits_is_told_by_shard_with_what_is_due_longest() {
    let world = World::new().await;
    let (shard, other) = (ShardId::from_index(7).expect("a shard"), ShardId::from_index(8).expect("a shard"));
    let now = Timestamp::now().millis();
    let waits = |webhook: crate::domain::WebhookId, class, due: u64, number| {
        let id = event_id(1, number);
        let due = Timestamp::from_millis(due);
        append(event(id), &[LaneEntry { class, due, ..entry(webhook, id) }])
    };
    let (one, two, later) = (shard.webhook_id(), shard.webhook_id(), other.webhook_id());
    let batch = vec![
        waits(one, LaneClass::Retry, now - 5_000, 1),
        waits(one, LaneClass::Live, now - 9_000, 2),
        waits(two, LaneClass::Live, now - 7_000, 3),
        waits(two, LaneClass::Parked, 1, 4),
        waits(later, LaneClass::Retry, now + 3_600_000, 5),
    ];
    world.store.append(batch).await.expect("an open store");
    let answer = world.get("/admin/cluster", ADMIN).await;
    let of = |shard: usize| &answer.body["shards"][shard];
    assert_eq!((&answer.body["unfinished"], &answer.body["nodes"][0]["unfinished"]), (&5.into(), &5.into()));
    assert_eq!((&of(7)["unfinished"], &of(8)["unfinished"], &of(9)["unfinished"]), (&4.into(), &1.into(), &0.into()));
    assert_eq!(of(7)["oldestDueAt"], Timestamp::from_millis(now - 9_000).to_rfc3339());
    assert!(of(8)["oldestDueAt"].is_null(), "it is not due yet");
}

#[actix_web::test]
async fn only_the_admin_sees_the_nodes_and_a_store_that_is_gone_is_503() {
    let world = World::new().await;
    let (_, token) = world.business().await;
    assert_eq!(world.get("/admin/cluster", &token).await.status, 403);
    world.store.close().await.expect("an open store");
    assert_eq!(world.get("/admin/cluster", ADMIN).await.status, 503);
}
