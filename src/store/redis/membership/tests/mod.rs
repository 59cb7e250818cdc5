//! Several nodes on a real Redis: each has a store of its own, as another process would.

mod division;
mod weather;

use std::collections::HashMap;
use std::time::Instant;

use super::*;
use crate::domain::EventId;
use crate::store::contract::fixtures::{appended, event_id, settle};
use crate::store::redis::testing::Server;
use crate::store::redis::{RedisConfig, RedisStore};
use crate::store::{Next, Store as _};

const LEASE: Duration = Duration::from_millis(400);
/// Far more than anything here takes, also on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

struct Node {
    store: RedisStore,
    member: RedisMembership,
    events: mpsc::Receiver<ClusterEvent>,
}

async fn store(server: &Server) -> RedisStore {
    let config = RedisConfig { many_nodes: true, timeout: LEASE / 2, ..RedisConfig::new(server.url()) };
    RedisStore::open(config).await.unwrap()
}

fn config(name: &str) -> MembershipConfig {
    let look_again = Duration::from_hours(1);
    MembershipConfig { lease: LEASE, hand_over: Duration::from_millis(100), look_again, ..MembershipConfig::new(name) }
}

impl Node {
    async fn join(server: &Server, name: &str) -> Self {
        Self::join_as(server, config(name)).await
    }

    async fn join_as(server: &Server, config: MembershipConfig) -> Self {
        let store = store(server).await;
        let member = RedisMembership::start(&store, config).await.unwrap();
        let events = member.take_events().expect("nobody else takes them");
        assert!(member.take_events().is_none());
        Self { store, member, events }
    }

    fn owned(&self) -> Vec<ShardId> {
        self.member.leases().owned(Instant::now()).collect()
    }

    /// What this node should own among `nodes`.
    fn share(&self, nodes: &[&Self]) -> Vec<ShardId> {
        let ids: Vec<_> = nodes.iter().map(|node| node.member.node()).collect();
        let mine = Some(self.member.node());
        ShardId::all().filter(|shard| crate::cluster::owner_of(*shard, &ids) == mine).collect()
    }

    /// The next event that is like this.
    async fn told(&mut self, what: impl Fn(&ClusterEvent) -> bool) -> ClusterEvent {
        let wait = async {
            loop {
                let event = self.events.recv().await.expect("the member lives");
                if what(&event) {
                    return event;
                }
            }
        };
        tokio::time::timeout(PATIENCE, wait).await.expect("it is never told")
    }

    async fn tokens(&self) -> HashMap<usize, u64> {
        let view = self.member.view().await.unwrap();
        view.shards.into_iter().filter_map(|shard| Some((shard.shard, shard.token?))).collect()
    }
}

async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "{what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Waits until each of `nodes` owns its share and no more, and so all shards exactly once.
async fn divided(nodes: &[&Node]) {
    until("the shards are not divided", || nodes.iter().all(|node| node.owned() == node.share(nodes))).await;
    assert_eq!(nodes.iter().map(|node| node.owned().len()).sum::<usize>(), ShardId::COUNT);
}

fn words(words: &[&str]) -> redis::Cmd {
    let mut command = redis::cmd(words[0]);
    words[1..].iter().for_each(|word| drop(command.arg(*word).get_packed_command()));
    command
}

/// A settlement of a delivery in `shard`, by `node`.
async fn settles(node: &Node, shard: ShardId, number: u128) -> Result<(), StoreError> {
    let webhook = shard.webhook_id();
    let id: EventId = event_id(1, number);
    let entry = appended(&node.store, webhook, id).await;
    node.store.settle(vec![settle(entry, Next::Delivered)]).await
}
