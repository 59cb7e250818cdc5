//! Which shards this node owns, and until when. Asked before every attempt: a few atomics, no lock, no I/O.
//!
//! A deadline is of the monotonic clock, which goes on while the process is stopped: a node that slept through its lease starts
//! nothing when it wakes, whatever it last heard.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use crate::domain::ShardId;

const NEVER: u64 = 0;
const FOR_EVER: u64 = u64::MAX;

/// See the module.
#[derive(Debug)]
pub struct Leases {
    /// Deadlines are nanoseconds after it.
    origin: Instant,
    until: [AtomicU64; ShardId::COUNT],
    moved: [AtomicU64; 3],
    nodes: AtomicU64,
}

/// A shard's coming or going.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Moved {
    Gained = 0,
    /// Planned: another node should have it.
    HandedOver = 1,
    /// Its lease ran out, or another node has it.
    Lost = 2,
}

impl Leases {
    fn new(until: u64) -> Self {
        Self {
            origin: Instant::now(),
            until: std::array::from_fn(|_| AtomicU64::new(until)),
            moved: Default::default(),
            nodes: AtomicU64::new(1),
        }
    }

    /// Of a process without a cluster: it owns everything, for ever.
    #[must_use]
    pub fn all() -> Self {
        Self::new(FOR_EVER)
    }

    /// Of a node that owns nothing yet.
    #[must_use]
    pub fn none() -> Self {
        Self::new(NEVER)
    }

    /// Whether work of `shard` may be started at `now`.
    #[must_use]
    pub fn owns(&self, shard: ShardId, now: Instant) -> bool {
        let until = self.until[shard.index()].load(Relaxed);
        until == FOR_EVER || self.nanos(now) < until
    }

    /// The shards owned at `now`.
    pub fn owned(&self, now: Instant) -> impl Iterator<Item = ShardId> + '_ {
        ShardId::all().filter(move |shard| self.owns(*shard, now))
    }

    /// The shard is this node's until `until`.
    pub fn grant(&self, shard: ShardId, until: Instant) {
        self.until[shard.index()].store(self.nanos(until), Relaxed);
    }

    /// The shard is not this node's any more.
    pub fn revoke(&self, shard: ShardId) {
        self.until[shard.index()].store(NEVER, Relaxed);
    }

    /// Counts a shard's coming or going.
    pub fn note(&self, moved: Moved) {
        self.moved[moved as usize].fetch_add(1, Relaxed);
    }

    /// How many shards have moved so since the start.
    #[must_use]
    pub fn moved(&self, how: Moved) -> u64 {
        self.moved[how as usize].load(Relaxed)
    }

    /// So many nodes live, this one among them.
    pub fn see_nodes(&self, nodes: usize) {
        self.nodes.store(nodes as u64, Relaxed);
    }

    /// Live nodes as this one saw them last; 1 without a cluster.
    #[must_use]
    pub fn nodes(&self) -> u64 {
        self.nodes.load(Relaxed)
    }

    fn nanos(&self, at: Instant) -> u64 {
        let after: Duration = at.saturating_duration_since(self.origin);
        u64::try_from(after.as_nanos()).unwrap_or(FOR_EVER - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_ends_at_its_deadline_without_anybody_doing_anything() {
        let (leases, now) = (Leases::none(), Instant::now());
        let [mine, other] = [3, 4].map(|index| ShardId::from_index(index).unwrap());
        assert!(!leases.owns(mine, now));
        let until = now + Duration::from_secs(1);
        leases.grant(mine, until);
        assert!(leases.owns(mine, until.checked_sub(Duration::from_nanos(1)).unwrap()));
        assert!(!leases.owns(mine, until) && !leases.owns(other, now));
        assert_eq!(leases.owned(now).collect::<Vec<_>>(), [mine]);
        leases.revoke(mine);
        assert!(!leases.owns(mine, now));
    }

    #[test]
    fn without_a_cluster_everything_is_owned_for_ever() {
        let far = Instant::now() + Duration::from_hours(24 * 365 * 50);
        assert!(ShardId::all().all(|shard| Leases::all().owns(shard, far)));
    }
}
