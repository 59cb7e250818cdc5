//! A rate limit holds over all nodes, also while the work of a killed node is taken over and, when it is back, handed over (P6).

use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::deadline::until_true;
use crate::support::pombo::Pombo;
use crate::support::redis::Redis;
use crate::support::scripted::{Reply, Scripted};
use crate::support::window::{Lateness, most_in};

const LIMIT: usize = 20;
/// Enough for the whole story: about twenty seconds of the limit.
const EVENTS: usize = 400;
const WEBHOOKS: usize = 8;
const SOON: Duration = Duration::from_secs(45);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_window_holds_more_than_the_limit_while_webhooks_change_hands() {
    let (redis, receiver) = (Redis::start(&[]).await, Scripted::start(|_| Reply::status(200)).await);
    let (mut first, second) = (redis.node().await, redis.node().await);
    let has_a_share = async |node: &Pombo| {
        until_true("the node has shards", SOON, async || {
            let log = node.stderr();
            (log.lines().any(|line| line.contains("shards have moved") && !line.contains("gained=0")), log)
        })
        .await;
    };
    has_a_share(&second).await;
    let lateness = Lateness::watch();
    let mut api = second.api();
    let line = json!({ "event": "messages.upsert", "data": { "content": { "text": "oi" } } }).to_string();
    let mut hooks = Vec::new();
    for number in 0..WEBHOOKS {
        let instance = api.tenant(&format!("shop-{number}")).await;
        let limited = json!({ "rateLimit": { "limit": LIMIT, "burst": LIMIT }, "concurrency": 64 });
        hooks.push(api.webhook(&instance, &receiver.url(&format!("/{number}")), &limited).await);
        api.events(&instance, vec![&*line; EVENTS].join("\n")).await;
    }
    let arrivals = |path: &str| receiver.calls_to(path).iter().map(|call| call.at).collect::<Vec<_>>();
    let all_get_more = async |what: &str| {
        let since = Instant::now();
        until_true(what, SOON, async || {
            let more = |path: &str| arrivals(path).iter().filter(|at| **at > since).count() > 2 * LIMIT;
            let waiting: Vec<_> = hooks.iter().map(|hook| &*hook.path).filter(|path| !more(path)).collect();
            (waiting.is_empty(), waiting)
        })
        .await;
    };
    all_get_more("both nodes deliver").await;
    first.kill9().await;
    all_get_more("the other node has taken over").await;
    first.start().await;
    has_a_share(&first).await;
    until_true("all have come", SOON, async || {
        let left: usize = hooks.iter().map(|hook| EVENTS.saturating_sub(arrivals(&hook.path).len())).sum();
        (left == 0, left)
    })
    .await;
    for hook in &hooks {
        let (arrivals, second) = (arrivals(&hook.path), lateness.second());
        let most = most_in(second, &arrivals);
        println!("{}: {} arrivals, at most {most} in {second:?}", hook.path, arrivals.len());
        assert!(most <= LIMIT, "{}: {most} in {second:?}", hook.path);
    }
}
