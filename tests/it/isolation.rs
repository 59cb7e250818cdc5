//! P5: dead, hanging, dripping and endless receivers move no other webhook's latency, and hold a bounded number of
//! connections and files.

use std::time::Duration;

use pombo::domain::EventId;
use serde_json::json;
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::support::api::Api;
use crate::support::deadline::until_true;
use crate::support::nasty::{Manner, Nasty, dead_url};
use crate::support::pombo::{Pombo, Setup};
use crate::support::receiver::Inbox;

const INSTANCES: usize = 10;
/// Instances that have all the bad receivers as well.
const AFFLICTED: usize = 4;
const CONCURRENCY: usize = 16;
const EVENTS: usize = 800;
const EVERY: Duration = Duration::from_millis(2);
const RUNS: usize = 3;
/// More runs when the machine was busy with other things.
const SECOND_CHANCES: usize = 2;
const ALLOWED_FACTOR: f64 = 1.5;
/// What the machine's own noise may add, in milliseconds.
const FLOOR_MS: f64 = 5.0;

struct Afflictions(Vec<Nasty>);

impl Afflictions {
    async fn inflict(api: &mut Api, instances: &[String]) -> Self {
        let mut nasties = Vec::new();
        for manner in [Manner::Hanging, Manner::DrippingHead, Manner::EndlessBody, Manner::Resetting] {
            nasties.push(Nasty::start(manner).await);
        }
        let more = json!({ "timeoutMs": 1_000, "concurrency": CONCURRENCY, "retry": { "scheduleSeconds": [1, 1, 1] } });
        for instance in &instances[..AFFLICTED] {
            for nasty in &nasties {
                api.webhook(instance, &nasty.url("/bad"), &more).await;
            }
            api.webhook(instance, &dead_url("/dead"), &more).await;
        }
        Self(nasties)
    }
}

/// The 99th percentile from acceptance to arrival, in milliseconds, over all healthy webhooks.
async fn run(afflicted: bool) -> f64 {
    let pombo: Pombo = Setup::default().set("POMBO_DURABILITY", "os").start().await;
    let (mut api, inbox) = (pombo.api(), Inbox::open().await);
    let business = api.business("Acme").await;
    let mut instances = Vec::new();
    for number in 0..INSTANCES {
        let instance = api.instance(&business, &format!("shop-{number}")).await;
        api.webhook(&instance, &inbox.url(&format!("/{number}")), &json!({ "concurrency": CONCURRENCY })).await;
        instances.push(instance);
    }
    let afflictions = if afflicted { Some(Afflictions::inflict(&mut api, &instances).await) } else { None };
    let files_before = pombo.open_files();
    let mut most_files = 0;
    let mut pace = interval(EVERY);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let begun = Instant::now();
    for number in 0..EVENTS {
        pace.tick().await;
        let data =
            json!({ "messageId": number.to_string(), "keyRemoteJid": format!("{}@s.whatsapp.net", number % 50) });
        api.event(&instances[number % INSTANCES], "messages.upsert", None, &data).await;
        if number % 25 == 0 {
            most_files = most_files.max(pombo.open_files());
        }
    }
    assert!(begun.elapsed() < Duration::from_secs(30), "ingest took {:?}", begun.elapsed());
    until_true("every healthy webhook has its events", Duration::from_secs(20), async || {
        (inbox.len() == EVENTS, inbox.len())
    })
    .await;

    let healthy = inbox.receiver.counts().connections as usize;
    assert!(healthy <= INSTANCES * CONCURRENCY, "{healthy} connections to healthy receivers");
    let mut bad = 0;
    for nasty in afflictions.iter().flat_map(|afflictions| &afflictions.0) {
        assert!(nasty.requests() > 0, "every bad receiver was asked");
        assert!(nasty.most_open() <= AFFLICTED * CONCURRENCY, "{} connections at once", nasty.most_open());
        bad += nasty.most_open();
    }
    // Beside them: connecting to the dead ports, and the store's files.
    let bound = files_before + healthy + bad + AFFLICTED * CONCURRENCY + 32;
    assert!(most_files <= bound, "{most_files} open files, at most {bound} can be explained");

    let mut latencies: Vec<u64> = inbox
        .receipts()
        .iter()
        .map(|receipt| {
            let id: EventId = receipt.webhook_id.parse().expect("webhook-id is the event's id");
            receipt.at.since(id.timestamp()).as_millis() as u64
        })
        .collect();
    latencies.sort_unstable();
    latencies[latencies.len() * 99 / 100] as f64
}

fn median(mut runs: Vec<f64>) -> f64 {
    runs.sort_by(f64::total_cmp);
    runs[runs.len() / 2]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_receivers_do_not_move_the_latency_of_healthy_ones() {
    let (mut alone, mut beside) = (Vec::new(), Vec::new());
    for round in 1..=RUNS + SECOND_CHANCES {
        alone.push(run(false).await);
        beside.push(run(true).await);
        if round < RUNS {
            continue;
        }
        let last = |runs: &[f64]| median(runs[runs.len() - RUNS..].to_vec());
        eprintln!("p99 in ms, run by run: without bad receivers {alone:?}, with them {beside:?}");
        if last(&beside) <= last(&alone).mul_add(ALLOWED_FACTOR, FLOOR_MS) {
            return;
        }
    }
    panic!("p99 in ms, run by run: without bad receivers {alone:?}, with them {beside:?}");
}
