//! The end of the process: in phases, nothing lost, nothing repeated that the grace period could finish (P10).

use std::time::{Duration, Instant};

use pombo::commands::http::Client;
use serde_json::{Value, json};

use crate::support::api::{Api, Hook};
use crate::support::deadline::until_true;
use crate::support::pombo::{Pombo, Setup, TOKEN};
use crate::support::scripted::{Reply, Scripted};

const SOON: Duration = Duration::from_secs(20);
const PHASES: [&str; 5] = ["not ready", "refusing", "draining", "flushing", "closed"];

/// A process with a webhook of a receiver that takes `delay` to answer.
async fn world(setup: Setup, delay: Duration, more: Value) -> (Pombo, Scripted, Api, Hook) {
    let pombo = setup.start().await;
    let receiver = Scripted::start(move |_| Reply::status(200).after(delay)).await;
    let mut api = pombo.api();
    let instance = api.tenant("shop").await;
    let hook = api.webhook(&instance, &receiver.url("/hook"), &more).await;
    (pombo, receiver, api, hook)
}

async fn send(api: &mut Api, hook: &Hook, events: usize) {
    let line = json!({ "event": "messages.upsert", "data": {} }).to_string();
    api.events(&hook.instance, vec![line; events].join("\n")).await;
}

async fn until_calls(receiver: &Scripted, calls: usize) {
    until_true("the receiver is called", SOON, async || (receiver.len() >= calls, receiver.len())).await;
}

async fn until_settled(api: &mut Api, hook: &Hook) {
    until_true("all is delivered", SOON, async || {
        let left = api.unfinished(hook).await;
        (left == 0, left)
    })
    .await;
}

fn assert_phases(log: &str) {
    let mut rest = log;
    for phase in PHASES {
        let wanted = format!("phase=\"{phase}\"");
        let at = rest.find(&wanted).unwrap_or_else(|| panic!("{wanted} is missing or too early in:\n{log}"));
        rest = &rest[at..];
    }
}

#[tokio::test]
async fn attempts_in_flight_end_within_the_grace_and_are_not_repeated() {
    let more = json!({ "concurrency": 3 });
    let (mut pombo, receiver, mut api, hook) = world(Setup::default(), Duration::from_millis(1_500), more).await;
    send(&mut api, &hook, 5).await;
    until_calls(&receiver, 3).await;
    let begun = Instant::now();
    let status = pombo.terminate().await;
    assert_eq!(status.code(), Some(0));
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    assert_phases(&pombo.stderr());
    assert_eq!(receiver.len(), 3, "nothing new was started while it drained");
    pombo.start().await;
    let mut api = pombo.api();
    until_settled(&mut api, &hook).await;
    let ids: std::collections::BTreeSet<_> = receiver.calls().into_iter().map(|call| call.id).collect();
    assert_eq!((receiver.len(), ids.len()), (5, 5), "each once");
    assert_eq!(api.deliveries(&hook, "delivered").await.len(), 5);
}

#[tokio::test]
async fn events_are_refused_while_it_ends_and_told_when_to_come_back() {
    let (mut pombo, receiver, mut api, hook) = world(Setup::default(), Duration::from_secs(4), json!({})).await;
    send(&mut api, &hook, 1).await;
    until_calls(&receiver, 1).await;
    let mut client = Client::new(&pombo.url()).unwrap();
    assert_eq!(client.send("GET", "/readyz", &[], "".into()).await.unwrap().status, 200);
    pombo.ask_to_stop();
    let authorization = format!("Bearer {TOKEN}");
    let headers = [("authorization", authorization.as_str()), ("content-type", "application/json")];
    let mut refusal = None;
    until_true("events are refused", Duration::from_secs(3), async || {
        let body = r#"{"event":"messages.upsert","data":{"late":true}}"#;
        let answer = client.send("POST", "/api/v2/instance/shop/events", &headers, body.into()).await;
        let status = answer.as_ref().map(|answer| answer.status.as_u16()).map_err(ToString::to_string);
        let refused = status == Ok(503);
        refusal = answer.ok();
        (refused, status)
    })
    .await;
    let refusal = refusal.unwrap();
    let seconds: u64 = refusal.headers["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=60).contains(&seconds));
    let body: Value = serde_json::from_slice(&refusal.body).unwrap();
    assert_eq!((&body["statusCode"], &body["error"]), (&json!(503), &json!("Service Unavailable")));
    assert_eq!(client.send("GET", "/readyz", &[], "".into()).await.unwrap().status, 503);
    assert_eq!(client.send("GET", "/livez", &[], "".into()).await.unwrap().status, 200);
    assert_eq!(pombo.ended(SOON).await.code(), Some(0));
    pombo.start().await;
    until_settled(&mut pombo.api(), &hook).await;
    assert!(receiver.len() >= 1);
    // Accepted before the refusal began or not at all.
    let accepted = pombo.api().deliveries(&hook, "").await.len();
    assert_eq!(receiver.taken(), accepted, "each once");
}

#[tokio::test]
async fn a_second_signal_hurries_and_what_was_cut_off_is_attempted_again() {
    let (mut pombo, receiver, mut api, hook) = world(Setup::default(), Duration::from_mins(1), json!({})).await;
    send(&mut api, &hook, 1).await;
    until_calls(&receiver, 1).await;
    let begun = Instant::now();
    pombo.ask_to_stop();
    until_true("it drains", SOON, async || (pombo.stderr().contains("phase=\"draining\""), pombo.stderr())).await;
    pombo.ask_to_stop();
    assert_eq!(pombo.ended(SOON).await.code(), Some(0));
    assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
    assert_phases(&pombo.stderr());
    receiver.play(|_| Reply::status(200));
    pombo.start().await;
    until_settled(&mut pombo.api(), &hook).await;
    let calls = receiver.calls();
    assert!(calls.len() == 2 && calls[0].id == calls[1].id, "{calls:?}");
}

#[tokio::test]
async fn the_grace_period_is_the_longest_it_waits() {
    let setup = Setup::default().set("POMBO_SHUTDOWN_GRACE_S", "1");
    let (mut pombo, receiver, mut api, hook) = world(setup, Duration::from_mins(1), json!({})).await;
    send(&mut api, &hook, 2).await;
    until_calls(&receiver, 2).await;
    let begun = Instant::now();
    assert_eq!(pombo.terminate().await.code(), Some(0));
    let took = begun.elapsed();
    assert!((Duration::from_secs(1)..Duration::from_secs(8)).contains(&took), "{took:?}");
    let log = pombo.stderr();
    assert!(log.contains("left=2"), "{log}");
    receiver.play(|_| Reply::status(200));
    pombo.start().await;
    until_settled(&mut pombo.api(), &hook).await;
    assert_eq!((receiver.len(), receiver.calls_of(&receiver.calls()[0].id).len()), (4, 2));
}

#[tokio::test]
async fn for_the_delay_it_serves_on_while_load_balancers_look_away() {
    let setup = Setup::default().set("POMBO_SHUTDOWN_DELAY_S", "2");
    let (mut pombo, receiver, mut api, hook) = world(setup, Duration::ZERO, json!({})).await;
    let mut client = Client::new(&pombo.url()).unwrap();
    pombo.ask_to_stop();
    until_true("it says that it is not ready", SOON, async || {
        let status = client.send("GET", "/readyz", &[], "".into()).await.unwrap().status.as_u16();
        (status == 503, status)
    })
    .await;
    send(&mut api, &hook, 3).await;
    until_calls(&receiver, 3).await;
    assert_eq!(pombo.ended(SOON).await.code(), Some(0));
    assert_phases(&pombo.stderr());
    assert_eq!(receiver.len(), 3, "each once");
}
