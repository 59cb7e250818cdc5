//! Two nodes on one Redis (P9): each event is delivered by one of them, and when a node is killed the other goes on with its work.

mod blackhole;
mod clocks;
mod elsewhere;
mod failover;
mod frozen;
mod full;
mod hiccups;
mod limit;
mod producer;
mod restarts;
mod scene;

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::json;

use crate::support::api::Hook;
use crate::support::deadline::until_true;
use crate::support::ledger;
use crate::support::receiver::Inbox;
use crate::support::redis::Redis;

const INSTANCES: usize = 8;
const ROUNDS: usize = 40;
/// A lease of 5 s is taken over within twice that; the rest is for a busy machine.
const TAKE_OVER: Duration = Duration::from_secs(40);

#[tokio::test]
async fn a_killed_nodes_work_is_taken_over_without_a_loss_and_in_order() {
    let (redis, inbox) = (Redis::start(&[]).await, Inbox::open().await);
    let (mut first, mut second) = (redis.node().await, redis.node().await);
    let mut hooks: Vec<(String, Hook)> = Vec::new();
    for number in 0..INSTANCES {
        let instance = first.api().tenant(&format!("shop-{number}")).await;
        let hook =
            first.api().webhook(&instance, &inbox.url(&format!("/{number}")), &json!({ "ordering": "chat" })).await;
        hooks.push((instance, hook));
    }
    let mut owed = BTreeSet::new();
    let mut expected: Vec<Vec<String>> = vec![Vec::new(); INSTANCES];
    for round in 0..ROUNDS {
        if round == ROUNDS / 2 {
            first.kill9().await;
        }
        for (number, (instance, hook)) in hooks.iter().enumerate() {
            let data = json!({ "messageId": format!("{round}"), "keyRemoteJid": "5511999999999@s.whatsapp.net" });
            let mut api = if round < ROUNDS / 2 && number % 2 == 0 { first.api() } else { second.api() };
            let id = api.event(instance, "messages.upsert", None, &data).await;
            owed.insert((hook.path.clone(), id.clone()));
            expected[number].push(id);
        }
    }
    until_true("everything arrives", TAKE_OVER, async || {
        let difference = ledger::compare(&owed, &inbox.receipts());
        (difference.lost.is_empty(), difference.summary())
    })
    .await;
    let receipts = inbox.receipts();
    let difference = ledger::compare(&owed, &receipts);
    // What was in flight at the kill, of at most one request a chat.
    assert!(difference.repeated.len() <= INSTANCES, "{}", difference.summary());
    for (number, (_, hook)) in hooks.iter().enumerate() {
        let swapped = ledger::out_of_order(&expected[number], &receipts, &hook.path);
        assert!(swapped.is_empty(), "{}: {swapped:?}", hook.path);
    }
    assert!(second.terminate().await.success());
}
