//! The run itself: load begins, one fault after the other comes and heals, load ends, everything settles.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use serde::Serialize;

use super::balancer::Counted;
use super::cluster::Cluster;
use super::faults::{self, Planned};
use super::judge::{self, Lost};
use super::logs::{self, Marks};
use super::produce::{Order, Producer, Sent};
use super::receive::{Arrival, Receivers};
use super::webhooks::{PERIOD_MS, SORTS};
use super::{CALM_S, ClusterArgs};
use crate::client::Client;
use crate::clock;
use crate::engine::TOKEN;

/// Of a failed event, before the producer gives it up.
const LAST_TRIES: Duration = Duration::from_secs(20);
/// Between the healing of a fault and the next fault.
const HEALED: Duration = Duration::from_secs(2);
const LISTEN_ON: Duration = Duration::from_millis(1_500);
const LOOK_EVERY: Duration = Duration::from_millis(100);
const TOLD: usize = 5;

/// A piece of the run: before the first fault, or from a fault to the next.
#[derive(Clone, Debug, Serialize)]
pub struct Phase {
    pub name: String,
    pub planned: Option<Planned>,
    pub begun: u64,
    /// When every replica was ready again.
    pub healed: u64,
    /// How long the process that was asked to end took.
    pub ended_within: Option<Duration>,
}

/// Everything that was seen.
pub struct Played {
    pub sent: Vec<Sent>,
    pub arrivals: Vec<Arrival>,
    pub strange: u64,
    pub unsigned: u64,
    pub longest_stall: Duration,
    pub phases: Vec<Phase>,
    pub load_begun: u64,
    pub load_ended: u64,
    /// When nothing was missing any more, or nothing came any more.
    pub settled: u64,
    pub marks: Vec<Marks>,
    pub logs: Vec<PathBuf>,
    pub limit: u64,
    pub balancer: Counted,
    /// What the cluster says of the first lost deliveries.
    pub told: Vec<String>,
    /// What went wrong beside the ledgers.
    pub failures: Vec<String>,
}

pub fn play(program: &Path, folder: &Path, args: &ClusterArgs, planned: &[Planned]) -> anyhow::Result<Played> {
    let receivers = Receivers::start(args.instances * SORTS.len())?;
    let mut cluster = Cluster::start(program, folder, args.appendfsync)?;
    // Less than what is sent: the lane is at its limit all the time, also when another node takes it over.
    let limit = (0.85 * args.rate / args.instances as f64 * PERIOD_MS as f64 / 1_000.0).ceil() as u64;
    let instances = cluster.set_up(args.instances, limit, &receivers).context("setting up")?;
    let logs: Vec<PathBuf> = cluster.nodes.iter().map(super::node::Node::log).collect();
    let mut failures = Vec::new();
    let before = cluster.balancer.counted()?;
    let order = Order {
        balancer: cluster.balancer.addr,
        instances: instances.iter().map(|instance| instance.id.clone()).collect(),
        chats: args.chats,
        rate: args.rate,
        // Each chat belongs to one connection.
        connections: args.connections.min(args.instances * args.chats as usize),
    };
    let producer = Producer::start(order)?;
    let load_begun = producer.begun;
    let calm = Phase { name: "calm".into(), planned: None, begun: load_begun, healed: load_begun, ended_within: None };
    let (mut phases, mut marks) = (vec![calm], vec![logs::mark(&logs)]);

    let slot = (args.seconds - 2.0 * CALM_S).max(0.0) / planned.len().max(1) as f64;
    for (number, fault) in planned.iter().enumerate() {
        let due = load_begun + ((CALM_S + slot * number as f64) * 1e9) as u64 + fault.after.as_nanos() as u64;
        wait_until(due.max(clock::now() + HEALED.as_nanos() as u64));
        failures.extend(cluster.must_run().err().map(|error| format!("{error:#}")));
        marks.push(logs::mark(&logs));
        let name = fault.node.map_or_else(String::new, |node| format!(" node {}", node + 1));
        let name = format!("{}{name}", fault.fault.name());
        let begun = clock::now();
        eprintln!("{:6.1} s  {name}", (begun - load_begun) as f64 / 1e9);
        let ended_within = faults::inject(&mut cluster, fault).with_context(|| name.clone());
        let healed = clock::now();
        let ended_within = ended_within.unwrap_or_else(|error| {
            failures.push(format!("{error:#}"));
            failures.extend(cluster.start_what_is_down().err().map(|error| format!("{error:#}")));
            None
        });
        phases.push(Phase { name, planned: Some(*fault), begun, healed, ended_within });
    }
    wait_until((load_begun + (args.seconds * 1e9) as u64).max(clock::now() + HEALED.as_nanos() as u64));
    let load_ended = clock::now();
    let sent = producer.end(LAST_TRIES)?;

    let owed = sent.iter().filter(|event| event.accepted.is_some()).count() * SORTS.len();
    settle(&receivers, owed, Duration::from_secs_f64(args.settle));
    let settled = clock::now();
    // Whether something comes again.
    clock::pause(LISTEN_ON);
    failures.extend(cluster.must_run().err().map(|error| format!("{error:#}")));
    let ledger = receivers.ledger();
    let (arrivals, strange, unsigned) = (ledger.arrivals.clone(), ledger.strange, ledger.unsigned);
    let longest_stall = ledger.longest_stall;
    drop(ledger);
    // For whoever wants to look closer at a run that is kept.
    std::fs::write(folder.join("ledgers.json"), serde_json::to_vec(&(load_begun, &sent, &arrivals))?)?;
    let lost = judge::lost(&sent, &judge::firsts(&arrivals));
    let told = lost.iter().take(TOLD).map(|lost| timeline(&cluster, &instances, lost)).collect();
    let balancer = cluster.balancer.counted()?.since(&before);
    for (number, node) in (1..).zip(&mut cluster.nodes) {
        let ended = node.end(Duration::from_secs(45)).with_context(|| format!("ending node {number}"));
        failures.extend(ended.err().map(|error| format!("{error:#}")));
    }
    Ok(Played {
        sent,
        arrivals,
        strange,
        unsigned,
        longest_stall,
        phases,
        load_begun,
        load_ended,
        settled,
        marks,
        logs,
        limit,
        balancer,
        told,
        failures,
    })
}

fn wait_until(at: u64) {
    clock::pause(Duration::from_nanos(at.saturating_sub(clock::now())));
}

/// Until `owed` deliveries have arrived, or none has for `patience`.
fn settle(receivers: &Receivers, owed: usize, patience: Duration) {
    let (mut seen, mut last_news) = (receivers.ledger().delivered(), Instant::now());
    while seen < owed && last_news.elapsed() < patience {
        clock::pause(LOOK_EVERY);
        let now = receivers.ledger().delivered();
        if now > seen {
            (seen, last_news) = (now, Instant::now());
        }
    }
}

/// What the cluster says became of a delivery that did not arrive.
fn timeline(cluster: &Cluster, instances: &[crate::api::Instance], lost: &Lost) -> String {
    let instance = &instances[lost.event.instance];
    let webhook = &instance.webhooks[lost.webhook % SORTS.len()];
    let path = format!("/api/v2/instance/{}/webhook/{webhook}/deliveries/{}", instance.id, lost.event.id);
    let answer = Client::connect(cluster.nodes[0].addr, TOKEN).and_then(|mut client| client.send("GET", &path, b""));
    match answer {
        Ok((status, body)) => format!("GET {path}: {status} {}", String::from_utf8_lossy(&body)),
        Err(error) => format!("GET {path}: {error:#}"),
    }
}
