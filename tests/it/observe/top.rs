//! The list of those who stand out names the right ones, for the right reason.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::deadline::until_true;
use crate::support::pombo::Setup;
use crate::support::scripted::{Call, Reply, Scripted};

const SOON: Duration = Duration::from_secs(30);

fn ids(list: &Value) -> Vec<&str> {
    list.as_array().expect("a list").iter().map(|one| one["webhookId"].as_str().expect("an id")).collect()
}

#[tokio::test]
async fn the_failing_the_slow_and_the_behind_come_first_and_those_in_order_do_not_appear() {
    let pombo = Setup::default().set("POMBO_RETRY_JITTER", "0").start().await;
    let mut api = pombo.api();
    let instance = api.tenant("shop").await;
    let receiver = Scripted::start(|call: &Call| match call.path.as_str() {
        "/failing" => Reply::status(404),
        "/slow" => Reply::status(200).after(Duration::from_millis(300)),
        _ => Reply::status(200),
    })
    .await;
    let throttled = json!({ "rateLimit": { "limit": 1, "periodMs": 600_000, "burst": 1 } });
    let fine = api.webhook(&instance, &receiver.url("/fine"), &json!({})).await;
    let failing = api.webhook(&instance, &receiver.url("/failing"), &json!({})).await;
    let slow = api.webhook(&instance, &receiver.url("/slow"), &json!({})).await;
    let behind = api.webhook(&instance, &receiver.url("/behind"), &throttled).await;
    for n in 0..5 {
        api.event(&instance, "messages.upsert", None, &json!({ "n": n })).await;
    }
    let mut last = Value::Null;
    until_true("all are where they belong", SOON, async || {
        last = api.get("/api/v2/admin/top?k=2").await;
        let first = |list: &str| ids(&last[list]).first().copied().unwrap_or_default().to_owned();
        let is_settled = first("byFailures") == failing.id
            && first("byLatency") == slow.id
            && first("byOldest") == behind.id
            && last["byFailures"][0]["attempts"] == 5;
        (is_settled, last.clone())
    })
    .await;
    assert_eq!(ids(&last["byFailures"]), [failing.id.as_str()], "nobody else fails");
    assert_eq!(last["byFailures"][0]["failureRatio"], 1.0);
    assert_eq!(ids(&last["byOldest"]), [behind.id.as_str()], "nobody else is late");
    assert_eq!(last["byOldest"][0]["heldBy"], "throttled");
    assert_eq!(last["byOldest"][0]["unfinished"], 4);
    assert!(last["byOldest"][0]["oldestDueSeconds"].as_f64().expect("a number") > 0.0);
    assert_eq!(last["byLatency"].as_array().expect("a list").len(), 2, "as many as were asked for");
    assert!(last["byLatency"][0]["latencyP50Ms"].as_f64().expect("a number") >= 250.0);
    let backlog = ids(&last["byBacklog"]);
    assert!(backlog.contains(&failing.id.as_str()) && backlog.contains(&behind.id.as_str()), "{last}");
    assert!(!last.to_string().contains(&fine.id) || last["byLatency"][1]["webhookId"] == fine.id.as_str());
    assert!(!last.to_string().contains("http://"), "URLs may hold secrets");

    let refused = api.send("GET", "/api/v2/admin/top?k=0", "", "").await.expect("an answer");
    assert_eq!(refused.status.as_u16(), 400);
}
