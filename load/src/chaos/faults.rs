//! What is done to the cluster, in which order, and to whom: decided by a seed.

use std::time::{Duration, Instant};

use clap::ValueEnum;
use rustix::process::Signal;
use serde::Serialize;

use super::cluster::Cluster;
use super::redis::Appendfsync;
use crate::clock;

/// Of the engine.
const LEASE: Duration = Duration::from_secs(5);
/// The engine's own grace is 30 s.
const END_WITHIN: Duration = Duration::from_secs(45);
/// For one that starts beside other work.
const READY_WITHIN: Duration = Duration::from_secs(30);

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fault {
    /// A replica is killed with -9 and started again
    Kill,
    /// A replica is stopped (SIGSTOP) for longer than its lease and continued
    Stop,
    /// Redis is ended (SIGTERM) and started again
    Redis,
    /// Redis is killed with -9 and started again; loses nothing only with `--appendfsync always`
    RedisKill,
    /// A replica is ended gracefully and started again
    Roll,
}

impl Fault {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Kill => "kill -9",
            Self::Stop => "stop, continue",
            Self::Redis => "redis restart",
            Self::RedisKill => "redis kill -9",
            Self::Roll => "roll",
        }
    }

    /// Those that this durability promises to survive.
    pub fn usual(fsync: Appendfsync) -> Vec<Self> {
        let mut faults = vec![Self::Kill, Self::Stop, Self::Redis, Self::Roll];
        faults.extend((fsync == Appendfsync::Always).then_some(Self::RedisKill));
        faults
    }

    pub const fn is_of_a_node(self) -> bool {
        matches!(self, Self::Kill | Self::Stop | Self::Roll)
    }

    /// Whether nothing can go on before it is over; the others have nodes that can.
    pub const fn stops_all(self) -> bool {
        matches!(self, Self::Redis | Self::RedisKill)
    }

    /// Whether a process loses what it had in memory, or its leases.
    pub const fn may_repeat(self) -> bool {
        !matches!(self, Self::Roll)
    }
}

/// One of the plan.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Planned {
    pub fault: Fault,
    pub node: Option<usize>,
    /// How long it lasts.
    pub lasts: Duration,
    /// After the beginning of its time.
    pub after: Duration,
}

/// `count` faults: every kind once in random order, then again.
pub fn plan(kinds: &[Fault], count: usize, nodes: usize, seed: u64) -> Vec<Planned> {
    let mut dice = fastrand::Rng::with_seed(seed);
    let mut planned = Vec::new();
    while planned.len() < count && !kinds.is_empty() {
        let mut order = kinds.to_vec();
        dice.shuffle(&mut order);
        for fault in order {
            let node = dice.usize(0..nodes);
            let millis = match fault {
                Fault::Kill => dice.u64(200..3_000),
                Fault::Stop => LEASE.as_millis() as u64 + dice.u64(1_000..3_000),
                // Sometimes longer than a lease: then nobody owns anything until it is back.
                Fault::Redis | Fault::RedisKill => dice.u64(100..7_000),
                Fault::Roll => 0,
            };
            planned.push(Planned {
                fault,
                node: fault.is_of_a_node().then_some(node),
                lasts: Duration::from_millis(millis),
                after: Duration::from_millis(dice.u64(0..1_000)),
            });
        }
    }
    planned.truncate(count);
    planned
}

/// Does it and heals it; back when every node says that it is ready. Answers how long the process that ended took to end.
pub fn inject(cluster: &mut Cluster, planned: &Planned) -> anyhow::Result<Option<Duration>> {
    let mut ended_within = None;
    let begun = Instant::now();
    let last = || clock::pause(planned.lasts.saturating_sub(begun.elapsed()));
    let node = planned.node.unwrap_or_default();
    match planned.fault {
        Fault::Kill => {
            cluster.nodes[node].kill();
            last();
            cluster.nodes[node].start()?;
        }
        Fault::Stop => {
            cluster.nodes[node].signal(Signal::STOP)?;
            last();
            cluster.nodes[node].signal(Signal::CONT)?;
        }
        Fault::Redis => {
            cluster.redis.end()?;
            last();
            cluster.redis.start_again()?;
        }
        Fault::RedisKill => {
            cluster.redis.kill();
            last();
            cluster.redis.start_again()?;
        }
        Fault::Roll => {
            ended_within = Some(cluster.nodes[node].end(END_WITHIN)?);
            cluster.nodes[node].start()?;
        }
    }
    for node in &mut cluster.nodes {
        node.wait_until_ready(READY_WITHIN)?;
    }
    cluster.balancer.wait_until_all_up(READY_WITHIN)?;
    Ok(ended_within)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_has_every_kind_before_it_repeats_one_and_is_the_same_for_a_seed() {
        let kinds = Fault::usual(Appendfsync::Always);
        let told =
            |seed| plan(&kinds, 7, 3, seed).iter().map(|one| (one.fault, one.node, one.lasts)).collect::<Vec<_>>();
        let faults = told(4);
        assert_eq!(faults.len(), 7);
        assert!(kinds.iter().all(|kind| faults[..5].iter().any(|(fault, ..)| fault == kind)), "{faults:?}");
        assert_eq!(faults, told(4));
        assert!((0..20).any(|seed| told(seed) != faults));
    }

    #[test]
    fn a_stopped_node_loses_its_lease() {
        let all = (0..50).flat_map(|seed| plan(&[Fault::Stop], 2, 3, seed));
        assert!(all.into_iter().all(|planned| planned.lasts > LEASE && planned.node.is_some()));
    }
}
