//! Three replicas on one Redis behind one balancer, with instances that all of them know.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::ensure;
use serde_json::{Map, Value, json};

use super::balancer::Balancer;
use super::node::Node;
use super::receive::Receivers;
use super::redis::{Appendfsync, Redis};
use super::webhooks::SORTS;
use crate::api::{self, Instance};
use crate::client::Client;
use crate::clock;
use crate::engine::TOKEN;

pub const NODES: usize = 3;
/// The balancer looks twice within a second.
const SHUTDOWN_DELAY_S: u32 = 3;
const START_WITHIN: Duration = Duration::from_mins(1);
const KNOWN_WITHIN: Duration = Duration::from_secs(20);

pub struct Cluster {
    // Dropped in this order: nobody complains of a Redis that went first.
    pub balancer: Balancer,
    pub nodes: Vec<Node>,
    pub redis: Redis,
}

impl Cluster {
    pub fn start(program: &Path, folder: &Path, fsync: Appendfsync) -> anyhow::Result<Self> {
        let redis = Redis::start(folder, fsync)?;
        let program = std::path::absolute(program)?;
        let node = |number| Node::new(&program, folder.join(format!("node-{number}")), &redis.url(), SHUTDOWN_DELAY_S);
        let mut nodes = (1..=NODES).map(node).collect::<anyhow::Result<Vec<_>>>()?;
        for node in &mut nodes {
            node.start()?;
        }
        for node in &mut nodes {
            node.wait_until_ready(START_WITHIN)?;
        }
        let balancer = Balancer::start(folder, [nodes[0].addr, nodes[1].addr, nodes[2].addr])?;
        balancer.wait_until_all_up(START_WITHIN)?;
        Ok(Self { balancer, nodes, redis })
    }

    /// Makes the instances with a webhook of each sort, and waits until every node knows them.
    pub fn set_up(&mut self, count: usize, limit: u64, receivers: &Receivers) -> anyhow::Result<Vec<Instance>> {
        let webhooks = |instance: usize| -> Vec<Map<String, Value>> {
            let fields = SORTS.iter().enumerate().map(|(sort, kind)| {
                let mut fields = kind.fields(limit);
                let webhook = instance * SORTS.len() + sort;
                fields.insert("name".into(), json!(kind.name()));
                fields.insert("enabled".into(), json!(true));
                fields.insert("url".into(), json!(format!("http://{}/w{webhook}", receivers.addr)));
                fields
            });
            fields.collect()
        };
        let made = api::set_up(self.nodes[0].addr, TOKEN, count, &webhooks)?;
        let begun = Instant::now();
        for node in &self.nodes {
            let mut client = Client::connect(node.addr, TOKEN)?;
            for instance in &made {
                for webhook in &instance.webhooks {
                    let path = format!("/api/v2/instance/{}/webhook/{webhook}", instance.id);
                    while client.send("GET", &path, b"")?.0 != 200 {
                        ensure!(begun.elapsed() < KNOWN_WITHIN, "{} does not know {path}", node.addr);
                        clock::pause(Duration::from_millis(20));
                    }
                }
            }
        }
        Ok(made)
    }

    /// After a fault that did not go as it should: the next ones find a whole cluster.
    pub fn start_what_is_down(&mut self) -> anyhow::Result<()> {
        if self.redis.is_down() {
            self.redis.start_again()?;
        }
        self.nodes.iter_mut().try_for_each(|node| if node.is_down() { node.start() } else { Ok(()) })
    }

    /// # Errors
    /// When a node has ended that nobody ended.
    pub fn must_run(&mut self) -> anyhow::Result<()> {
        self.nodes.iter_mut().try_for_each(Node::must_run)
    }
}
