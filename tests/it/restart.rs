//! A restart goes on where the stop was: nothing lost, nothing sent again, nothing forgotten.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::process::Command;
use std::time::Duration;

use pombo::commands::listen::Script;
use serde_json::{Value, json};

use crate::support::api::{Api, Hook, short_retries};
use crate::support::command::succeed;
use crate::support::deadline::until_true;
use crate::support::ledger::{self, Pair};
use crate::support::pombo::{Pombo, Setup};
use crate::support::receiver::Inbox;

const PATIENCE: Duration = Duration::from_secs(30);

fn messages(range: std::ops::Range<usize>) -> String {
    range.fold(String::new(), |mut lines, number| {
        let chat = number % 7;
        writeln!(
            lines,
            r#"{{"event":"messages.upsert","id":"m{number}","data":{{"messageId":"{number}","keyRemoteJid":"{chat}@s.whatsapp.net"}}}}"#
        )
        .expect("a String takes everything");
        lines
    })
}

async fn all_taken(inbox: &Inbox, owed: &BTreeSet<Pair>) {
    until_true("all that was left arrives", PATIENCE, async || {
        let found = ledger::compare(owed, &inbox.receipts());
        (found.lost.is_empty(), found.summary())
    })
    .await;
}

fn owed(hooks: &[&Hook], ids: &[String]) -> BTreeSet<Pair> {
    hooks.iter().flat_map(|hook| ids.iter().map(|id| (hook.path.clone(), id.clone()))).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_stop_left_over_is_delivered_once_after_the_start() {
    let (mut pombo, inbox) =
        (Pombo::new().await, Inbox::with(Script { delay: Duration::from_millis(15), ..Script::default() }).await);
    let mut api = pombo.api();
    let instance = api.tenant("shop").await;
    let free = api.webhook(&instance, &inbox.url("/free"), &json!({ "concurrency": 4 })).await;
    let lined_up = api.webhook(&instance, &inbox.url("/lined-up"), &json!({ "ordering": "chat" })).await;
    let ids = api.events(&instance, messages(0..1_500)).await.ids;
    until_true("deliveries are under way", PATIENCE, async || (inbox.len() > 50, inbox.len())).await;

    let status = pombo.terminate().await;
    assert!(status.success(), "{status}");
    let before = inbox.len();
    assert!(before < 2 * ids.len(), "something must be left over for this test to tell anything");
    pombo.start().await;

    let owed = owed(&[&free, &lined_up], &ids);
    all_taken(&inbox, &owed).await;
    let mut api = pombo.api();
    for hook in [&free, &lined_up] {
        until_true("the webhook is through", PATIENCE, async || {
            let left = api.unfinished(hook).await;
            (left == 0, left)
        })
        .await;
    }
    let receipts = inbox.receipts();
    let found = ledger::compare(&owed, &receipts);
    assert!(found.is_none(), "{}", found.summary());
    for chat in 0..7 {
        let of_chat: Vec<String> = ids.iter().skip(chat).step_by(7).cloned().collect();
        assert_eq!(ledger::out_of_order(&of_chat, &receipts, "/lined-up"), [], "chat {chat}");
    }
}

#[tokio::test]
async fn retries_and_pauses_go_on_after_a_restart() {
    let (mut pombo, inbox) = (Pombo::new().await, Inbox::with(Script { status: 503, ..Script::default() }).await);
    let mut api = pombo.api();
    let instance = api.tenant("shop").await;
    let failing = api.webhook(&instance, &inbox.url("/failing"), &short_retries()).await;
    let paused = api.webhook(&instance, &inbox.url("/paused"), &json!({})).await;
    api.call("POST", &Api::path_of(&paused, "/pause"), &Value::Null).await;
    let ids = api.events(&instance, messages(0..3)).await.ids;
    until_true("first attempts failed", PATIENCE, async || (inbox.len() >= 3, inbox.len())).await;

    pombo.restart().await;
    inbox.receiver.set_script(Script::default());
    all_taken(&inbox, &owed(&[&failing], &ids)).await;
    let attempts: Vec<u16> = inbox.receipts().iter().filter(|receipt| receipt.is_taken()).map(|r| r.attempt).collect();
    assert!(attempts.iter().all(|attempt| *attempt > 1), "the count of attempts goes on: {attempts:?}");
    assert!(inbox.receipts().iter().all(|receipt| &*receipt.path != "/paused"), "a paused webhook stays paused");

    let mut api = pombo.api();
    api.call("POST", &Api::path_of(&paused, "/resume"), &Value::Null).await;
    let owed = owed(&[&failing, &paused], &ids);
    all_taken(&inbox, &owed).await;
    let found = ledger::compare(&owed, &inbox.receipts());
    assert!(found.is_none(), "{}", found.summary());
}

#[tokio::test]
async fn webhooks_instances_and_tokens_survive_a_stop_and_a_crash_unchanged() {
    let mut pombo = Pombo::new().await;
    let mut api = pombo.api();
    let business = api.business("Acme").await;
    let instance = api.instance(&business, "shop").await;
    let more = json!({
        "format": "cloudevents", "ordering": "chat", "concurrency": 3, "timeoutMs": 1_234,
        "headers": { "x-tenant": "acme" }, "rateLimit": { "limit": 10, "periodMs": 2_000, "burst": 2 },
        "retry": { "scheduleSeconds": [1, 2], "giveUpStatus": [401, 404] },
        "filter": { "ignoreGroups": true, "onlyChats": ["1@s.whatsapp.net"], "onlyConnections": ["open"] },
        "WebhookEvents": { "presenceUpdate": false }
    });
    let hook = api.webhook(&instance, "http://127.0.0.1:9/hook", &more).await;
    api.webhook(&instance, "http://127.0.0.1:9/second", &json!({ "enabled": false })).await;
    api.call("PATCH", &Api::path_of(&hook, "/events"), &json!({ "newJwt": false })).await;
    let paths = [
        format!("/api/v2/instance/{instance}/webhook"),
        format!("/api/v2/instance/{instance}"),
        format!("/api/v2/business/{business}"),
    ];
    let mut before = Vec::new();
    for path in &paths {
        before.push(api.get(path).await);
    }
    assert_eq!(before[0].as_array().map(Vec::len), Some(2));
    let business_token = before[2]["businessToken"].as_str().expect("a business has a token").to_owned();

    for stop in ["stop", "crash"] {
        if stop == "stop" {
            pombo.restart().await;
        } else {
            pombo.crash_and_restart().await;
        }
        for (path, before) in paths.iter().zip(&before) {
            assert_eq!(pombo.api().get(path).await, *before, "{path} after a {stop}");
        }
        let after = Api::new(&pombo.url(), &business_token).get(&paths[0]).await;
        assert_eq!(after, before[0], "the business's own token after a {stop}");
    }
}

/// The commands of the greeting: its indented lines.
fn commands(greeting: &str) -> String {
    let lines = greeting.lines().filter_map(|line| line.strip_prefix("  "));
    lines.fold(String::new(), |script, line| script + line + "\n")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_start_shows_a_token_and_commands_that_work_as_they_stand() {
    const LISTENER: &str = "http://127.0.0.1:9000/";
    let (mut pombo, inbox) = (Setup::default().own_token().start().await, Inbox::open().await);
    until_true("the greeting is complete", PATIENCE, async || {
        let shown = pombo.stdout();
        (shown.contains("/docs/"), shown)
    })
    .await;
    let greeting = pombo.stdout();
    let (receiver, rest) = greeting.split_once("\n2. ").expect("three steps");
    let listen = format!("{} listen\n", env!("CARGO_BIN_EXE_pombo"));
    assert!(commands(receiver).ends_with(&listen), "{receiver}");
    // The test's own receiver stands for the one of the first step, whose port others may use.
    let script = commands(rest);
    assert_eq!(script.matches(LISTENER).count(), 1, "{script}");
    let script = format!("set -eu\n{}", script.replace(LISTENER, &inbox.url("/first")));
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(&script);
    let told = succeed(shell).await;
    until_true(&format!("the event of the third step arrives; they printed {told}"), PATIENCE, async || {
        (inbox.len() == 1, inbox.len())
    })
    .await;
    let body: Value = serde_json::from_slice(&inbox.receipts()[0].body).expect("a body is JSON");
    assert_eq!((&body["event"], &body["data"]["content"]["text"]), (&json!("messages.upsert"), &json!("oi")));

    let token = greeting.lines().find_map(|line| line.trim().strip_prefix("export POMBO_TOKEN="));
    pombo.token = token.expect("the greeting shows the token").to_owned();
    assert!(!pombo.stderr().contains(&pombo.token), "the token is not in the log");
    pombo.restart().await;
    let businesses = pombo.api().get("/api/v2/admin/business").await;
    assert!(businesses.to_string().contains("\"demo\""), "the token still works: {businesses}");
    assert!(!pombo.stdout().contains(&pombo.token) && !pombo.stdout().contains("First start"), "shown once");
}
