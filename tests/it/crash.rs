//! Twenty times `kill -9` under load on one folder: nothing that was answered 202 is lost (P1, P2), what is repeated stays
//! within the stated bound (P3), order holds (P4), and asking again after a lost answer delivers nothing twice.
//!
//! The bound of P3 for one kill: the attempts in flight (the window of each webhook, at most its `concurrency`) and the
//! settlements that were handed to the store and not answered (`EngineConfig::max_unsettled`).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use pombo::commands::listen::{Receipt, Script};
use pombo::domain::Timestamp;
use pombo::engine::EngineConfig;
use serde_json::{Value, json};
use url::Url;

use crate::support::api::{Api, Hook, short_retries};
use crate::support::deadline::until_true;
use crate::support::ledger::{Pair, compare};
use crate::support::pombo::{Pombo, TOKEN};
use crate::support::receiver::Inbox;

const KILLS: usize = 20;
const PRODUCERS: usize = 4;
const CHATS: u64 = 6;
const CONCURRENCY: u64 = 16;
/// Between the start of one attempt and the receiver's note of it, on a busy machine.
const LATE_NOTE_MS: u64 = 2_000;

/// What a producer posted in one request.
#[derive(Clone, Debug)]
struct Batch {
    instance: usize,
    producer: usize,
    /// Client ids, from `{producer}-{first}` on.
    first: u64,
    count: u64,
    /// From a 202; empty: never answered.
    ids: Vec<String>,
    /// Left alone when its answer was lost, until the end of all kills.
    abandoned: bool,
}

impl Batch {
    fn body(&self) -> String {
        (self.first..self.first + self.count).map(|number| self.line(number)).collect()
    }

    fn line(&self, number: u64) -> String {
        let (producer, chat) = (self.producer, number % CHATS);
        let remote = format!("55119{producer:04}{chat:04}@s.whatsapp.net");
        let data = json!({
            "messageId": format!("{producer}-{number}"), "keyRemoteJid": remote, "producer": producer, "number": number,
            "content": { "text": "x".repeat(64) },
        });
        format!("{}\n", json!({ "event": "messages.upsert", "id": format!("{producer}-{number}"), "data": data }))
    }
}

/// Posts until told to end. A request without an answer is posted again with the same ids, or left for the end.
async fn produce(url: Url, producer: usize, seed: u64, instances: Vec<String>, stop: Arc<AtomicBool>) -> Vec<Batch> {
    let mut dice = fastrand::Rng::with_seed(seed);
    let mut api = Api::new(&url, TOKEN);
    let (mut batches, mut next) = (Vec::new(), 0);
    while !stop.load(Ordering::Relaxed) {
        let instance = producer % instances.len();
        let count = dice.u64(1..=8);
        let mut batch = Batch { instance, producer, first: next, count, ids: Vec::new(), abandoned: false };
        next += count;
        let mut lost_an_answer = false;
        loop {
            match api.try_events(&instances[instance], batch.body()).await {
                Ok(answer) => {
                    assert_eq!(answer.accepted + answer.duplicates, count);
                    assert!(answer.accepted == 0 || answer.duplicates == 0, "half of a batch was there: {answer:?}");
                    assert!(lost_an_answer || answer.duplicates == 0, "a first request is no duplicate: {answer:?}");
                    batch.ids = answer.ids;
                    break;
                }
                Err(refused) => {
                    lost_an_answer = true;
                    batch.abandoned = refused.contains("failed") && dice.bool();
                    if batch.abandoned || stop.load(Ordering::Relaxed) {
                        batch.abandoned = true;
                        break;
                    }
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            }
        }
        batches.push(batch);
        tokio::time::sleep(Duration::from_millis(dice.u64(10..=40))).await;
    }
    batches
}

/// Begun just before the signal; over when the process was gone and the next not yet started.
struct Kill {
    gone_at: Timestamp,
}

/// The number that a body carries for its chat, with the chat.
fn sequence(receipt: &Receipt) -> (String, u64, u64) {
    let body: Value = serde_json::from_slice(&receipt.body).expect("bodies are JSON");
    let data = &body["data"];
    let chat = data["keyRemoteJid"].as_str().expect("a chat").to_owned();
    (chat, data["producer"].as_u64().expect("a producer"), data["number"].as_u64().expect("a number"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_kills_under_load_lose_nothing_and_repeat_little() {
    let seed = std::env::var("POMBO_TEST_SEED").ok().and_then(|text| text.parse().ok());
    let seed = seed.unwrap_or_else(|| fastrand::u64(..));
    println!("POMBO_TEST_SEED={seed}");
    let mut dice = fastrand::Rng::with_seed(seed);

    let mut pombo = Pombo::new().await;
    let good = Inbox::with(Script { delay: Duration::from_millis(5), ..Script::default() }).await;
    let flaky = Inbox::with(Script { fail_rate: 0.01, ..Script::default() }).await;
    let quick = Inbox::open().await;
    let mut api = pombo.api();
    let business = api.business("crash").await;
    let (mut instances, mut hooks) = (Vec::new(), Vec::new());
    for name in ["crash-a", "crash-b"] {
        let instance = api.instance(&business, name).await;
        let plan = [
            ("none", "good", &good),
            ("chat", "good", &good),
            ("chat", "flaky", &flaky),
            ("instance", "quick", &quick),
        ];
        for (ordering, receiver, inbox) in plan {
            let path = format!("/{name}/{receiver}/{ordering}");
            let mut more = short_retries();
            more["ordering"] = json!(ordering);
            more["concurrency"] = json!(CONCURRENCY);
            hooks.push((api.webhook(&instance, &inbox.url(&path), &more).await, ordering));
        }
        instances.push(instance);
    }

    let stop = Arc::new(AtomicBool::new(false));
    let producers: Vec<_> = (0..PRODUCERS)
        .map(|n| tokio::spawn(produce(pombo.url(), n, dice.u64(..), instances.clone(), Arc::clone(&stop))))
        .collect();
    let mut kills = Vec::new();
    for _ in 0..KILLS {
        tokio::time::sleep(Duration::from_millis(dice.u64(100..900))).await;
        pombo.kill9().await;
        kills.push(Kill { gone_at: Timestamp::now() });
        pombo.start().await;
    }
    stop.store(true, Ordering::Relaxed);
    let mut batches = Vec::new();
    for producer in producers {
        batches.extend(producer.await.unwrap());
    }

    // What was left without an answer is there as a whole or not at all: asked again, it is all old or all new.
    let mut api = pombo.api();
    let mut late = BTreeSet::new();
    let (mut unanswered, mut were_there) = (0, 0);
    for batch in batches.iter_mut().filter(|batch| batch.abandoned) {
        let answer = api.events(&instances[batch.instance], batch.body()).await;
        assert!(answer.accepted == 0 || answer.duplicates == 0, "half of a batch was there: {answer:?}");
        unanswered += 1;
        were_there += u64::from(answer.accepted == 0);
        if answer.accepted > 0 {
            late.extend((batch.first..batch.first + batch.count).map(|number| (batch.producer as u64, number)));
        }
        batch.ids = answer.ids;
    }
    until_true("everything drains", Duration::from_mins(1), async || {
        let mut left = Vec::new();
        for (hook, _) in &hooks {
            left.push(api.unfinished(hook).await);
        }
        (left.iter().all(|count| *count == 0), left)
    })
    .await;
    let receipts: Vec<Receipt> = [good.receipts(), flaky.receipts(), quick.receipts()].concat();
    nothing_is_lost(&batches, &hooks, &receipts);
    let repeated = repeats_are_bounded(&kills, hooks.len() as u64, &receipts);
    for (hook, ordering) in &hooks {
        order_holds(hook, ordering, &late, &receipts);
    }
    let events: u64 = batches.iter().map(|batch| batch.count).sum();
    println!(
        "{events} events in {} requests, {KILLS} kills; {unanswered} left unanswered, {were_there} of them were stored; \
         repeated by each kill: {repeated:?}",
        batches.len()
    );
    assert!(events > 1_000, "too little load to tell: {events} events");
}

/// Each event under one id at each webhook: nothing lost, nothing under a second id.
fn nothing_is_lost(batches: &[Batch], hooks: &[(Hook, &str)], receipts: &[Receipt]) {
    let names = ["crash-a", "crash-b"];
    let mut owed: BTreeSet<Pair> = BTreeSet::new();
    for batch in batches {
        for (hook, _) in hooks.iter().filter(|(hook, _)| hook.instance == names[batch.instance]) {
            owed.extend(batch.ids.iter().map(|id| (hook.path.clone(), id.clone())));
        }
    }
    let difference = compare(&owed, receipts);
    assert!(difference.lost.is_empty() && difference.strange.is_empty(), "{}", difference.summary());
}

/// Answers how many deliveries each kill repeated. A delivery is repeated by a kill or not at all.
fn repeats_are_bounded(kills: &[Kill], webhooks: u64, receipts: &[Receipt]) -> Vec<u64> {
    let mut takings: BTreeMap<(&str, &str), Vec<Timestamp>> = BTreeMap::new();
    for receipt in receipts.iter().filter(|receipt| receipt.is_taken()) {
        takings.entry((&receipt.path, &receipt.webhook_id)).or_default().push(receipt.at);
    }
    let mut repeated = vec![0; kills.len()];
    for (pair, mut times) in takings {
        times.sort_unstable();
        for two in times.windows(2) {
            let between = kills
                .iter()
                .rposition(|kill| kill.gone_at <= two[1] && kill.gone_at.millis() + LATE_NOTE_MS >= two[0].millis());
            let kill = between.unwrap_or_else(|| panic!("{pair:?} was taken twice without a kill between: {two:?}"));
            repeated[kill] += 1;
        }
    }
    let bound = webhooks * CONCURRENCY + EngineConfig::default().max_unsettled as u64;
    let most = repeated.iter().max().copied().unwrap_or_default();
    assert!(most <= bound, "a kill repeated {most} deliveries, the bound is {bound}");
    repeated
}

/// First takings in the order of acceptance: of each chat, or of the whole instance.
fn order_holds(hook: &Hook, ordering: &str, late: &BTreeSet<(u64, u64)>, receipts: &[Receipt]) {
    let mut seen = BTreeSet::new();
    let mut last_of_chat: BTreeMap<String, u64> = BTreeMap::new();
    let mut last_id: Option<&str> = None;
    for receipt in receipts.iter().filter(|receipt| *receipt.path == *hook.path && receipt.is_taken()) {
        if ordering == "none" || !seen.insert(&*receipt.webhook_id) {
            continue;
        }
        let (chat, producer, number) = sequence(receipt);
        // Ids sort as they were given.
        if ordering == "instance" {
            assert!(last_id < Some(&receipt.webhook_id), "{}: {number} of {chat} came too late", hook.path);
            last_id = Some(&receipt.webhook_id);
        }
        if !late.contains(&(producer, number)) {
            let last = last_of_chat.insert(chat.clone(), number);
            assert!(last < Some(number), "{}: of {chat}, {number} came after {last:?}", hook.path);
        }
    }
}
