//! Membership of several nodes on one Redis.
//!
//! - Each node tells Redis every quarter of a lease that it lives, and renews its leases: one script call. All times that nodes
//!   compare are Redis's, so their own clocks do not matter.
//! - A lease is the shard's `owner` key, `<node>:<token>`, with a time to live: settlements are fenced by it, so an owner whose lease
//!   has ended settles nothing even before there is another. A node counts on a lease for a tenth less than Redis does.
//! - Live nodes divide the shards ([`owner_of`](crate::cluster::owner_of)). A node that should not have a shard any more starts nothing
//!   of it, waits a bounded time for what is in flight, and lets go. One that crashed loses its shards when their leases end.
//! - After a failover two nodes may think they own a shard, until the next tick: only one of them can settle.
//!
//! Keys: behind the directory's beginning `nodes` (by when they count as gone) and `about`; behind a shard's `owner` and `token`.

mod heartbeat;
mod lease;
mod member;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};

use self::heartbeat::{About, Ask, Heartbeat, Mode};
use self::member::{Command, Member};
use super::RedisStore;
use crate::cluster::{ClusterError, ClusterEvent, ClusterView, Leases, Membership, NodeId, NodeView, ShardView};
use crate::domain::ShardId;
use crate::store::StoreError;

/// How a node takes part.
#[derive(Clone, Debug)]
pub struct MembershipConfig {
    /// For operators, e.g. the host's name. Need not be unique.
    pub name: String,
    /// Where operators reach this node, if anywhere.
    pub address: Option<String>,
    /// A crashed node's shards are taken over after about so long. At least twice the time-out of the store's requests; the same
    /// on all nodes, or nearly.
    pub lease: Duration,
    /// How long a shard that goes to another node waits for what is in flight.
    pub hand_over: Duration,
    /// Between two [`ClusterEvent::LookAgain`].
    pub look_again: Duration,
}

impl MembershipConfig {
    /// The defaults, under this name.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        let (lease, hand_over) = (Duration::from_secs(5), Duration::from_secs(3));
        Self { name: name.into(), address: None, lease, hand_over, look_again: Duration::from_secs(15) }
    }

    /// Between two signs of life.
    fn beat(&self) -> Duration {
        self.lease / 4
    }

    /// Between two ticks while shards move, and after one that failed.
    fn haste(&self) -> Duration {
        (self.lease / 16).max(Duration::from_millis(20))
    }

    /// This node counts on a lease for so long.
    fn term(&self) -> Duration {
        self.lease * 9 / 10
    }
}

/// See the module. Dropped without [`Membership::leave`] it is as if the node had crashed.
#[derive(Debug)]
pub struct RedisMembership {
    heartbeat: Arc<Heartbeat>,
    leases: Arc<Leases>,
    events: Mutex<Option<mpsc::Receiver<ClusterEvent>>>,
    commands: mpsc::UnboundedSender<Command>,
}

/// Events that wait for whoever takes them; more wait with the member.
const QUEUE: usize = 256;

impl RedisMembership {
    /// Registers this node and keeps its leases in a task of the current runtime, which must not be kept busy by others for long.
    ///
    /// # Errors
    /// When Redis does not answer.
    pub async fn start(store: &RedisStore, config: MembershipConfig) -> Result<Self, StoreError> {
        let about = About {
            name: config.name.clone(),
            address: config.address.clone(),
            version: env!("CARGO_PKG_VERSION").into(),
            lease_ms: u64::try_from(config.lease.as_millis()).unwrap_or(u64::MAX),
            started_at: None,
        };
        let (node, leases) = (NodeId::random(), Arc::new(Leases::none()));
        let heartbeat = Arc::new(Heartbeat::new(Arc::clone(&store.shared), node, about, config.lease));
        let first = Arc::clone(&heartbeat).tick_at(Mode::Beat, Vec::new()).await;
        first.told.as_ref().map_err(Clone::clone)?;
        let (sender, events) = mpsc::channel(QUEUE);
        let (commands, orders) = mpsc::unbounded_channel();
        let member = Member::new(Arc::clone(&heartbeat), Arc::clone(&leases), config, store.listen(), sender);
        tokio::spawn(member.run(first, orders));
        Ok(Self { heartbeat, leases, events: Mutex::new(Some(events)), commands })
    }

    /// This node's name among nodes.
    pub fn node(&self) -> NodeId {
        self.heartbeat.node
    }

    /// What this node owns.
    pub fn leases(&self) -> Arc<Leases> {
        Arc::clone(&self.leases)
    }
}

impl Membership for RedisMembership {
    fn take_events(&self) -> Option<mpsc::Receiver<ClusterEvent>> {
        self.events.lock().take()
    }

    fn handed_over(&self, shard: ShardId) {
        // A member that has ended has let go of everything.
        let _ended = self.commands.send(Command::HandedOver(shard));
    }

    fn leave(&self, patience: Duration) -> BoxFuture<'_, ()> {
        let (done, left) = oneshot::channel();
        let _ended = self.commands.send(Command::Leave(patience, done));
        async move { left.await.unwrap_or_default() }.boxed()
    }

    fn view(&self) -> BoxFuture<'_, Result<ClusterView, ClusterError>> {
        async {
            let asks: Vec<_> = ShardId::all().map(|shard| (shard, Ask::Look)).collect();
            let told = self.heartbeat.tick(Mode::Read, &asks).await.map_err(|error| ClusterError(error.to_string()))?;
            let mut owned: HashMap<NodeId, usize> = HashMap::new();
            let mut shards = Vec::with_capacity(asks.len());
            for ((shard, _), answer) in asks.iter().zip(&told.answers) {
                let lease = answer
                    .text
                    .split_once(':')
                    .and_then(|(node, token)| Some((node.parse::<NodeId>().ok()?, token.parse::<u64>().ok()?)));
                if let Some((owner, _)) = lease {
                    *owned.entry(owner).or_default() += 1;
                }
                shards.push(ShardView {
                    shard: shard.index(),
                    owner: lease.map(|(owner, _)| owner),
                    token: lease.map(|(_, token)| token),
                    lease_until: lease.map(|_| told.now.after(Duration::from_millis(answer.number))),
                });
            }
            let mut nodes: Vec<_> = told
                .peers
                .into_iter()
                .map(|peer| {
                    let last_seen_at = peer.gone_at.before(Duration::from_millis(peer.about.lease_ms));
                    NodeView {
                        id: peer.id,
                        name: peer.about.name,
                        address: peer.about.address,
                        version: peer.about.version,
                        started_at: peer.about.started_at.unwrap_or(last_seen_at),
                        last_seen_at,
                        shards: owned.get(&peer.id).copied().unwrap_or(0),
                    }
                })
                .collect();
            nodes.sort_by_key(|node| (node.started_at, node.id));
            Ok(ClusterView { node: self.heartbeat.node, now: told.now, nodes, shards })
        }
        .boxed()
    }
}
