//! The main job: recorded traffic of twenty instances through the real `emit` and the real engine to sixty webhooks of
//! all formats. Every event reaches every webhook that wants it exactly once, whatever other receivers do.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use pombo::commands::listen::{Receipt, Script};
use pombo::domain::EventKind;
use serde_json::{Value, json};

use crate::support::api::{Api, Hook, short_retries};
use crate::support::deadline::until_true;
use crate::support::events::{self, Event};
use crate::support::ledger::{self, Pair};
use crate::support::nasty::{Manner, Nasty, dead_url};
use crate::support::oracle::{self, FORMATS, Wants};
use crate::support::pombo::{Pombo, Setup, TOKEN};
use crate::support::receiver::Inbox;
use crate::support::{command, signature};

const INSTANCES: usize = 20;
const WEBHOOKS: usize = 3;
const PREFIX: &str = "shop-";
/// From the last acceptance to the last settlement.
const PATIENCE: Duration = Duration::from_secs(45);

/// A webhook, what it is set to want, and in which order.
struct Station {
    hook: Hook,
    instance: usize,
    wants: Wants,
    ordering: &'static str,
}

/// Sixty webhooks: three formats for each instance, with flags and filters that differ.
fn plan(instance: usize, webhook: usize, events: &[Event]) -> (Wants, &'static str) {
    let format = FORMATS[(instance + webhook) % FORMATS.len()];
    let mut wants = Wants { format, ..Wants::default() };
    let own = || events.iter().filter(|event| event.instance == instance);
    let chat = |nth: usize| {
        let chats = own().filter_map(|event| {
            oracle::chat(event, &serde_json::from_str(&event.data).expect("recorded data is JSON"))
        });
        chats.collect::<BTreeSet<String>>().into_iter().nth(nth).expect("an instance has several chats")
    };
    match (webhook, instance % 4) {
        (1, 0) => wants.ignore_groups = true,
        (1, 1) => wants.only_chats = (0..20).map(chat).collect(),
        (1, 2) => wants.ignore_chats = (0..10).map(chat).collect(),
        (2, 0) => wants.without = vec!["presence.update", "qrcode.updated", "messages.set"],
        (2, 1) => wants.without = vec!["messages.update"],
        (2, 2) => {
            let wanted = ["messages.upsert", "send.message"];
            wants.without = EventKind::ALL.map(EventKind::wire).into_iter().filter(|k| !wanted.contains(k)).collect();
        }
        _ => {}
    }
    let ordering = match (webhook, instance % 5) {
        (0, 0) => "chat",
        (0, 1) => "instance",
        _ => "none",
    };
    (wants, ordering)
}

async fn set_up(api: &mut Api, inboxes: &[Inbox], recorded: &[Event], in_line: bool) -> Vec<Station> {
    let business = api.business("Acme").await;
    let mut stations = Vec::new();
    for instance in 0..INSTANCES {
        let name = api.instance(&business, &format!("{PREFIX}{instance}")).await;
        for (webhook, inbox) in inboxes.iter().enumerate() {
            let (wants, ordering) = plan(instance, webhook, recorded);
            let ordering = if ordering == "instance" && !in_line { "chat" } else { ordering };
            let mut more = short_retries();
            more["format"] = json!(wants.format);
            more["filter"] = wants.filter();
            more["ordering"] = json!(ordering);
            let hook = api.webhook(&name, &inbox.url(&format!("/{instance}/{webhook}")), &more).await;
            if !wants.without.is_empty() {
                let off = wants.without.iter().map(|kind| EventKind::parse(kind).expect("a kind").flag());
                let flags: Value =
                    off.map(|flag| (flag.to_owned(), json!(false))).collect::<serde_json::Map<_, _>>().into();
                api.call("PATCH", &Api::path_of(&hook, "/events"), &flags).await;
            }
            stations.push(Station { hook, instance, wants, ordering });
        }
    }
    stations
}

/// Emits the recorded traffic; the events by our ids.
async fn emit(pombo: &Pombo, recorded: &[Event]) -> HashMap<String, Event> {
    let ids = command::emit(&pombo.url(), TOKEN, &events::file(), PREFIX, &["--batch", "25"]).await;
    assert_eq!(ids.len(), recorded.len(), "every line is accepted");
    let by_client: HashMap<&str, &Event> = recorded.iter().map(|event| (event.id.as_str(), event)).collect();
    let known: HashMap<String, Event> = ids.into_iter().map(|(ours, id)| (ours, by_client[&*id].clone())).collect();
    assert_eq!(known.len(), recorded.len(), "every id is new");
    known
}

async fn drained(api: &mut Api, hooks: impl IntoIterator<Item = &Hook>, within: Duration) {
    let end = tokio::time::Instant::now() + within;
    for hook in hooks {
        let left = end.saturating_duration_since(tokio::time::Instant::now());
        until_true(&format!("all deliveries to {} have ended", hook.path), left, async || {
            let stats = api.stats(hook).await;
            (stats["unfinished"] == 0, stats)
        })
        .await;
    }
}

/// Holds what the receivers got against what they are owed.
async fn settle_accounts(api: &mut Api, stations: &[Station], inboxes: &[Inbox], sent: &HashMap<String, Event>) {
    let by_path: BTreeMap<&str, &Station> =
        stations.iter().map(|station| (station.hook.path.as_str(), station)).collect();
    let owed: BTreeSet<Pair> = stations
        .iter()
        .flat_map(|station| {
            let own = sent.iter().filter(|(_, event)| event.instance == station.instance);
            own.filter(|(_, event)| station.wants.takes(event)).map(|(id, _)| (station.hook.path.clone(), id.clone()))
        })
        .collect();
    let receipts: Vec<Receipt> = inboxes.iter().flat_map(Inbox::receipts).collect();
    let found = ledger::compare(&owed, &receipts);
    assert!(found.repeated.is_empty() && found.strange.is_empty(), "{}", found.summary());
    for (path, id) in &found.lost {
        let (station, event) = (by_path[path.as_str()], &sent[id]);
        let timeline = api.timeline(&station.hook, id).await;
        let excused = oracle::may_be_superseded(&event.kind) && timeline["status"] == "superseded";
        assert!(excused, "{path} never took {} {}: {timeline}", event.kind, event.id);
    }
    assert!(owed.len() > 8_000 && found.lost.len() < owed.len() / 20, "owed {}, {}", owed.len(), found.summary());

    let mut seen_formats = BTreeSet::new();
    for receipt in &receipts {
        let station = by_path[&*receipt.path];
        signature::verify(receipt, &station.hook.secret);
        assert_eq!(receipt.headers["x-instanceid"], *station.hook.instance);
        oracle::check_body(station.wants.format, &sent[&*receipt.webhook_id], &station.hook.instance, &receipt.body);
        seen_formats.insert(station.wants.format);
    }
    assert_eq!(seen_formats.len(), FORMATS.len());
    for station in stations {
        check_order(station, sent, &receipts);
        let owed = owed.iter().filter(|(path, _)| *path == station.hook.path).count();
        let [delivered, superseded, dead] = count(api, &station.hook).await;
        assert_eq!((delivered + superseded, dead), (owed, 0), "{} of the deliveries API", station.hook.path);
    }
}

/// Delivered, superseded, dead: as the deliveries API lists them.
async fn count(api: &mut Api, hook: &Hook) -> [usize; 3] {
    let mut counts = [0; 3];
    for (count, status) in counts.iter_mut().zip(["delivered", "superseded", "dead"]) {
        *count = api.deliveries(hook, status).await.len();
    }
    counts
}

/// Live events of one key (history comes when nothing live is due, by design).
fn check_order(station: &Station, sent: &HashMap<String, Event>, receipts: &[Receipt]) {
    let mut lines: BTreeMap<String, Vec<(&str, &str)>> = BTreeMap::new();
    for (id, event) in sent.iter().filter(|(_, event)| event.instance == station.instance) {
        let chat = oracle::chat(event, &serde_json::from_str(&event.data).expect("recorded data is JSON"));
        let key = match (station.ordering, chat) {
            ("instance", _) => "all".to_owned(),
            ("chat", Some(chat)) => chat,
            _ => continue,
        };
        if event.kind.split('.').next_back() != Some("set") {
            lines.entry(key).or_default().push((&event.id, id));
        }
    }
    for (key, mut line) in lines {
        // The callers' ids count up in the order of the file.
        line.sort_unstable();
        let expected: Vec<String> = line.into_iter().map(|(_, id)| id.to_owned()).collect();
        let wrong = ledger::out_of_order(&expected, receipts, &station.hook.path);
        assert!(wrong.is_empty(), "{} {key}: out of order: {wrong:?}", station.hook.path);
    }
}

async fn open_inboxes(script: &Script) -> Vec<Inbox> {
    let mut inboxes = Vec::new();
    for _ in 0..WEBHOOKS {
        inboxes.push(Inbox::with(script.clone()).await);
    }
    inboxes
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_event_reaches_every_webhook_that_wants_it_once_with_its_data_to_the_byte() {
    let (pombo, recorded) = (Pombo::new().await, events::read());
    let mut api = pombo.api();
    let inboxes = open_inboxes(&Script::default()).await;
    let stations = set_up(&mut api, &inboxes, &recorded, true).await;
    let sent = emit(&pombo, &recorded).await;
    drained(&mut api, stations.iter().map(|station| &station.hook), PATIENCE).await;
    settle_accounts(&mut api, &stations, &inboxes, &sent).await;
    // What is not owed can be explained as well.
    for station in stations.iter().filter(|station| station.instance == 0) {
        let own = sent.iter().filter(|(_, event)| event.instance == 0);
        for (id, event) in own.filter(|(_, event)| !station.wants.takes(event)) {
            let timeline = api.timeline(&station.hook, id).await;
            assert_eq!(timeline["status"], "held_back", "{} {}", station.hook.path, event.kind);
        }
    }
    // The same file again changes nothing: the callers' ids are known.
    let before: usize = inboxes.iter().map(Inbox::len).sum();
    let again = command::emit(&pombo.url(), TOKEN, &events::file(), PREFIX, &[]).await;
    assert!(again.iter().all(|(ours, _)| sent.contains_key(ours)), "a repeat gets the first answer's ids");
    drained(&mut api, stations.iter().map(|station| &station.hook), PATIENCE).await;
    assert_eq!(inboxes.iter().map(Inbox::len).sum::<usize>(), before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn receivers_that_fail_a_tenth_of_their_requests_still_take_everything_once() {
    let (pombo, recorded) = (Pombo::new().await, events::read());
    let mut api = pombo.api();
    let inboxes = open_inboxes(&Script { fail_rate: 0.1, ..Script::default() }).await;
    // One line for a whole instance would wait a second at every tenth event: lines of chats only.
    let stations = set_up(&mut api, &inboxes, &recorded, false).await;
    let sent = emit(&pombo, &recorded).await;
    drained(&mut api, stations.iter().map(|station| &station.hook), PATIENCE).await;
    settle_accounts(&mut api, &stations, &inboxes, &sent).await;
    let refused: u64 = inboxes.iter().map(|inbox| inbox.receiver.counts().refused).sum();
    assert!(refused > 500, "the receivers did fail: {refused}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dead_hanging_dripping_and_endless_receivers_take_nothing_from_the_others_and_lose_nothing_themselves() {
    let recorded = events::read();
    let pombo = Setup::default().set("POMBO_MAX_RESPONSE_MS", "300").start().await;
    let mut api = pombo.api();
    let inboxes = open_inboxes(&Script::default()).await;
    let stations = set_up(&mut api, &inboxes, &recorded, true).await;
    let hanging = Nasty::start(Manner::Hanging).await;
    let dripping = Nasty::start(Manner::DrippingBody).await;
    let endless = Nasty::start(Manner::EndlessBody).await;
    let (mut lost_causes, mut slow_ones) = (Vec::new(), Vec::new());
    for instance in 0..4 {
        let name = format!("{PREFIX}{instance}");
        let more = json!({ "timeoutMs": 500, "retry": { "scheduleSeconds": [1, 1] } });
        for url in [dead_url("/dead"), hanging.url("/hanging")] {
            lost_causes.push((instance, api.webhook(&name, &url, &more).await));
        }
        for url in [dripping.url("/dripping"), endless.url("/endless")] {
            slow_ones.push((instance, api.webhook(&name, &url, &more).await));
        }
    }
    let sent = emit(&pombo, &recorded).await;
    drained(&mut api, stations.iter().map(|station| &station.hook), PATIENCE).await;
    settle_accounts(&mut api, &stations, &inboxes, &sent).await;

    // An answer of 200 counts, whatever its body does; without one the delivery is kept.
    drained(&mut api, slow_ones.iter().map(|(_, hook)| hook), PATIENCE).await;
    let everything = Wants { format: "codechat", ..Wants::default() };
    for (instance, hook) in slow_ones.iter().chain(&lost_causes) {
        let owed = sent.values().filter(|event| event.instance == *instance && everything.takes(event)).count();
        let [delivered, superseded, dead] = count(&mut api, hook).await;
        let listed = api.deliveries(hook, "").await.len();
        assert_eq!(listed, owed, "{}: every delivery is somewhere", hook.path);
        if lost_causes.iter().any(|(_, lost)| lost.id == hook.id) {
            assert_eq!(delivered, 0, "{}", hook.path);
        } else {
            assert_eq!((delivered + superseded, dead), (owed, 0), "{}", hook.path);
        }
    }
    assert!(hanging.requests() > 0 && dripping.requests() > 0 && endless.requests() > 0);
}
