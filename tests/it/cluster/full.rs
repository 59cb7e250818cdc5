//! Redis is at its `maxmemory`: nothing new is taken, what was taken goes out, and with room again all goes on.

use std::time::Duration;

use serde_json::json;

use super::scene::Scene;
use crate::support::redis::Redis;

const FULL_FOR: Duration = Duration::from_secs(5);
/// Of the webhook that drains meanwhile, a second.
const PACE: usize = 20;
const BACKLOG: usize = 300;
const REPEATS: usize = 32;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_redis_takes_nothing_new_and_what_it_has_goes_out() {
    let redis = Redis::start(&["--maxmemory-policy", "noeviction"]).await;
    let scene = Scene::on(&redis).await;
    let mut api = scene.nodes[0].api();
    let instance = api.tenant("backlog").await;
    let slow = json!({ "rateLimit": { "limit": PACE } });
    let hook = api.webhook(&instance, &scene.inbox.url("/backlog"), &slow).await;
    let line = json!({ "event": "messages.upsert", "data": { "content": { "text": "oi" } } }).to_string();
    let accepted = api.events(&instance, vec![line; BACKLOG].join("\n")).await.ids;
    let arrived = || scene.inbox.receipts().iter().filter(|receipt| *receipt.path == *hook.path).count();

    let (mut before, mut after) = (0, 0);
    let fills = scene.fault("maxmemory", async {
        redis.ask::<()>("CONFIG SET maxmemory 1mb").await;
        before = arrived();
        tokio::time::sleep(FULL_FOR).await;
        after = arrived();
        redis.ask::<()>("CONFIG SET maxmemory 0").await;
    });
    let fault = fills.await;
    let drained = after - before;
    assert!(before + drained < BACKLOG, "there was nothing left to drain");
    assert!(drained >= PACE * 2, "{drained} in {FULL_FOR:?}");
    let answers = scene.record.lock().clone();
    let refused = answers.iter().filter(|answer| answer.status == 503 && answer.asked_at >= fault.begun).count();
    assert!(refused > 10, "{refused} refused");
    scene.resumes_after(&fault).await;
    crate::support::deadline::until_true("the backlog is gone", Duration::from_secs(30), async || {
        (arrived() >= accepted.len(), arrived())
    })
    .await;
    scene.ends_well(&[fault], REPEATS, |_| false).await;
}
