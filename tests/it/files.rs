//! Few file descriptors: the engine raises the limit it may raise, and below a hard one it stays reachable and delivers all.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use pombo::commands::listen::Script;

use crate::support::api::short_retries;
use crate::support::deadline::until_true;
use crate::support::ledger;
use crate::support::pombo::Setup;
use crate::support::receiver::Inbox;

const INSTANCES: usize = 20;
const WEBHOOKS: usize = 4;
const EVENTS_EACH: usize = 30;
const PATIENCE: Duration = Duration::from_secs(40);

#[tokio::test]
async fn the_soft_limit_on_files_is_raised_to_the_hard_one() {
    let pombo = Setup::default().through(&["sh", "-c", r#"ulimit -Sn 128; exec "$0" "$@""#]).start().await;
    let limits = fs::read_to_string(format!("/proc/{}/limits", pombo.pid())).expect("the process runs");
    let line = limits.lines().find(|line| line.starts_with("Max open files")).expect("Linux tells the limit");
    let words: Vec<&str> = line.split_whitespace().collect();
    assert_eq!(words[3], words[4], "soft and hard: {line}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_receivers_than_files_are_served_in_turn_and_the_api_stays_reachable() {
    let pombo = Setup::default().through(&["sh", "-c", r#"ulimit -n 256; exec "$0" "$@""#]).start().await;
    let inbox = Inbox::with(Script { delay: Duration::from_millis(30), ..Script::default() }).await;
    let mut api = pombo.api();
    let business = api.business("Acme").await;
    let (mut owed, mut hooks) = (BTreeSet::new(), Vec::new());
    for number in 0..INSTANCES {
        let instance = api.instance(&business, &format!("shop-{number}")).await;
        for webhook in 0..WEBHOOKS {
            hooks.push(api.webhook(&instance, &inbox.url(&format!("/{number}/{webhook}")), &short_retries()).await);
        }
    }
    for number in 0..INSTANCES {
        let line = |n| format!("{{\"event\":\"messages.upsert\",\"data\":{{\"messageId\":\"{n}\"}}}}\n");
        let ids = api.events(&format!("shop-{number}"), (0..EVENTS_EACH).map(line).collect::<String>()).await.ids;
        for hook in hooks.iter().filter(|hook| hook.instance == format!("shop-{number}")) {
            owed.extend(ids.iter().map(|id| (hook.path.clone(), id.clone())));
        }
    }
    until_true("everything arrives", PATIENCE, async || {
        // A new connection each time: one that is kept says nothing about new callers.
        let reachable = pombo.api().send("GET", "/livez", "", "").await;
        assert!(reachable.is_ok_and(|answer| answer.status.is_success()), "the API is out of reach");
        let found = ledger::compare(&owed, &inbox.receipts());
        (found.lost.is_empty(), found.summary())
    })
    .await;
    let found = ledger::compare(&owed, &inbox.receipts());
    assert!(found.is_none(), "{}", found.summary());
    let mut failed = 0;
    for hook in &hooks {
        failed += api.stats(hook).await["failedAttempts"].as_u64().expect("stats count failures");
    }
    assert_eq!(failed, 0, "attempts that failed for want of files count against receivers that did nothing wrong");
}
