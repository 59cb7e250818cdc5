//! What all faults are played on: two nodes around one Redis, instances with an ordered and a plain webhook each, and producers that go
//! on whatever happens. Then everything that was accepted must have come, and service must be back in time.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use pombo::commands::listen::Receipt;
use pombo::domain::{ShardId, Timestamp};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::producer::{Answered, Producer, Record};
use crate::support::api::{Api, Hook, short_retries};
use crate::support::deadline::until_true;
use crate::support::ledger::{self, Difference, Pair};
use crate::support::pombo::{Pombo, TOKEN};
use crate::support::receiver::Inbox;
use crate::support::redis::Redis;

/// Of two nodes each delivers for some of their sixteen webhooks, in all but one of 30 000 runs.
pub const INSTANCES: usize = 8;
/// After the end of a fault everything works again within this.
const RESUMES: Duration = Duration::from_secs(10);
/// No answer takes longer, whatever Redis does: two of its time-outs (a commit that runs and the next), and a busy machine.
const LONGEST_ANSWER: Duration = Duration::from_millis(5_500);
/// Lines of WARN and ERROR of one node over one fault: a few of each place in the code that has a reason to complain.
pub const MOST_LINES: usize = 24;
const SOON: Duration = Duration::from_secs(30);
/// Each is at least one more event of every producer.
const ROUNDS: usize = 8;

/// See the module.
pub struct Scene {
    pub nodes: Vec<Pombo>,
    pub inbox: Inbox,
    pub hooks: Vec<Vec<Hook>>,
    pub record: Record,
    producers: Vec<JoinHandle<()>>,
    stop: Arc<AtomicBool>,
    /// First number of the events to come.
    first: u64,
}

/// A fault that is over.
#[derive(Debug)]
pub struct Fault {
    pub name: &'static str,
    pub begun: Timestamp,
    pub over: Timestamp,
    /// Bytes of each node's log before it.
    logs: Vec<usize>,
}

impl Fault {
    /// It is over now.
    pub fn ends(self) -> Self {
        Self { over: Timestamp::now(), ..self }
    }
}

impl Scene {
    pub async fn on(redis: &Redis) -> Self {
        Self::of(vec![redis.node().await, redis.node().await]).await
    }

    /// With webhooks, and traffic that reaches all of them.
    pub async fn of(nodes: Vec<Pombo>) -> Self {
        let mut scene = Self {
            nodes,
            inbox: Inbox::open().await,
            hooks: Vec::new(),
            record: Record::default(),
            producers: Vec::new(),
            stop: Arc::default(),
            first: 0,
        };
        scene.until_divided().await;
        scene.furnish().await;
        scene.produce();
        scene.until_it_works().await;
        scene
    }

    /// Until every shard is somebody's, and every node has some.
    pub async fn until_divided(&self) {
        let owned = |node: &Pombo| {
            let log = node.stderr();
            let last = log.lines().rfind(|line| line.contains("shards have moved"))?;
            last.rsplit_once("owned=")?.1.trim().parse::<usize>().ok()
        };
        until_true("shards are divided", SOON, async || {
            let owned: Vec<_> = self.nodes.iter().map(|node| owned(node).unwrap_or_default()).collect();
            (owned.iter().sum::<usize>() == ShardId::COUNT && owned.iter().all(|count| *count > 0), owned)
        })
        .await;
    }

    /// Makes the tenants, on the first node.
    pub async fn furnish(&mut self) {
        let mut api = self.nodes[0].api();
        self.hooks.clear();
        for number in 0..INSTANCES {
            let instance = api.tenant(&format!("shop-{number}")).await;
            let mut hooks = Vec::new();
            for ordering in ["chat", "none"] {
                let mut more = short_retries();
                more["ordering"] = json!(ordering);
                let url = self.inbox.url(&format!("/{number}/{ordering}"));
                hooks.push(api.webhook(&instance, &url, &more).await);
            }
            self.hooks.push(hooks);
        }
        // An event is owed to the webhooks that its node knows: all know all before the first is sent.
        for node in &self.nodes {
            let mut api = node.api();
            for hook in self.hooks.iter().flatten() {
                api.get(&Api::path_of(hook, "")).await;
            }
        }
    }

    pub fn produce(&mut self) {
        self.stop = Arc::default();
        for (number, hooks) in self.hooks.iter().enumerate() {
            let producer = Producer {
                number,
                instance: hooks[0].instance.clone(),
                nodes: self.nodes.iter().map(Pombo::url).collect(),
                first: self.first,
                record: Arc::clone(&self.record),
                stop: Arc::clone(&self.stop),
            };
            self.producers.push(tokio::spawn(producer.run()));
        }
    }

    /// Stops when every event that was begun is taken; whoever produces anew begins with other numbers.
    pub async fn stop_producing(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for producer in self.producers.drain(..) {
            producer.await.expect("a producer's events are all taken in the end");
        }
        self.first = self.record.lock().iter().map(|answered| answered.number + 1).max().unwrap_or_default();
    }

    /// Until some more have come everywhere.
    pub async fn until_it_works(&self) {
        for _ in 0..ROUNDS {
            let since = Timestamp::now();
            until_true("all nodes take events and all webhooks get them", SOON, async || {
                let missing = self.not_yet(since, &mut BTreeMap::new());
                (missing.is_empty(), missing)
            })
            .await;
        }
    }

    /// Plays a fault and notes when it was over, which is when `play` is.
    pub async fn fault(&self, name: &'static str, play: impl Future<Output = ()>) -> Fault {
        let fault = self.begins(name);
        play.await;
        fault.ends()
    }

    /// As [`Self::fault`], for one that changes the scene.
    pub fn begins(&self, name: &'static str) -> Fault {
        let logs = self.nodes.iter().map(|node| node.stderr().len()).collect();
        let now = Timestamp::now();
        Fault { name, begun: now, over: now, logs }
    }

    /// Since the fault is over, each node has taken a new event and each webhook got one, all in time; the logs are short.
    pub async fn resumes_after(&self, fault: &Fault) {
        let mut seen = BTreeMap::new();
        until_true("service resumes", SOON, async || {
            let missing = self.not_yet(fault.over, &mut seen);
            (missing.is_empty(), missing)
        })
        .await;
        let last = seen.values().max().copied().unwrap_or_default();
        let lines = self.complaints(fault);
        let most = lines.iter().map(Vec::len).collect::<Vec<_>>();
        println!("{}: back after {last:?} (the last of {}), complaints of nodes {most:?}", fault.name, seen.len());
        assert!(last <= RESUMES, "{}: {seen:?}", fault.name);
        for lines in lines {
            assert!(!lines.iter().any(|line| line.contains("lost its data")), "{}: a false alarm", fault.name);
            let lines: Vec<_> = lines.iter().map(|line| &line[..line.len().min(300)]).collect();
            assert!(lines.len() <= MOST_LINES, "{}: {} lines:\n{}", fault.name, lines.len(), lines.join("\n"));
        }
    }

    /// What has not been seen to work since: nodes and webhooks. Enters in `seen` after how long each of the others did.
    fn not_yet(&self, since: Timestamp, seen: &mut BTreeMap<String, Duration>) -> Vec<String> {
        let answers = self.record.lock().clone();
        let fresh = answers.iter().filter(|answer| answer.status == 202 && answer.asked_at >= since);
        let mut ids: BTreeMap<&str, usize> = BTreeMap::new();
        for answer in fresh {
            let after = answer.at.since(since);
            seen.entry(format!("node {}", answer.node)).and_modify(|first| *first = after.min(*first)).or_insert(after);
            ids.extend(answer.id.as_deref().map(|id| (id, answer.producer)));
        }
        for receipt in self.inbox.receipts().iter().filter(|receipt| receipt.is_taken()) {
            if ids.contains_key(&*receipt.webhook_id) {
                seen.entry(receipt.path.to_string()).or_insert_with(|| receipt.at.since(since));
            }
        }
        let nodes = (0..self.nodes.len()).map(|node| format!("node {node}"));
        let paths = self.hooks.iter().flatten().map(|hook| hook.path.clone());
        nodes.chain(paths).filter(|name| !seen.contains_key(name)).collect()
    }

    /// Lines of WARN and ERROR of each node since the fault began.
    pub fn complaints(&self, fault: &Fault) -> Vec<Vec<String>> {
        let of = |(node, from): (&Pombo, &usize)| {
            let log = node.stderr();
            let since = log.get(*from..).unwrap_or(&log).lines();
            since.filter(|line| line.contains(" WARN ") || line.contains("ERROR ")).map(str::to_owned).collect()
        };
        self.nodes.iter().zip(&fault.logs).map(of).collect()
    }

    /// Stops the traffic and waits until what was accepted has come, but for what `is_excused`; then nothing else must be wrong.
    pub async fn ends_well(self, faults: &[Fault], most_repeats: usize, is_excused: impl Fn(&Answered) -> bool) {
        self.ends_well_but(faults, most_repeats, is_excused, |_| false).await;
    }

    /// As [`Self::ends_well`], where some requests had nobody to answer them.
    pub async fn ends_well_but(
        mut self,
        faults: &[Fault],
        most_repeats: usize,
        is_excused: impl Fn(&Answered) -> bool,
        is_nobodys: impl Fn(&Answered) -> bool,
    ) {
        self.stop_producing().await;
        let answers = self.record.lock().clone();
        let accepted = answers.iter().filter(|answer| answer.status == 202 && !is_excused(answer));
        let owed: BTreeSet<Pair> = accepted.flat_map(|answer| self.owed_for(answer)).collect();
        until_true("everything that was accepted comes", SOON, async || {
            let difference = ledger::compare(&owed, &self.inbox.receipts());
            (
                difference.lost.is_empty(),
                format!("{}; {}", difference.summary(), story(&answers, &difference.lost, faults)),
            )
        })
        .await;
        self.settles().await;
        let receipts = self.inbox.receipts();
        let Difference { repeated, .. } = ledger::compare(&owed, &receipts);
        println!("{} requests, {} deliveries owed, {} repeated", answers.len(), owed.len(), repeated.len());
        assert!(
            repeated.len() <= most_repeats,
            "{} repeated: {:?}",
            repeated.len(),
            &repeated[..repeated.len().min(9)]
        );
        order_holds(&receipts);
        for node in &self.nodes {
            let log = node.stderr();
            assert!(!log.contains("panicked"), "{log}");
            let secrets = self.hooks.iter().flatten().map(|hook| hook.secret.reveal());
            let told: Vec<_> = secrets.chain([TOKEN.to_owned()]).filter(|secret| log.contains(&**secret)).collect();
            assert!(told.is_empty(), "secrets in the log: {log}");
        }
        answers_are_honest(answers.iter().filter(|answer| !is_nobodys(answer)), faults);
    }

    fn owed_for(&self, answer: &Answered) -> Vec<Pair> {
        let id = answer.id.clone().expect("a 202 tells the id");
        self.hooks[answer.producer].iter().map(|hook| (hook.path.clone(), id.clone())).collect()
    }

    /// Nothing is left over on any node's word.
    async fn settles(&self) {
        let mut api = self.nodes[0].api();
        for hook in self.hooks.iter().flatten() {
            until_true("all is settled", SOON, async || {
                let left = api.unfinished(hook).await;
                (left == 0, format!("{}: {left}", hook.path))
            })
            .await;
        }
    }
}

/// How the first of the lost events was answered, by milliseconds since the faults began.
fn story(answers: &[Answered], lost: &[Pair], faults: &[Fault]) -> String {
    let Some((_, id)) = lost.first() else { return String::new() };
    let of = |answer: &&Answered| answer.id.as_ref() == Some(id);
    let Some(taken) = answers.iter().find(of) else { return String::new() };
    let since = faults.first().map_or(0, |fault| fault.begun.millis());
    let after = |at: Timestamp| at.millis() as i64 - since as i64;
    let tries: Vec<_> = answers
        .iter()
        .filter(|answer| (answer.producer, answer.number) == (taken.producer, taken.number))
        .map(|answer| (answer.node, answer.status, after(answer.asked_at), after(answer.at)))
        .collect();
    let faults: Vec<_> = faults.iter().map(|fault| (fault.name, after(fault.begun), after(fault.over))).collect();
    format!("tries (node, status, asked, answered): {tries:?}; faults: {faults:?}")
}

/// First takings at ordered webhooks rise in each chat.
fn order_holds(receipts: &[Receipt]) {
    let (mut seen, mut last) = (BTreeSet::new(), BTreeMap::new());
    for receipt in receipts.iter().filter(|receipt| receipt.is_taken() && receipt.path.ends_with("/chat")) {
        if !seen.insert((&*receipt.path, &*receipt.webhook_id)) {
            continue;
        }
        let body: Value = serde_json::from_slice(&receipt.body).expect("bodies are JSON");
        let data = &body["data"];
        let chat = (receipt.path.clone(), data["keyRemoteJid"].as_str().expect("a chat").to_owned());
        let number = data["number"].as_u64().expect("a number");
        let before = last.insert(chat.clone(), number);
        assert!(before < Some(number), "{chat:?}: {number} came after {before:?}");
    }
}

/// Taken, or refused for a while with a word when to come again; and soon, either way.
fn answers_are_honest<'a>(answers: impl Iterator<Item = &'a Answered>, faults: &[Fault]) {
    for answer in answers {
        let is_right = match answer.status {
            202 => answer.id.is_some(),
            503 => answer.retry_after.is_some_and(|seconds| seconds > 0),
            // Among them no answer at all, and 500.
            _ => false,
        };
        let took = answer.at.since(answer.asked_at);
        let fault = faults.iter().rfind(|fault| fault.begun <= answer.at).map(|fault| fault.name);
        assert!(is_right && took < LONGEST_ANSWER, "after {took:?}, {fault:?}: {answer:?}");
    }
}
