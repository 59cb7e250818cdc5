//! After a run with every kind of failure the counters are what the sender, the store and the receivers have on their lists.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::support::api::{Api, Hook};
use crate::support::deadline::until_true;
use crate::support::metrics::Scrape;
use crate::support::nasty::{Manner, Nasty, dead_url};
use crate::support::pombo::Setup;
use crate::support::scripted::{Call, Reply, Scripted};

const SOON: std::time::Duration = std::time::Duration::from_mins(1);

/// Fails the first attempt of every third event with 500, gives up on every seventh, takes the rest.
fn moody(call: &Call) -> Reply {
    let Some(n) = call.json()["data"]["n"].as_u64() else { return Reply::status(200) };
    match n {
        n if n % 7 == 3 => Reply::status(422).body("not to my taste"),
        n if n % 3 == 0 && call.attempt == 1 => Reply::status(500),
        n if n % 11 == 5 && call.attempt == 1 => Reply::status(429).header("retry-after", "1"),
        n if n % 13 == 1 && call.attempt <= 2 => Reply::status(302).header("location", "https://elsewhere.example/"),
        _ => Reply::status(200),
    }
}

/// Attempts that the stored timelines of a webhook tell of, by outcome and origin, and its deliveries by status or reason.
async fn recorded(api: &mut Api, hook: &Hook) -> (BTreeMap<(String, String), u64>, BTreeMap<String, u64>) {
    let (mut attempts, mut ends) = (BTreeMap::new(), BTreeMap::new());
    for delivery in api.deliveries(hook, "").await {
        let status = delivery["status"].as_str().expect("a status");
        let end = delivery["deadReason"].as_str().unwrap_or(status).to_owned();
        *ends.entry(end).or_default() += 1;
        let timeline = api.timeline(hook, delivery["deliveryId"].as_str().expect("an id")).await;
        for step in timeline["timeline"].as_array().expect("steps").iter().filter(|step| step["step"] == "attempted") {
            let attempt = &step["attempt"];
            let outcome = attempt["failure"]["code"].as_str().unwrap_or("success").to_owned();
            let origin = attempt["origin"].as_str().expect("an origin").to_owned();
            *attempts.entry((outcome, origin)).or_default() += 1;
        }
    }
    (attempts, ends)
}

fn add<K: Ord>(sum: &mut BTreeMap<K, u64>, more: BTreeMap<K, u64>) {
    for (key, count) in more {
        *sum.entry(key).or_default() += count;
    }
}

#[tokio::test]
async fn after_a_run_with_failures_the_counters_equal_the_ledgers_on_both_sides() {
    let setup = Setup::default().set("POMBO_RETRY_JITTER", "0").set("POMBO_BREAKER_FAILURES", "100000");
    let pombo = setup.start().await;
    let mut api = pombo.api();
    let instance = api.tenant("shop").await;
    let receiver = Scripted::start(moody).await;
    let resetting = Nasty::start(Manner::Resetting).await;
    let hanging = Nasty::start(Manner::Hanging).await;
    let short = json!({ "retry": { "scheduleSeconds": [1, 1], "giveUpStatus": [422] }, "timeoutMs": 1_000 });
    let mut hooks = Vec::new();
    hooks.push(api.webhook(&instance, &receiver.url("/hook"), &short).await);
    // Those that fail always get a few only: fewer than what opens a breaker, which would take its time.
    let patient = api.tenant("patient").await;
    for url in [resetting.url("/reset"), hanging.url("/hang"), dead_url("/dead")] {
        hooks.push(api.webhook(&patient, &url, &short).await);
    }
    let waits = 4;
    for n in 0..waits {
        api.event(&patient, "messages.upsert", None, &json!({ "n": n })).await;
    }

    let events = 60;
    let line = |n: u64| json!({ "event": "messages.upsert", "id": format!("e{n}"), "data": { "n": n } }).to_string();
    let batch = (0..events).map(line).collect::<Vec<_>>().join("\n");
    assert_eq!(api.events(&instance, batch.clone()).await.accepted, events);
    assert_eq!(api.events(&instance, batch).await.duplicates, events);
    api.try_events(&instance, "{\"event\":\"no.such.event\",\"data\":{}}").await.unwrap_err();
    let test = api.call("POST", &Api::path_of(&hooks[0], "/test"), &Value::Null).await;
    assert_eq!(test["attempt"]["success"], true, "{test}");
    for hook in &hooks {
        until_true("nothing is left", SOON, async || {
            let unfinished = api.unfinished(hook).await;
            (unfinished == 0, unfinished)
        })
        .await;
    }
    // One dead letter more comes back by hand, and is taken.
    let dead = api.deliveries(&hooks[0], "dead").await;
    let again = dead[0]["deliveryId"].as_str().expect("an id").to_owned();
    receiver.play(|_| Reply::status(200));
    api.call("POST", &Api::path_of(&hooks[0], &format!("/deliveries/{again}/retry")), &Value::Null).await;
    until_true("it is delivered", SOON, async || {
        let timeline = api.timeline(&hooks[0], &again).await;
        (timeline["status"] == "delivered", timeline)
    })
    .await;

    let (mut attempts, mut ends) = (BTreeMap::new(), BTreeMap::new());
    for hook in &hooks {
        let (more_attempts, more_ends) = recorded(&mut api, hook).await;
        add(&mut attempts, more_attempts);
        add(&mut ends, more_ends);
    }
    let scrape = Scrape::of(&mut api).await;

    // The sender's list.
    assert_eq!(scrape.count("pombo_events_total", &[("result", "accepted")]), events + waits);
    assert_eq!(scrape.count("pombo_events_total", &[("result", "duplicate")]), events);
    assert_eq!(scrape.count("pombo_ingest_refused_total", &[("reason", "invalid")]), 1);
    assert_eq!(scrape.count("pombo_ingest_seconds_count", &[]), 2 + waits);

    // The store's list, attempt by attempt; the test event is in no list of the store.
    for ((outcome, origin), count) in &attempts {
        let counted = scrape.count("pombo_attempts_total", &[("outcome", outcome), ("origin", origin)]);
        assert_eq!(counted, *count, "{outcome} {origin}: {attempts:?}");
    }
    let all: u64 = attempts.values().sum();
    assert_eq!(scrape.count("pombo_attempts_total", &[]), all + 1);
    assert_eq!(scrape.count("pombo_attempts_total", &[("origin", "test")]), 1);
    assert_eq!(scrape.count("pombo_lag_seconds_count", &[]), all);
    for outcome in ["status", "redirect", "connection_lost", "timeout", "connect_failed", "success"] {
        assert!(scrape.count("pombo_attempts_total", &[("outcome", outcome)]) > 0, "{outcome}");
    }
    // The one that came back was a dead letter before it was delivered.
    *ends.get_mut("gave_up").expect("some were given up") += 1;
    for (end, count) in &ends {
        assert_eq!(scrape.count("pombo_deliveries_total", &[("result", end)]), *count, "{end}: {ends:?}");
    }
    assert_eq!(scrape.count("pombo_deliveries_total", &[]), ends.values().sum::<u64>());
    let delivered = ends["delivered"];
    assert_eq!(scrape.count("pombo_delivery_seconds_count", &[]), delivered - 1, "by hand is not counted");

    // The receivers' lists.
    let calls = receiver.calls();
    let answered = |statuses: std::ops::Range<u16>| calls.iter().filter(|call| statuses.contains(&call.status)).count();
    let class = |class: &str| scrape.count("pombo_answers_total", &[("class", class)]) as usize;
    assert_eq!(class("2xx"), answered(200..300));
    assert_eq!(class("3xx"), answered(300..400));
    assert_eq!(class("429"), answered(429..430));
    assert_eq!(class("4xx"), answered(400..500) - answered(429..430));
    assert_eq!(class("5xx"), answered(500..600));
    assert_eq!(answered(200..300) as u64, delivered + 1, "and the test event");
    let lost = scrape.count("pombo_attempts_total", &[("outcome", "connection_lost")]);
    assert_eq!(lost, resetting.requests() as u64);
    let timeouts = scrape.count("pombo_attempts_total", &[("outcome", "timeout")]);
    assert_eq!(timeouts, hanging.requests() as u64);
    let connections = |how: &str| scrape.count("pombo_connections_total", &[("how", how)]);
    assert_eq!(connections("opened") + connections("reused") + connections("failed"), all + 1);
    assert_eq!(connections("failed"), 3 * waits, "nobody listens at one of them");
}

#[tokio::test]
async fn every_metric_has_a_help_text_and_no_label_names_a_customer() {
    let pombo = Setup::default().start().await;
    let mut api = pombo.api();
    let instance = api.tenant("very-particular-shop").await;
    let receiver = Scripted::start(|_| Reply::status(200)).await;
    let hook = api.webhook(&instance, &receiver.url("/very-particular-path"), &json!({})).await;
    api.event(&instance, "messages.upsert", None, &json!({ "keyRemoteJid": "5511999999999@s.whatsapp.net" })).await;
    until_true("it is delivered and the gauges were set since", SOON, async || {
        let scrape = Scrape::of(&mut api).await;
        let is_there = scrape.find("pombo_delivery_seconds_count", &[]) == Some(1.0)
            && scrape.find("pombo_actors", &[("kind", "webhook")]) == Some(1.0);
        (is_there, ())
    })
    .await;
    let scrape = Scrape::of(&mut api).await;
    for name in scrape.typed.keys() {
        assert!(scrape.helped.contains(name), "{name} has no help");
    }
    for series in scrape.names() {
        for particular in ["very-particular", &hook.id, "5511999999999", "127.0.0.1"] {
            assert!(!series.contains(particular), "{series}");
        }
    }
    // What an operator looks at first is there from the start, with 0.
    for (name, labels) in [
        ("pombo_deliveries_total", ("result", "exhausted")),
        ("pombo_breaker_transitions_total", ("to", "open")),
        ("pombo_depth", ("state", "circuit_open")),
        ("pombo_depth", ("state", "dead")),
        ("pombo_oldest_due_seconds", ("state", "throttled")),
        ("pombo_lease_losses_total", ("reason", "lost")),
        ("pombo_runtime_busy_ratio", ("runtime", "engine")),
        ("pombo_runtime_busy_ratio", ("runtime", "http")),
        ("pombo_webhooks_disabled_total", ("reason", "gone")),
        ("pombo_store_errors_total", ("operation", "settle")),
    ] {
        assert!(scrape.find(name, &[labels]).is_some(), "{name} {labels:?}");
    }
    assert_eq!(scrape.count("pombo_shards_owned", &[]), 64);
    assert!(scrape.count("pombo_store_written_bytes_total", &[]) > 0);
    assert!(scrape.count("pombo_store_commit_seconds_count", &[("sync", "yes")]) > 0);
}
