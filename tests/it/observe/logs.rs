//! What the log holds at the default level: each cause once and then its count, and nothing that is secret or somebody's message.

use std::time::Duration;

use serde_json::json;

use crate::support::deadline::until_true;
use crate::support::metrics::Scrape;
use crate::support::pombo::{Setup, TOKEN};
use crate::support::scripted::{Call, Reply, Scripted};

const SOON: Duration = Duration::from_mins(2);

fn lines_with(text: &str, words: &str) -> usize {
    text.lines().filter(|line| line.contains(words)).count()
}

#[tokio::test]
async fn ten_thousand_failures_of_one_cause_are_a_few_lines_with_their_count() {
    let mut pombo = Setup::default().start().await;
    let mut api = pombo.api();
    let instance = api.tenant("shop").await;
    let receiver = Scripted::start(|_: &Call| Reply::status(404)).await;
    let give_up = json!({ "retry": { "giveUpStatus": [404] } });
    let hook = api.webhook(&instance, &receiver.url("/hook"), &give_up).await;
    let failures = 10_000;
    let line = |n: u64| json!({ "event": "messages.upsert", "data": { "n": n } }).to_string();
    for part in 0..10 {
        let batch: Vec<_> = (0..failures / 10).map(|n| line(part * failures / 10 + n)).collect();
        api.events(&instance, batch.join("\n")).await;
    }
    until_true("all have failed", SOON, async || {
        let dead = api.stats(&hook).await["dead"].clone();
        (dead == failures, dead)
    })
    .await;
    let scrape = Scrape::of(&mut api).await;
    assert_eq!(scrape.count("pombo_attempts_total", &[("outcome", "status")]), failures);
    let suppressed = scrape.count("pombo_log_suppressed_total", &[]);
    assert!(pombo.terminate().await.success());
    let log = pombo.stderr();
    let written = lines_with(&log, "an attempt failed");
    // The first, and a count for each minute that it took and at the end, each telling of the cause.
    assert!((2..=6).contains(&written), "{written} lines");
    assert_eq!(suppressed, failures - 1);
    assert!(lines_with(&log, "more of the same were not written") >= 1);
    assert!(log.lines().count() < 60, "{log}");
}

#[tokio::test]
async fn no_secret_and_no_message_is_in_the_log_whatever_goes_wrong() {
    for format in ["text", "json"] {
        let mut pombo = Setup::default()
            .set("POMBO_LOG_FORMAT", format)
            .set("POMBO_RETRY_JITTER", "0")
            .set("POMBO_TRACE_OTLP_URL", &crate::support::nasty::dead_url("/v1/traces?token=planted-collector-token"))
            .set("POMBO_TRACE_SAMPLE", "1")
            .start()
            .await;
        let mut api = pombo.api();
        let business = api.business("planted-business-name").await;
        let token = api.get("/api/v2/admin/business").await[0]["businessToken"].as_str().expect("a token").to_owned();
        let instance = api.instance(&business, "shop").await;
        let receiver = Scripted::start(|call: &Call| match call.path.as_str() {
            "/redirect" => {
                Reply::status(302).header("location", "https://elsewhere.example/planted-path?t=planted-location")
            }
            "/ok" => Reply::status(200),
            _ => Reply::status(500).body("planted-answer"),
        })
        .await;
        let more = json!({
            "headers": { "x-planted": "planted-header-value" }, "retry": { "scheduleSeconds": [1] }, "timeoutMs": 1_000
        });
        let mut secrets = vec![TOKEN.to_owned(), token];
        let mut hooks = Vec::new();
        let dead = crate::support::nasty::dead_url("/planted-path?key=planted-query");
        for url in [
            receiver.url("/failing?key=planted-query"),
            receiver.url("/redirect?key=planted-query"),
            receiver.url("/ok?key=planted-query"),
            dead,
        ] {
            let hook = api.webhook(&instance, &url, &more).await;
            secrets.push(hook.secret.reveal());
            hooks.push(hook);
        }
        let data = json!({ "keyRemoteJid": "5511987654321@s.whatsapp.net", "content": { "text": "planted-message" } });
        api.event(&instance, "messages.upsert", None, &data).await;
        api.try_events(&instance, "{\"event\":\"planted-event\",\"data\":{}}").await.unwrap_err();
        for hook in &hooks {
            until_true("all have ended", SOON, async || {
                let unfinished = api.unfinished(hook).await;
                (unfinished == 0, unfinished)
            })
            .await;
        }
        assert!(pombo.terminate().await.success());
        let told = format!("{}{}", pombo.stderr(), pombo.stdout());
        assert!(lines_with(&told, "an attempt failed") >= 3, "the causes are told: {told}");
        secrets.extend(["planted-", "5511987654321", "whsec_"].map(str::to_owned));
        for secret in secrets {
            assert!(!told.contains(&secret), "{format}: {secret} is in the log:\n{told}");
        }
    }
}
