//! A process without others: one node that owns all shards for as long as it runs.

use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tokio::sync::mpsc;

use super::{ClusterError, ClusterEvent, ClusterView, Membership, NodeId, NodeView, ShardView};
use crate::domain::{ShardId, Timestamp};

/// See the module.
#[derive(Debug)]
pub struct Alone {
    node: NodeId,
    name: String,
    address: Option<String>,
    started_at: Timestamp,
}

impl Alone {
    #[must_use]
    pub fn new(name: impl Into<String>, address: Option<String>, started_at: Timestamp) -> Self {
        Self { node: NodeId::random(), name: name.into(), address, started_at }
    }
}

impl Membership for Alone {
    fn take_events(&self) -> Option<mpsc::Receiver<ClusterEvent>> {
        None
    }

    fn handed_over(&self, _: ShardId) {}

    fn leave(&self, _: Duration) -> BoxFuture<'_, ()> {
        std::future::ready(()).boxed()
    }

    fn view(&self) -> BoxFuture<'_, Result<ClusterView, ClusterError>> {
        let now = Timestamp::now();
        let node = NodeView {
            id: self.node,
            name: self.name.clone(),
            address: self.address.clone(),
            version: env!("CARGO_PKG_VERSION").into(),
            started_at: self.started_at,
            last_seen_at: now,
            shards: ShardId::COUNT,
        };
        let owned =
            |shard: ShardId| ShardView { shard: shard.index(), owner: Some(node.id), token: None, lease_until: None };
        let shards = ShardId::all().map(owned).collect();
        std::future::ready(Ok(ClusterView { node: self.node, now, nodes: vec![node], shards })).boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_sees_itself_with_every_shard_and_no_lease_that_could_end() {
        let alone = Alone::new("here", None, Timestamp::from_millis(5));
        let view = alone.view().await.unwrap();
        assert_eq!((view.nodes.len(), view.nodes[0].shards, view.nodes[0].id), (1, ShardId::COUNT, view.node));
        assert_eq!(view.shards.len(), ShardId::COUNT);
        assert!(view.shards.iter().all(|shard| shard.owner == Some(view.node) && shard.lease_until.is_none()));
    }
}
