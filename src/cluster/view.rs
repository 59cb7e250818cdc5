//! The cluster as operators see it.

use serde::Serialize;

use super::NodeId;
use crate::domain::Timestamp;

/// Instants are those of the store's clock, whatever the clocks of the nodes say.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ClusterView {
    /// The node that answers.
    pub node: NodeId,
    pub now: Timestamp,
    /// The live ones, by start.
    pub nodes: Vec<NodeView>,
    /// All shards, by number.
    pub shards: Vec<ShardView>,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeView {
    pub id: NodeId,
    pub name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    pub version: String,
    pub started_at: Timestamp,
    pub last_seen_at: Timestamp,
    /// How many it owns.
    pub shards: usize,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ShardView {
    pub shard: usize,
    /// `None` while nobody owns it: for a moment after a crash or a hand-over.
    pub owner: Option<NodeId>,
    /// Rises with each owner.
    pub token: Option<u64>,
    pub lease_until: Option<Timestamp>,
}
