//! Who of several nodes does the work of which shard (P9).
//!
//! - At any time at most one node holds the lease of a shard. [`Leases`] tells this node's, without a lock and without asking anybody:
//!   from its local deadline on a lease is over, whatever the rest of the world says.
//! - A settlement of a deposed owner is refused by the store: each lease has a fencing token, and tokens of a shard rise.
//! - Live nodes divide the shards by rendezvous hashing ([`assign`]): all of them come to the same division without talking.
//!
//! How leases are kept is the business of an implementation of [`Membership`]; what it tells comes as [`ClusterEvent`]s.

pub mod alone;
pub mod assign;
pub mod leases;
pub mod view;

use std::fmt;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::sync::mpsc;

pub use self::alone::Alone;
pub use self::assign::owner_of;
pub use self::leases::{Leases, Moved};
pub use self::view::{ClusterView, NodeView, ShardView};
pub use crate::domain::NodeId;
use crate::domain::{EventId, ShardId, WebhookId};

/// What a node is told of the others.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ClusterEvent {
    /// The shard is this node's from now on, as [`Leases`] tells: read its lanes and deliver.
    Gained(ShardId),
    /// Start nothing of the shard any more. What is in flight may still be settled for a short while: tell
    /// [`Membership::handed_over`] when nothing is left. When the lease has ended already, its settlements are refused.
    Lost(ShardId),
    /// Another node has appended to lanes of this node.
    Wake(Vec<WebhookId>),
    /// Another node has put a finished delivery of this node's lane back.
    PutBack(WebhookId),
    /// Somebody asks on another node that a waiting delivery of this node's lane is attempted now.
    Hasten(WebhookId, EventId),
    /// Another node (or this one) has changed the directory.
    DirectoryChanged,
    /// Something may have been missed: after a reconnect, and now and then as a fallback. Look at the directory and the owned lanes.
    LookAgain,
}

/// The others cannot be asked now.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the other nodes cannot be asked: {0}")]
pub struct ClusterError(pub String);

/// This node's place among the others.
pub trait Membership: fmt::Debug + Send + Sync {
    /// What is told, from the beginning on; `None` when somebody has taken it already.
    fn take_events(&self) -> Option<mpsc::Receiver<ClusterEvent>>;

    /// Nothing of a [`ClusterEvent::Lost`] shard is in flight any more: the next owner need not wait longer.
    fn handed_over(&self, shard: ShardId);

    /// Hands all shards over, each as soon as it is [`handed_over`](Self::handed_over) or `patience` is at its end. The others are told
    /// at once that this node goes. Takes a bounded time, also when nobody answers. Called again with less patience it hurries.
    fn leave(&self, patience: Duration) -> BoxFuture<'_, ()>;

    /// Who is there and owns what.
    fn view(&self) -> BoxFuture<'_, Result<ClusterView, ClusterError>>;
}
