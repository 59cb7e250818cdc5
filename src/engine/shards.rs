//! How this process stands to each shard: whether it may start work there (P9), what is in flight there, since when it is at it.
//!
//! A *stint* begins when the shard is gained and the store's lanes of it are looked at anew, and ends when it is lost. Nothing of a new
//! stint starts before what is in flight from the one before has landed and is settled: else it would be sent twice.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Instant;

use parking_lot::RwLock;
use tokio::sync::Notify;

use crate::cluster::Leases;
use crate::domain::{ShardId, Timestamp, WebhookId};

/// See the module.
#[derive(Debug)]
pub(super) struct Shards {
    leases: Arc<Leases>,
    /// Bits of [`ShardId::bit`]: a stint has begun.
    open: AtomicU64,
    /// The counts of lanes that the store tells without reading are those of this stint.
    counted: AtomicU64,
    /// Rises with each beginning and each end.
    turns: [AtomicU64; ShardId::COUNT],
    since: RwLock<[Option<Since>; ShardId::COUNT]>,
    flying: [AtomicUsize; ShardId::COUNT],
    all_flying: AtomicUsize,
    landed: Notify,
}

/// When a stint began, by both clocks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Since {
    pub(super) mono: Instant,
    pub(super) wall: Timestamp,
}

impl Shards {
    /// Of a node among others: it has nothing yet.
    pub(super) fn none(leases: Arc<Leases>) -> Self {
        Self {
            leases,
            open: AtomicU64::new(0),
            counted: AtomicU64::new(0),
            turns: std::array::from_fn(|_| AtomicU64::new(0)),
            since: RwLock::new([None; ShardId::COUNT]),
            flying: std::array::from_fn(|_| AtomicUsize::new(0)),
            all_flying: AtomicUsize::new(0),
            landed: Notify::new(),
        }
    }

    /// Of a process alone with its store, `now` being its start.
    pub(super) fn all(leases: Arc<Leases>, now: Since) -> Self {
        let shards = Self::none(leases);
        shards.open.store(u64::MAX, Ordering::Relaxed);
        shards.counted.store(u64::MAX, Ordering::Relaxed);
        *shards.since.write() = [Some(now); ShardId::COUNT];
        shards
    }

    /// Whether work for the webhook may be started at `now`.
    pub(super) fn serves(&self, webhook: WebhookId, now: Instant) -> bool {
        let shard = ShardId::of_webhook(webhook.as_u128());
        self.open.load(Ordering::Acquire) & shard.bit() != 0 && self.leases.owns(shard, now)
    }

    /// Since when this process is the one that delivers for the webhook; before that others may have.
    pub(super) fn since(&self, webhook: WebhookId) -> Option<Since> {
        self.since.read()[ShardId::of_webhook(webhook.as_u128()).index()]
    }

    /// Whether the store's counts of the webhook's lane can be relied on.
    pub(super) fn is_counted(&self, webhook: WebhookId) -> bool {
        self.counted.load(Ordering::Acquire) & ShardId::of_webhook(webhook.as_u128()).bit() != 0
    }

    /// The shard was gained or lost: nothing starts there. Answers the number of this turn.
    pub(super) fn turn(&self, shard: ShardId) -> u64 {
        self.open.fetch_and(!shard.bit(), Ordering::AcqRel);
        self.counted.fetch_and(!shard.bit(), Ordering::AcqRel);
        self.turns[shard.index()].fetch_add(1, Ordering::AcqRel) + 1
    }

    /// Whether nothing has happened to the shard since that turn.
    pub(super) fn is_at(&self, shard: ShardId, turn: u64) -> bool {
        self.turns[shard.index()].load(Ordering::Acquire) == turn
    }

    /// A stint begins: work may be started. Its lanes must be looked at after this.
    pub(super) fn open(&self, shard: ShardId, now: Since) {
        self.since.write()[shard.index()] = Some(now);
        self.open.fetch_or(shard.bit(), Ordering::AcqRel);
    }

    /// The store has counted the shard's lanes in this stint.
    pub(super) fn counted(&self, shard: ShardId) {
        self.counted.fetch_or(shard.bit(), Ordering::AcqRel);
    }

    pub(super) fn took_off(&self, shard: ShardId) {
        self.flying[shard.index()].fetch_add(1, Ordering::Relaxed);
        self.all_flying.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn landed(&self, shard: ShardId) {
        let last_of_shard = self.flying[shard.index()].fetch_sub(1, Ordering::AcqRel) == 1;
        let last = self.all_flying.fetch_sub(1, Ordering::AcqRel) == 1;
        if last || (last_of_shard && self.open.load(Ordering::Acquire) & shard.bit() == 0) {
            self.landed.notify_waiters();
        }
    }

    /// Attempts in flight, of all shards.
    pub(super) fn in_flight(&self) -> usize {
        self.all_flying.load(Ordering::Acquire)
    }

    /// Waits until none is in flight.
    pub(super) async fn all_landed(&self) {
        self.wait(|| self.in_flight() == 0).await;
    }

    /// Waits until none of a shard that is not open is in flight.
    pub(super) async fn shard_landed(&self, shard: ShardId) {
        self.wait(|| self.flying[shard.index()].load(Ordering::Acquire) == 0).await;
    }

    async fn wait(&self, done: impl Fn() -> bool) {
        loop {
            // Armed before looking: a landing between the look and the wait is not missed.
            let mut landed = std::pin::pin!(self.landed.notified());
            landed.as_mut().enable();
            if done() {
                return;
            }
            landed.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn now() -> Since {
        Since { mono: Instant::now(), wall: Timestamp::now() }
    }

    fn scene() -> (Shards, ShardId, WebhookId) {
        let webhook = WebhookId::from_u128(5);
        let (leases, shard) = (Arc::new(Leases::none()), ShardId::of_webhook(5));
        leases.grant(shard, Instant::now() + Duration::from_mins(1));
        (Shards::none(leases), shard, webhook)
    }

    #[test]
    fn a_lease_alone_is_not_enough_to_start_work() {
        let (shards, shard, webhook) = scene();
        let turn = shards.turn(shard);
        assert!(!shards.serves(webhook, Instant::now()));
        shards.open(shard, now());
        assert!(shards.serves(webhook, Instant::now()) && shards.is_at(shard, turn) && !shards.is_counted(webhook));
        shards.turn(shard);
        assert!(!shards.serves(webhook, Instant::now()) && !shards.is_at(shard, turn));
    }

    #[test]
    fn without_the_lease_an_open_shard_starts_nothing() {
        let webhook = WebhookId::from_u128(9);
        let shards = Shards::all(Arc::new(Leases::none()), now());
        assert!(!shards.serves(webhook, Instant::now()));
        let alone = Shards::all(Arc::new(Leases::all()), now());
        assert!(alone.serves(webhook, Instant::now()) && alone.is_counted(webhook) && alone.since(webhook).is_some());
    }

    #[tokio::test]
    async fn a_lost_shard_is_waited_for_whatever_others_have_in_flight() {
        let (shards, shard, _) = scene();
        let (shards, other) = (Arc::new(shards), ShardId::from_index(60).unwrap());
        shards.took_off(other);
        shards.took_off(shard);
        shards.turn(shard);
        let waiting = tokio::spawn({
            let shards = Arc::clone(&shards);
            async move { shards.shard_landed(shard).await }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        shards.landed(shard);
        waiting.await.unwrap();
        assert_eq!(shards.in_flight(), 1);
    }
}
