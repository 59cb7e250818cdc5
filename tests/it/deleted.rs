//! A webhook deleted with a big backlog: its deliveries are cancelled, nobody else notices, nothing stays behind.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::api::Api;
use crate::support::deadline::until_true;
use crate::support::nasty::dead_url;
use crate::support::pombo::Pombo;
use crate::support::receiver::Inbox;

const BACKLOG: usize = 100_000;
const BATCH: usize = 5_000;
/// The gauge of unfinished deliveries, by their state.
const DEPTH: &str = "pombo_depth{";

/// Milliseconds from the request to the receiver's note, the 50th and the 95th of 100.
async fn latency(api: &mut Api, instance: &str, inbox: &Inbox, rounds: usize) -> (f64, f64) {
    let mut times = Vec::with_capacity(rounds);
    for _ in 0..rounds {
        let (begun, before) = (Instant::now(), inbox.len());
        api.event(instance, "messages.upsert", None, &json!({ "messageId": "probe" })).await;
        while inbox.len() == before {
            assert!(begun.elapsed() < Duration::from_secs(20), "a healthy webhook stands still");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        times.push(begun.elapsed().as_secs_f64() * 1_000.0);
    }
    times.sort_by(f64::total_cmp);
    (times[rounds / 2], times[rounds * 95 / 100])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deleting_a_webhook_with_a_hundred_thousand_pending_is_clean() {
    let mut pombo = Pombo::new().await;
    let inbox = Inbox::open().await;
    let mut api = pombo.api();
    let business = api.business("deleted").await;
    let doomed_instance = api.instance(&business, "doomed").await;
    let healthy_instance = api.instance(&business, "healthy").await;
    let doomed = api.webhook(&doomed_instance, &dead_url("/dead"), &json!({})).await;
    // A sibling that is owed only some kinds: it must get each of them.
    let sibling = api.webhook(&doomed_instance, &inbox.url("/sibling"), &json!({ "ordering": "chat" })).await;
    let flags = json!({ "messagesUpsert": false });
    api.call("PATCH", &Api::path_of(&sibling, "/events"), &flags).await;
    api.webhook(&healthy_instance, &inbox.url("/healthy"), &json!({})).await;

    let before = latency(&mut api, &healthy_instance, &inbox, 100).await;
    let line = format!("{}\n", json!({ "event": "messages.upsert", "data": { "messageId": "m", "text": "hello" } }));
    let batch = line.repeat(BATCH);
    let mut ids = Vec::new();
    for _ in 0..BACKLOG / BATCH {
        ids.extend(api.events(&doomed_instance, batch.clone()).await.ids);
    }
    assert_eq!(api.unfinished(&doomed).await, BACKLOG as u64);
    let sample = ids[BACKLOG / 2].clone();
    assert_eq!(api.timeline(&doomed, &sample).await["status"], "pending");

    let begun = Instant::now();
    api.call("DELETE", &Api::path_of(&doomed, ""), &Value::Null).await;
    let answered = begun.elapsed();
    assert!(answered < Duration::from_secs(2), "the deletion was answered after {answered:?}");
    let during = latency(&mut api, &healthy_instance, &inbox, 100).await;
    // Deliveries of a deleted webhook are no longer reached through it; its siblings go on as if nothing had been.
    let gone = api.send("GET", &Api::path_of(&doomed, "/stats"), "application/json", "").await.unwrap();
    assert_eq!(gone.status.as_u16(), 404);
    let owed = api.event(&doomed_instance, "contacts.update", None, &json!([])).await;
    until_true("the sibling is served", Duration::from_secs(20), async || {
        (inbox.ledger.arrivals("/sibling", &owed).taken == 1, inbox.len())
    })
    .await;

    // A process that ends while it cancels goes on after its start.
    pombo.crash_and_restart().await;
    let mut api = pombo.api();
    until_true("the store holds nothing unfinished", Duration::from_mins(1), async || {
        let answer = api.send("GET", "/metrics", "application/json", "").await.unwrap();
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        let depth: Vec<String> = text.lines().filter(|line| line.starts_with(DEPTH)).map(str::to_owned).collect();
        (depth.len() >= 4 && depth.iter().all(|line| line.ends_with(" 0")), depth)
    })
    .await;
    let cancelled_in = begun.elapsed();
    println!(
        "deletion answered in {answered:?}, {BACKLOG} cancelled within {cancelled_in:?} (a crash and a restart between); healthy latency \
         in ms (p50, p95): {before:?} before, {during:?} while cancelling"
    );
    assert!(
        during.0 < before.0 * 4.0 + 20.0 && during.1 < before.1 * 4.0 + 100.0,
        "healthy latency {during:?} while cancelling, {before:?} before"
    );
    assert!(pombo.terminate().await.success());
    all_are_cancelled(&pombo, &doomed.id, &ids).await;
}

/// Reads the folder as the process would.
async fn all_are_cancelled(pombo: &Pombo, webhook: &str, ids: &[String]) {
    use pombo::domain::{DeliveryStatus, EventId, WebhookId};
    use pombo::store::Store as _;
    use pombo::store::embedded::{EmbeddedConfig, EmbeddedStore};
    let store = EmbeddedStore::open(EmbeddedConfig::new(pombo.data_dir())).unwrap();
    assert_eq!(store.unfinished(), 0);
    let webhook: WebhookId = webhook.parse().unwrap();
    for id in ids.iter().step_by(997) {
        let event: EventId = id.parse().unwrap();
        let timeline = store.timeline(webhook, event).await.unwrap().expect("history is kept");
        assert_eq!(timeline.delivery.expect("it was owed").status, DeliveryStatus::Cancelled, "{id}");
    }
    store.close().await.unwrap();
}
