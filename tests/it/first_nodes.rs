//! Nodes on a Redis that nobody has used before: they agree on who is admin, show each other, and refuse a Redis that keeps too little.

use std::time::Duration;

use crate::support::command::{pombo, succeed};
use crate::support::deadline::until_true;
use crate::support::pombo::Setup;
use crate::support::redis::Redis;

const PATIENCE: Duration = Duration::from_secs(30);

/// A Redis without an append-only file.
async fn forgetful() -> Redis {
    Redis::start(&["--appendonly", "no"]).await
}

#[tokio::test]
async fn nodes_that_start_at_once_know_one_admin_and_one_key_and_show_each_other() {
    let redis = forgetful().await;
    let node = || Setup::default().own_token().set("POMBO_REDIS_URL", &redis.url()).start();
    let (mut one, mut other) = tokio::join!(node(), node());
    let shown = |output: String| {
        output.lines().find_map(|line| line.trim().strip_prefix("export POMBO_TOKEN=").map(str::to_owned))
    };
    let tokens: Vec<_> = [one.stdout(), other.stdout()].into_iter().filter_map(shown).collect();
    let [token] = &tokens[..] else { panic!("one of them shows a token: {tokens:?}") };
    for node in [&mut one, &mut other] {
        node.token.clone_from(token);
    }
    let business = one.api().business("shop").await;
    let path = format!("/api/v2/business/{business}/instance");
    let made = one.api().call("POST", &path, &serde_json::json!({ "externalId": "shop" })).await;
    other.token = made["Auth"]["jwt"].as_str().expect("a token").to_owned();
    until_true("a token of one node is known to the other", PATIENCE, async || {
        let answer = other.api().send("GET", "/api/v2/instance/shop", "application/json", "").await.unwrap();
        (answer.status.is_success(), answer.status)
    })
    .await;

    until_true("every shard has an owner", PATIENCE, async || {
        let cluster = other_as_admin(&other.url(), token).await;
        let owners = cluster["shards"].as_array().expect("shards").iter().map(|shard| shard["owner"].as_str());
        let owners: std::collections::BTreeSet<_> = owners.collect();
        (owners.len() == 2 && !owners.contains(&None), cluster.to_string())
    })
    .await;
    let mut table = pombo(&["cluster", "--url", one.url().as_str()]);
    table.env("POMBO_ADMIN_TOKEN", token);
    let table = succeed(table).await;
    assert!(table.starts_with("2 nodes, 64 shards, 0 unfinished, durability redis-none\n"), "{table}");
}

async fn other_as_admin(url: &url::Url, token: &str) -> serde_json::Value {
    let mut command = pombo(&["cluster", "--json", "--url", url.as_str()]);
    command.env("POMBO_ADMIN_TOKEN", token);
    serde_json::from_str(&succeed(command).await).expect("JSON")
}

#[tokio::test]
async fn a_redis_that_keeps_too_little_is_refused_with_what_was_found() {
    let redis = forgetful().await;
    for (setting, parts) in [
        ("require_durability=aof-everysec", ["require_durability", "appendonly no"]),
        ("store.wait_aof=true", ["store.wait_aof", "7.2"]),
    ] {
        let mut command = pombo(&["--listen", "127.0.0.1:0", "--redis-url", &redis.url(), "--set", setting]);
        let ended = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
        let told = String::from_utf8_lossy(&ended.stderr).into_owned();
        assert!(!ended.status.success() && parts.iter().all(|part| told.contains(part)), "{told}");
    }
}
