//! A rate limit holds over all nodes, also while the work of a killed node is taken over and, when it is back, handed over (P6).

use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::deadline::until_true;
use crate::support::pombo::Pombo;
use crate::support::redis::Redis;
use crate::support::scripted::{Reply, Scripted};
use crate::support::window::{Lateness, most_in};

const LIMIT: usize = 40;
const PERIOD: Duration = Duration::from_secs(2);
/// Between the start of a request and its arrival on a busy machine. A limit that began anew would be off by far more.
const ON_THE_WAY: Duration = Duration::from_millis(250);
/// Enough for the whole story: more than twenty seconds of the limit.
const EVENTS: usize = 480;
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
        let limited = json!({ "rateLimit": { "limit": LIMIT, "burst": LIMIT, "periodMs": PERIOD.as_millis() as u64 }, "concurrency": 64 });
        hooks.push(api.webhook(&instance, &receiver.url(&format!("/{number}")), &limited).await);
        api.events(&instance, vec![&*line; EVENTS].join("\n")).await;
    }
    let arrivals = |path: &str| receiver.calls_to(path).iter().map(|call| call.at).collect::<Vec<_>>();
    let all_get_more = async |what: &str| {
        let since = Instant::now();
        until_true(what, SOON, async || {
            let more = |path: &str| arrivals(path).iter().filter(|at| **at > since).count() > LIMIT;
            let waiting: Vec<_> = hooks.iter().map(|hook| &*hook.path).filter(|path| !more(path)).collect();
            (waiting.is_empty(), waiting)
        })
        .await;
    };
    all_get_more("both nodes deliver").await;
    let killed = Instant::now();
    first.kill9().await;
    all_get_more("the other node has taken over").await;
    first.start().await;
    has_a_share(&first).await;
    until_true("all have come", SOON, async || {
        let left: usize = hooks.iter().map(|hook| EVENTS.saturating_sub(arrivals(&hook.path).len())).sum();
        (left == 0, left)
    })
    .await;
    let window = PERIOD.saturating_sub(ON_THE_WAY + lateness.worst());
    assert!(window > PERIOD / 2, "this machine pauses too long: nothing can be measured");
    for hook in &hooks {
        let arrivals = arrivals(&hook.path);
        let most = most_in(window, &arrivals);
        println!("{}: {} arrivals, at most {most} in {window:?}", hook.path, arrivals.len());
        let after = |at: &Instant| (at.saturating_duration_since(killed), killed.saturating_duration_since(*at));
        let crowd = arrivals.windows(LIMIT + 1).find(|few| few[LIMIT] - few[0] < window);
        let crowd = crowd.map(|few| few.iter().map(after).collect::<Vec<_>>());
        assert!(most <= LIMIT, "{}: {most}; after, or before, the kill: {crowd:?}", hook.path);
    }
}
