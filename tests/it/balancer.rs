//! Three nodes behind the balancer that is shipped (`docker/haproxy.cfg`): a graceful roll is seen by nobody (P10), and the balancer
//! repeats no request that could be taken twice.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use pombo::commands::http::Client;
use pombo::commands::listen::Script;
use serde_json::json;

use crate::support::api::{Api, Hook};
use crate::support::balancer::Balancer;
use crate::support::deadline::until_true;
use crate::support::ledger::{self, Pair};
use crate::support::pombo::{Pombo, Setup, TOKEN};
use crate::support::receiver::Inbox;
use crate::support::redis::Redis;
use crate::support::scripted::{Reply, Scripted};

const INSTANCES: usize = 8;
const SENDERS: usize = 4;
const SOON: Duration = Duration::from_secs(20);
const EVENT: &str = r#"{"event":"messages.upsert","data":{"keyRemoteJid":"5511999999999@s.whatsapp.net"}}"#;

/// Events on their way through the balancer, one request each, without an id: a request that fails is a failure.
struct Senders {
    stop: Arc<AtomicBool>,
    accepted: Arc<AtomicU64>,
    tasks: Vec<tokio::task::JoinHandle<(BTreeSet<Pair>, Vec<String>)>>,
}

impl Senders {
    fn start(balancer: &Balancer, hooks: &[Hook]) -> Self {
        let (stop, accepted) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let sender = |number: usize| {
            let (stop, accepted, hooks) = (Arc::clone(&stop), Arc::clone(&accepted), hooks.to_vec());
            // One keeps its connection, the next opens one for every request.
            let (mut api, url) = (balancer.api(), balancer.url());
            let keeps = number.is_multiple_of(2);
            tokio::spawn(async move {
                let (mut owed, mut failed) = (BTreeSet::new(), Vec::new());
                for turn in number.. {
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                    if !keeps {
                        api = Api::new(&url, TOKEN);
                    }
                    let hook = &hooks[turn % INSTANCES];
                    match api.try_events(&hook.instance, EVENT).await {
                        Ok(answer) => {
                            accepted.fetch_add(1, Ordering::Relaxed);
                            owed.extend(answer.ids.into_iter().map(|id| (hook.path.clone(), id)));
                        }
                        Err(refusal) => failed.push(refusal),
                    }
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                (owed, failed)
            })
        };
        let tasks = (0..SENDERS).map(sender).collect();
        Self { stop, accepted, tasks }
    }

    async fn until_more(&self) {
        let before = self.accepted.load(Ordering::Relaxed);
        until_true("events are accepted", SOON, async || {
            let now = self.accepted.load(Ordering::Relaxed);
            (now >= before + 50, now - before)
        })
        .await;
    }

    /// What is owed, and every request that failed.
    async fn end(self) -> (BTreeSet<Pair>, Vec<String>) {
        self.stop.store(true, Ordering::Relaxed);
        let (mut owed, mut failed) = (BTreeSet::new(), Vec::new());
        for task in self.tasks {
            let (more, failures) = task.await.unwrap();
            owed.extend(more);
            failed.extend(failures);
        }
        (owed, failed)
    }
}

async fn until_ready(api: &mut Api) {
    until_true("the node is ready", SOON, async || {
        let answer = api.send("GET", "/readyz", "application/json", "").await;
        let status = answer.map(|answer| answer.status.as_u16()).map_err(|error| error.to_string());
        (status == Ok(200), status)
    })
    .await;
}

async fn until_known(node: &Pombo, hook: &Hook) {
    let (mut api, path) = (node.api(), Api::path_of(hook, ""));
    until_true("every node knows what was made at one", SOON, async || {
        let answer = api.send("GET", &path, "application/json", "").await.unwrap();
        (answer.status.is_success(), answer.status)
    })
    .await;
}

#[tokio::test]
async fn a_graceful_roll_of_every_node_fails_no_request_and_loses_and_repeats_nothing() {
    // Slow enough that every node always has attempts in flight.
    let script = Script { delay: Duration::from_millis(50), ..Script::default() };
    let (redis, inbox) = (Redis::start(&[]).await, Inbox::with(script).await);
    // Longer than the balancer needs to look away, on a busy machine too.
    let setup = || Setup::default().set("POMBO_SHUTDOWN_DELAY_S", "3");
    let mut nodes = Vec::new();
    for _ in 0..3 {
        nodes.push(redis.node_with(setup()).await);
    }
    let balancer = Balancer::before([0, 1, 2].map(|at: usize| nodes[at].port())).await;
    let mut hooks = Vec::new();
    for number in 0..INSTANCES {
        let instance = nodes[0].api().tenant(&format!("shop-{number}")).await;
        hooks.push(nodes[0].api().webhook(&instance, &inbox.url(&format!("/{number}")), &json!({})).await);
    }
    for node in &nodes {
        until_known(node, &hooks[INSTANCES - 1]).await;
    }

    let senders = Senders::start(&balancer, &hooks);
    senders.until_more().await;
    for node in &mut nodes {
        assert!(node.terminate().await.success());
        senders.until_more().await;
        node.start().await;
        until_ready(&mut node.api()).await;
        balancer.until_all_up().await;
        senders.until_more().await;
    }
    let (owed, failed) = senders.end().await;
    assert!(
        failed.is_empty(),
        "{} of {} failed: {:?}",
        failed.len(),
        owed.len() + failed.len(),
        &failed[..failed.len().min(5)]
    );
    for server in balancer.servers().await.unwrap() {
        assert!(server.requests > 0, "{server:?} had nothing to do");
    }
    until_true("everything arrives", SOON, async || {
        let difference = ledger::compare(&owed, &inbox.receipts());
        (difference.lost.is_empty(), difference.summary())
    })
    .await;
    // A repeat would be under way at the latest now: with the store empty, nobody has anything left to send.
    for hook in &hooks {
        until_true("everything is settled", SOON, async || {
            let left = nodes[0].api().unfinished(hook).await;
            (left == 0, left)
        })
        .await;
    }
    let receipts = inbox.receipts();
    let difference = ledger::compare(&owed, &receipts);
    let repeats =
        receipts.iter().filter(|receipt| difference.repeated.iter().any(|(_, id)| **id == *receipt.webhook_id));
    assert!(difference.is_none(), "{}\n{:#?}", difference.summary(), repeats.collect::<Vec<_>>());
}

const EVENTS: &str = "/api/v2/instance/shop/events";

/// A node that is ready and does with events as `events` says.
async fn stand_in(events: fn() -> Reply) -> Scripted {
    Scripted::start(move |call| if call.path == "/readyz" { Reply::status(200) } else { events() }).await
}

#[tokio::test]
async fn a_request_without_an_answer_is_sent_again_only_when_it_names_itself() {
    let nodes = [stand_in(Reply::hang_up).await, stand_in(Reply::hang_up).await, stand_in(Reply::hang_up).await];
    let balancer = Balancer::before(nodes.each_ref().map(Scripted::port)).await;
    let seen = || nodes.iter().map(|node| node.calls_to(EVENTS).len()).collect::<Vec<_>>();
    let mut client = Client::new(&balancer.url()).unwrap();
    let answer = client.send("POST", EVENTS, &[], EVENT.into()).await.unwrap();
    assert_eq!((answer.status.as_u16(), seen().iter().sum::<usize>()), (502, 1), "it may have been taken");
    let problem: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!((&problem["statusCode"], &problem["error"]), (&json!(502), &json!("Bad Gateway")));
    // On a connection of its own: a later request of a kept one would be told by the end of the connection.
    let mut client = Client::new(&balancer.url()).unwrap();
    let answer = client.send("POST", EVENTS, &[("Idempotency-Key", "k-1")], EVENT.into()).await.unwrap();
    assert_eq!((answer.status.as_u16(), seen().iter().sum::<usize>()), (502, 1 + 4), "three times again");
    assert!(seen().iter().filter(|calls| **calls > 0).count() > 1, "by other nodes: {:?}", seen());
}

#[tokio::test]
async fn a_node_that_is_gone_without_a_word_costs_no_request() {
    let accept = || Reply::status(202);
    let (first, second, gone) = (stand_in(accept).await, stand_in(accept).await, stand_in(accept).await);
    let balancer = Balancer::before([first.port(), second.port(), gone.port()]).await;
    let port = gone.port();
    drop(gone);
    until_true("its port is closed", SOON, async || {
        let tried = tokio::net::TcpStream::connect(("127.0.0.1", port)).await;
        (tried.is_err(), tried)
    })
    .await;
    let mut requests = 0;
    // Until the balancer knows it, and a few more.
    until_true("the balancer finds that it is gone", SOON, async || {
        for _ in 0..5 {
            let answer = Client::new(&balancer.url()).unwrap().send("POST", EVENTS, &[], EVENT.into()).await.unwrap();
            assert_eq!(answer.status, 202, "request {requests}");
            requests += 1;
        }
        let servers = balancer.servers().await.unwrap();
        (servers[2].status == "DOWN", servers)
    })
    .await;
    assert_eq!(first.calls_to(EVENTS).len() + second.calls_to(EVENTS).len(), requests, "each once");
    drop((first, second));
    until_true("with nobody left the caller is told when to come again", SOON, async || {
        let answer = Client::new(&balancer.url()).unwrap().send("POST", EVENTS, &[], EVENT.into()).await;
        let told = answer.map(|answer| (answer.status.as_u16(), answer.headers.contains_key("retry-after")));
        (matches!(told, Ok((503, true))), told)
    })
    .await;
}
