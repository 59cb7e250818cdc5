//! Who of several nodes does the work, and what waits where.

use std::collections::HashMap;

use actix_web::HttpResponse;
use actix_web::web::Data;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::access::AdminAccess;
use crate::api::error::ApiError;
use crate::api::state::ApiState;
use crate::cluster::{ClusterView, NodeId};
use crate::domain::{LaneClass, ShardId, Timestamp, WebhookId};
use crate::store::{LaneCounts, LaneQuery, Store, StoreError};

/// Beyond so many webhooks with something waiting, finding what has waited longest costs too much: it is left out.
const MAX_LANES_READ: usize = 2_000;
/// Reads on their way to the store at once.
const READS_AT_ONCE: usize = 64;
/// What is parked waits for an earlier delivery of its key, and is never the oldest.
const READ: [LaneClass; 3] = [LaneClass::Retry, LaneClass::Live, LaneClass::Low];

/// All nodes that share a store, and the shards of the work. A process with a store of its own is one node with all shards.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Cluster)]
pub struct ClusterObject {
    /// The node that answers.
    pub node_id: String,
    /// By the store's clock, as all instants here.
    #[schema(format = DateTime)]
    pub now: String,
    /// What an accepted event survives.
    #[schema(example = "aof-everysec")]
    pub durability: &'static str,
    /// Deliveries that have not ended, of all shards.
    pub unfinished: u64,
    /// The live ones, by start.
    pub nodes: Vec<NodeObject>,
    /// All of them, by number.
    pub shards: Vec<ShardObject>,
}

/// A process.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ClusterNode)]
pub struct NodeObject {
    pub node_id: String,
    /// Of its machine.
    pub name: String,
    /// Where it listens.
    pub address: Option<String>,
    pub version: String,
    #[schema(format = DateTime)]
    pub started_at: String,
    #[schema(format = DateTime)]
    pub last_seen_at: String,
    /// How many it owns.
    pub shards: usize,
    /// Deliveries that have not ended, of its shards.
    pub unfinished: u64,
}

/// A part of the webhooks, whose work one node does.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ClusterShard)]
pub struct ShardObject {
    pub shard: usize,
    /// Null while nobody owns it: for a moment after a crash or a hand-over.
    pub owner: Option<String>,
    /// Rises with each owner; null without others.
    pub token: Option<u64>,
    /// When the lease ends unless it is renewed; null without others.
    #[schema(format = DateTime)]
    pub lease_until: Option<String>,
    /// Deliveries that have not ended.
    pub unfinished: u64,
    /// Since when the one that has waited longest is due; null when none is, or when more than 2,000 webhooks have something waiting.
    #[schema(format = DateTime)]
    pub oldest_due_at: Option<String>,
}

/// The nodes, the shards, who owns which, and what waits there.
#[utoipa::path(get, path = "/api/v2/admin/cluster", tag = "admin", operation_id = "cluster",
    security(("bearer" = []), ("apikey" = [])), responses((status = 200, body = ClusterObject), ApiError))]
pub async fn show(_: AdminAccess, state: Data<ApiState>) -> Result<HttpResponse, ApiError> {
    let view = state.cluster.view().await.map_err(|error| StoreError::Unavailable(error.to_string()))?;
    let lanes = state.store.active_lanes().await?;
    let oldest = oldest(&*state.store, &lanes).await?;
    Ok(HttpResponse::Ok().json(ClusterObject::new(&view, state.store.durability().as_str(), &lanes, &oldest)))
}

/// The earliest due instant of each shard that has something waiting.
async fn oldest(store: &dyn Store, lanes: &[(WebhookId, LaneCounts)]) -> Result<HashMap<usize, Timestamp>, StoreError> {
    if lanes.len() > MAX_LANES_READ {
        return Ok(HashMap::new());
    }
    let waiting = |(webhook, counts): &(WebhookId, LaneCounts)| {
        let (webhook, counts) = (*webhook, *counts);
        READ.into_iter().filter(move |class| counts.waiting[*class as usize] > 0).map(move |class| (webhook, class))
    };
    let reads = lanes.iter().flat_map(waiting).map(|(webhook, class)| async move {
        let first = store.lane(LaneQuery { webhook, class, order_key: 0, after: None, limit: 1 }).await?;
        Ok::<_, StoreError>((shard_of(webhook), first.first().map(|entry| entry.due)))
    });
    let found: Vec<_> = stream::iter(reads).buffer_unordered(READS_AT_ONCE).try_collect().await?;
    let mut oldest = HashMap::new();
    for (shard, due) in found {
        if let Some(due) = due {
            oldest.entry(shard).and_modify(|oldest: &mut Timestamp| *oldest = due.min(*oldest)).or_insert(due);
        }
    }
    Ok(oldest)
}

const fn shard_of(webhook: WebhookId) -> usize {
    ShardId::of_webhook(webhook.as_u128()).index()
}

impl ClusterObject {
    fn new(
        view: &ClusterView,
        durability: &'static str,
        lanes: &[(WebhookId, LaneCounts)],
        oldest: &HashMap<usize, Timestamp>,
    ) -> Self {
        let mut unfinished = [0; ShardId::COUNT];
        for (webhook, counts) in lanes {
            unfinished[shard_of(*webhook)] += counts.unfinished();
        }
        let of_node = |node: NodeId| {
            let owned = view.shards.iter().filter(|shard| shard.owner == Some(node));
            owned.filter_map(|shard| unfinished.get(shard.shard)).sum()
        };
        let nodes = view.nodes.iter().map(|node| NodeObject {
            node_id: node.id.to_string(),
            name: node.name.clone(),
            address: node.address.clone(),
            version: node.version.clone(),
            started_at: node.started_at.to_rfc3339(),
            last_seen_at: node.last_seen_at.to_rfc3339(),
            shards: node.shards,
            unfinished: of_node(node.id),
        });
        let shards = view.shards.iter().map(|shard| ShardObject {
            shard: shard.shard,
            owner: shard.owner.map(|owner| owner.to_string()),
            token: shard.token,
            lease_until: shard.lease_until.map(Timestamp::to_rfc3339),
            unfinished: unfinished.get(shard.shard).copied().unwrap_or(0),
            oldest_due_at: oldest.get(&shard.shard).filter(|due| **due <= view.now).map(|due| due.to_rfc3339()),
        });
        Self {
            node_id: view.node.to_string(),
            now: view.now.to_rfc3339(),
            durability,
            unfinished: unfinished.iter().sum(),
            nodes: nodes.collect(),
            shards: shards.collect(),
        }
    }
}
