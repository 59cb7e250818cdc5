//! Growing out of one machine, and back: `pombo export` and `pombo import` of the real binary, between a folder and Redis.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Output;
use std::time::Duration;

use serde_json::json;

use crate::support::api::{Api, Hook};
use crate::support::command;
use crate::support::deadline::until_true;
use crate::support::pombo::{Pombo, Setup};
use crate::support::redis::Redis;
use crate::support::scripted::{Call, Reply, Scripted};

const PATIENCE: Duration = Duration::from_mins(1);
const EVENTS: usize = 12;

async fn run(args: &[&str]) -> Output {
    let mut command = command::pombo(args);
    tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap()
}

/// Runs a command that must fail; answers what it said.
async fn refused(args: &[&str]) -> String {
    let output = run(args).await;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success(), "{args:?} was not refused: {said}");
    said
}

async fn done(args: &[&str]) -> String {
    let output = run(args).await;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{args:?}: {said}");
    said
}

/// The numbers of attempts by event, and the events in the order in which they were taken.
fn taken(receiver: &Scripted, path: &str) -> Vec<(String, u16)> {
    let calls = receiver.calls_to(path);
    calls.into_iter().filter(Call::is_taken).map(|call| (call.id, call.attempt)).collect()
}

struct Hooks {
    good: Hook,
    failing: Hook,
    refusing: Hook,
    ordered: Hook,
    paused: Hook,
}

async fn hooks(api: &mut Api, receiver: &Scripted) -> Hooks {
    let retry = json!({ "scheduleSeconds": [4, 4, 4, 4, 4, 4, 4, 4], "giveUpStatus": [422] });
    let shop = api.tenant("shop").await;
    let mut make = async |path: &str, more: serde_json::Value| {
        let mut more = more;
        more["retry"] = retry.clone();
        api.webhook(&shop, &receiver.url(path), &more).await
    };
    Hooks {
        good: make("/good", json!({})).await,
        failing: make("/failing", json!({})).await,
        refusing: make("/refusing", json!({})).await,
        ordered: make("/ordered", json!({ "ordering": "chat" })).await,
        paused: make("/paused", json!({})).await,
    }
}

#[tokio::test]
async fn a_store_moves_to_two_nodes_and_back_and_everybody_gets_what_is_owed() {
    let receiver = Scripted::start(|call| match call.path.as_str() {
        "/good" => Reply::status(200),
        "/refusing" => Reply::status(422),
        _ => Reply::status(503),
    })
    .await;
    let mut alone = Setup::default().own_token().start().await;
    until_true("the token is shown", PATIENCE, async || {
        let shown = alone.stdout();
        (shown.contains("/docs/"), shown)
    })
    .await;
    let greeting = alone.stdout();
    let token = greeting.split("POMBO_TOKEN=").nth(1).and_then(|rest| rest.split_whitespace().next()).unwrap();
    alone.token = token.to_owned();
    let mut api = alone.api();
    let hooks = hooks(&mut api, &receiver).await;
    api.call("POST", &Api::path_of(&hooks.paused, "/pause"), &serde_json::Value::Null).await;
    let mut ids = Vec::new();
    for number in 0..EVENTS {
        let data = json!({ "messageId": format!("m{number}"), "keyRemoteJid": "5511999999999@s.whatsapp.net" });
        ids.push(api.event("shop", "messages.upsert", None, &data).await);
    }
    until_true("some is delivered, some dead, some tried", PATIENCE, async || {
        let (good, dead) = (taken(&receiver, "/good").len(), receiver.calls_to("/refusing").len());
        let (tried, first) = (receiver.calls_to("/failing").len(), receiver.calls_to("/ordered").len());
        (good == EVENTS && dead == EVENTS && tried >= EVENTS && first >= 1, (good, dead, tried, first))
    })
    .await;

    let folder = alone.data_dir().display().to_string();
    let file = alone.home().join("all.jsonl").display().to_string();
    let in_use = refused(&["export", "--data-dir", &folder, "--out", &file]).await;
    assert!(in_use.contains("in use by another process"), "{in_use}");
    assert!(!Path::new(&file).exists());
    assert!(alone.terminate().await.success());
    let tried: BTreeMap<String, u16> =
        receiver.calls_to("/failing").into_iter().map(|call| (call.id, call.attempt)).collect();

    let redis = Redis::start(&[]).await;
    let said = done(&["export", "--data-dir", &folder, "--out", &file]).await;
    assert!(said.contains("12 events") && said.contains("12 dead"), "{said}");
    let nowhere = refused(&["export", "--data-dir", "/nonexistent/pombo", "--out", &format!("{file}2")]).await;
    assert!(nowhere.contains("no store in"), "{nowhere}");
    cut_and_damaged_are_refused(&file, &redis).await;
    done(&["import", "--redis-url", &redis.url(), "--file", &file]).await;
    let full = refused(&["import", "--redis-url", &redis.url(), "--file", &file]).await;
    assert!(full.contains("not empty"), "{full}");

    receiver.play(|call| Reply::status(if call.path == "/refusing" { 422 } else { 200 }));
    let (mut first, second) = (node(&redis, &alone.token).await, node(&redis, &alone.token).await);
    let live = refused(&["export", "--redis-url", &redis.url(), "--out", &format!("{file}3")]).await;
    assert!(live.contains("nodes are working on it"), "{live}");
    let mut api = second.api();
    api.call("POST", &Api::path_of(&hooks.paused, "/resume"), &serde_json::Value::Null).await;
    let all: BTreeSet<String> = ids.iter().cloned().collect();
    until_true("everything that is owed arrives", PATIENCE, async || {
        let lengths = ["/failing", "/ordered", "/paused"].map(|path| taken(&receiver, path).len());
        (lengths == [EVENTS; 3], lengths)
    })
    .await;
    for path in ["/good", "/failing", "/ordered", "/paused"] {
        let once: BTreeSet<_> = taken(&receiver, path).into_iter().map(|(id, _)| id).collect();
        assert_eq!((&once, taken(&receiver, path).len()), (&all, EVENTS), "{path}: each once");
    }
    let order: Vec<_> = taken(&receiver, "/ordered").into_iter().map(|(id, _)| id).collect();
    assert_eq!(order, ids, "in order");
    for (id, attempt) in taken(&receiver, "/failing") {
        assert_eq!(attempt, tried.get(&id).copied().unwrap_or(0) + 1, "its attempts are counted on");
    }
    let dead = api.deliveries(&hooks.refusing, "dead").await;
    assert_eq!(dead.len(), EVENTS);
    let timeline = api.timeline(&hooks.good, &ids[0]).await;
    assert!(timeline.to_string().contains("delivered"), "{timeline}");

    drop(api);
    let mut second = second;
    assert!(first.terminate().await.success() && second.terminate().await.success());
    back_in_a_folder(&redis, &alone, &hooks).await;
}

async fn node(redis: &Redis, token: &str) -> Pombo {
    let mut node = Setup::default().own_token().set("POMBO_REDIS_URL", &redis.url()).start().await;
    token.clone_into(&mut node.token);
    node
}

/// On Redis, which stays empty.
async fn cut_and_damaged_are_refused(file: &str, redis: &Redis) {
    let text = std::fs::read_to_string(file).unwrap();
    for (wrong, why) in [
        (text[..text.len() * 2 / 3].to_owned(), "cut off"),
        (text.replacen("5511999999999", "5511999999998", 1), "damaged"),
        (text.replacen("\"version\":1", "\"version\":2", 1), "version 2"),
    ] {
        let path = format!("{file}.wrong");
        std::fs::write(&path, wrong).unwrap();
        let said = refused(&["import", "--redis-url", &redis.url(), "--file", &path]).await;
        assert!(said.contains(why) && said.contains("nothing was imported"), "{said}");
    }
}

/// Through a pipe that breaks, then again.
async fn back_in_a_folder(redis: &Redis, old: &Pombo, hooks: &Hooks) {
    let folder = old.home().join("back");
    let (place, binary) = (folder.display().to_string(), env!("CARGO_BIN_EXE_pombo"));
    let pipe = |cut: &str, more: &str| {
        let line =
            format!("{binary} export --redis-url {} {cut} | {binary} import --data-dir {place} {more}", redis.url());
        let mut shell = std::process::Command::new("sh");
        shell.args(["-c", &line]);
        tokio::task::spawn_blocking(move || shell.output().unwrap())
    };
    let broken = pipe("| head -c 9000", "").await.unwrap();
    assert!(!broken.status.success());
    let mut server = old_folder(&folder).ready();
    let (_, said) = server.start_and_fail().await;
    assert!(said.contains("--resume"), "half of a store is not served: {said}");
    let again = pipe("", "").await.unwrap();
    assert!(!again.status.success(), "it says that it goes on");
    let whole = pipe("", "--resume").await.unwrap();
    assert!(whole.status.success(), "{}", String::from_utf8_lossy(&whole.stderr));

    server.token.clone_from(&old.token);
    server.start().await;
    let mut api = server.api();
    assert_eq!(api.deliveries(&hooks.refusing, "dead").await.len(), EVENTS);
    for hook in [&hooks.good, &hooks.failing, &hooks.ordered, &hooks.paused] {
        assert_eq!(api.deliveries(hook, "delivered").await.len(), EVENTS);
    }
    drop(api);
    assert!(server.terminate().await.success());
}

fn old_folder(folder: &Path) -> Setup {
    Setup::default().own_token().set("POMBO_DATA_DIR", &folder.display().to_string())
}
