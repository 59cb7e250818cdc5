//! What is asked of a node that does not deliver for the webhook: it knows what was made on another node a moment ago, and retry, replay
//! and test work as on the owner.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::deadline::until_true;
use crate::support::pombo::Pombo;
use crate::support::redis::Redis;
use crate::support::scripted::{Reply, Scripted};

const SOON: Duration = Duration::from_secs(20);
/// One of two nodes owns about half of so many.
const WEBHOOKS: usize = 6;

async fn post(node: &Pombo, path: &str, body: &Value) -> (u16, Value) {
    let answer = node.api().send("POST", path, "application/json", body.to_string()).await.unwrap();
    (answer.status.as_u16(), serde_json::from_slice(&answer.body).unwrap_or_default())
}

#[tokio::test]
async fn what_was_made_on_one_node_is_known_on_the_other_at_once() {
    let (redis, receiver) = (Redis::start(&[]).await, Scripted::start(|_| Reply::status(200)).await);
    let (first, second) = (redis.node().await, redis.node().await);
    for number in 0..20 {
        let instance = first.api().tenant(&format!("shop-{number}")).await;
        let hook = second.api().webhook(&instance, &receiver.url(&format!("/{number}")), &json!({})).await;
        second.api().event(&instance, "messages.upsert", None, &json!({})).await;
        let path = format!("/api/v2/instance/{instance}/webhook/{}", hook.id);
        let answer = first.api().send("GET", &path, "application/json", "").await.unwrap();
        assert_eq!(answer.status.as_u16(), 200, "webhook {number}");
    }
    until_true("all are delivered", SOON, async || (receiver.len() == 20, receiver.len())).await;
}

#[tokio::test]
async fn retry_replay_and_test_work_on_every_node() {
    let redis = Redis::start(&[]).await;
    let receiver = Scripted::start(|_| Reply::status(422)).await;
    let nodes = [redis.node().await, redis.node().await];
    let mut hooks = Vec::new();
    for number in 0..WEBHOOKS {
        let instance = nodes[0].api().tenant(&format!("shop-{number}")).await;
        let once = json!({ "retry": { "giveUpStatus": [422] } });
        let hook = nodes[0].api().webhook(&instance, &receiver.url(&format!("/{number}")), &once).await;
        let id = nodes[0].api().event(&instance, "messages.upsert", None, &json!({})).await;
        hooks.push((hook, id));
    }
    for (hook, _) in &hooks {
        until_true("it is dead", SOON, async || {
            let dead = nodes[0].api().deliveries(hook, "dead").await.len();
            (dead == 1, dead)
        })
        .await;
    }
    receiver.play(|_| Reply::status(200));
    for node in &nodes {
        for (hook, id) in &hooks {
            let base = format!("/api/v2/instance/{}/webhook/{}", hook.instance, hook.id);
            let before = receiver.len();
            let (status, report) = post(node, &format!("{base}/test"), &json!({})).await;
            assert_eq!((status, receiver.len()), (200, before + 1), "{report}");
            let (status, told) = post(node, &format!("{base}/deliveries/{id}/retry"), &json!({})).await;
            assert_eq!(status, 202, "{told}");
            until_true("it is sent again", SOON, async || (receiver.len() == before + 2, receiver.len())).await;
            until_true("it is delivered", SOON, async || {
                let delivered = node.api().deliveries(hook, "delivered").await.len();
                (delivered == 1, delivered)
            })
            .await;
            let all = json!({ "from": "2020-01-01T00:00:00Z", "to": "2100-01-01T00:00:00Z", "status": "delivered" });
            let (status, told) = post(node, &format!("{base}/replay"), &all).await;
            assert_eq!((status, &told["replayed"]), (200, &json!(1)), "{told}");
            until_true("it is replayed", SOON, async || (receiver.len() == before + 3, receiver.len())).await;
            until_true("and settled", SOON, async || {
                let left = node.api().unfinished(hook).await;
                (left == 0, left)
            })
            .await;
        }
    }
}
