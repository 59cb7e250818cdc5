//! The store on Redis 7.0 or newer: single, Sentinel or Cluster. For any number of nodes.
//!
//! - Everything of an instance lives in one of [`ShardId::COUNT`](crate::domain::ShardId::COUNT) shards, a lane in its webhook's
//!   shard, which its id tells: nothing has to be looked up. Each script touches one shard. Names: `keys`; values: `rows`.
//! - A batch is one script call per shard, not one per event: `append`, `settle`. Bodies go ahead of it by a plain command (`staged`):
//!   a body without entries is nobody's, and retention removes it; entries never stand without their bodies.
//! - Several nodes append to one lane: the script keeps the order of places the order of commits, and [`Appended::Late`] tells a
//!   node that it is not the only one.
//! - Settlements are fenced ([`RedisStore::set_fence`]): a deposed owner is refused inside the script (P9).
//! - P1 holds as far as Redis's own persistence does: [`Store::persistence`]. At `maxmemory` events are refused whole and settlements are
//!   still taken: their script removes before it adds.
//!
//! All or nothing holds for one instance's events of a batch in their shard (see `append`), not over shards: a batch that fails
//! half-way is refused whole, and what was stored of it is delivered although its caller was told to come again.

#![expect(clippy::similar_names, reason = "a shard is a shard, and what is shared is shared")]

mod answer;
mod append;
mod buckets;
mod confirm;
mod counts;
mod deliveries;
mod doubts;
mod each;
mod feed;
mod inspect;
mod keys;
mod link;
pub mod membership;
mod memory;
mod messages;
mod moving;
mod operate;
mod orphans;
mod read;
mod retention;
mod rows;
mod script;
mod settle;
mod shared;
mod staged;
#[cfg(test)]
pub mod testing;
#[cfg(test)]
mod tests;
mod url;

use std::future::Future;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use futures_util::{FutureExt as _, StreamExt as _, stream};
use tokio::sync::mpsc;

pub use self::feed::Notice;
pub use self::membership::{MembershipConfig, RedisMembership};
pub use self::orphans::Orphans;
use self::settle::Fencing;
use self::shared::Shared;
pub use self::url::{InvalidUrl, RedisUrl, TlsFiles};
use super::meters::RedisMeters;
use super::moving::{Record, RecordStream};
use super::{
    Append, Appended, DeliveryQuery, DirectoryChange, DirectoryRecords, Durability, LaneCounts, LaneQuery, Persistence,
    RecoveryReport, Requeue, Retention, RetentionStep, Settle, Store, StoreError, StoreFuture, StoreStats, Timeline,
};
use crate::domain::{
    AttemptOrigin, Delivery, DeliveryStatus, Event, EventId, InstanceId, LaneEntry, MessageStatus, ShardId, Timestamp,
    WebhookId,
};

/// Where the store lives.
#[derive(Clone, Debug)]
pub struct RedisConfig {
    pub url: RedisUrl,
    /// All keys begin with it: installations that share a database need different ones.
    pub prefix: String,
    /// Without an answer for so long, Redis is taken for away.
    pub timeout: Duration,
    /// Others may write as well: appends wake the owners of shards, retention keeps to fenced shards.
    pub many_nodes: bool,
    /// Appends wait until so many replicas have them (`WAIT`); with fewer they fail, and are stored all the same.
    pub wait_replicas: u8,
    /// Appends wait until they are in the append-only file (`WAITAOF`, Redis 7.2), also of that many replicas.
    pub wait_aof: bool,
    /// Events are refused while Redis keeps them less safely.
    pub least: Durability,
    /// Between two looks at how Redis is set.
    pub look_every: Duration,
    pub meters: RedisMeters,
}

impl RedisConfig {
    /// The defaults, at this address.
    #[must_use]
    pub fn new(url: RedisUrl) -> Self {
        let timeout = Duration::from_secs(2);
        Self {
            url,
            prefix: "pombo".into(),
            timeout,
            many_nodes: false,
            wait_replicas: 0,
            wait_aof: false,
            least: Durability::RedisNone,
            look_every: Duration::from_secs(10),
            meters: RedisMeters::default(),
        }
    }
}

/// See the module.
#[derive(Debug)]
pub struct RedisStore {
    shared: Arc<Shared>,
    recovery: RecoveryReport,
}

impl RedisStore {
    /// Connects, checks whose data it is, and counts what is there: a second or so for a hundred thousand webhooks.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when Redis cannot be reached in time, [`StoreError::NewerFormat`] for data of another layout.
    pub async fn open(config: RedisConfig) -> Result<Self, StoreError> {
        let shared = Arc::new(Shared::new(config)?);
        inspect::claim(&shared).await?;
        shared.stand_on(inspect::look(&shared).await?);
        let recovery = inspect::recover(&shared).await?;
        tokio::spawn(inspect::watch(Arc::downgrade(&shared)));
        Ok(Self { shared, recovery })
    }

    /// Whether Redis can confirm commits as it is asked to; what it says when it cannot.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn can_confirm(&self) -> Result<Result<(), String>, StoreError> {
        self.shared.can_confirm().await
    }

    /// From now on settlements of `shard` are applied only while the shard's `owner` key holds exactly this text; `None`: unchecked.
    pub fn set_fence(&self, shard: ShardId, owner: Option<&str>) {
        self.shared.set_fence(shard, owner);
    }

    /// The key that names the owner of `shard`: whoever keeps leases writes it.
    pub fn owner_key(&self, shard: ShardId) -> Vec<u8> {
        self.shared.keys.of(shard, b"owner")
    }

    /// Looks through up to `max_keys` keys for what nobody will ever remove.
    ///
    /// # Errors
    /// When Redis does not answer, or is a cluster.
    pub async fn orphans(&self, max_keys: u64) -> Result<Orphans, StoreError> {
        orphans::look(&self.shared, max_keys).await
    }

    /// What other nodes tell, from now on.
    pub fn listen(&self) -> mpsc::Receiver<Notice> {
        feed::listen(Arc::downgrade(&self.shared))
    }

    fn with<'a, T: Send + 'a, F: Future<Output = Result<T, StoreError>> + Send + 'a>(
        &'a self,
        work: impl FnOnce(&'a Shared) -> F + Send + 'a,
    ) -> StoreFuture<'a, T> {
        async move { work(self.shared.open()?).await }.boxed()
    }
}

impl Store for RedisStore {
    fn append(&self, batch: Vec<Append>) -> StoreFuture<'_, Vec<Appended>> {
        self.with(|shared| append::append(shared, batch))
    }

    fn settle(&self, batch: Vec<Settle>) -> StoreFuture<'_, ()> {
        self.with(|shared| {
            shared.commits.fetch_add(1, Relaxed);
            settle::settle(shared, batch, Fencing::Checked)
        })
    }

    /// Settlements are as durable as Redis makes them when they are answered; appends that failed are decided by this.
    fn flush(&self) -> StoreFuture<'_, ()> {
        self.with(doubts::settle)
    }

    fn lane(&self, query: LaneQuery) -> StoreFuture<'_, Vec<LaneEntry>> {
        self.with(move |shared| async move { read::lane(shared, &query).await })
    }

    fn parked_keys(&self, webhook: WebhookId, limit: usize) -> StoreFuture<'_, Vec<u64>> {
        self.with(move |shared| read::parked_keys(shared, webhook, limit))
    }

    fn active_lanes(&self) -> StoreFuture<'_, Vec<(WebhookId, LaneCounts)>> {
        self.with(|shared| async {
            shared.count_all().await?;
            let active = shared.counts.active().into_iter();
            Ok(active.map(|(webhook, counts)| (WebhookId::from_u128(webhook), counts)).collect())
        })
    }

    fn unfinished(&self) -> u64 {
        self.shared.counts.totals().0
    }

    fn lane_counts(&self, webhook: WebhookId) -> LaneCounts {
        self.shared.counts.of(webhook.as_u128())
    }

    fn count_lane(&self, webhook: WebhookId) -> StoreFuture<'_, LaneCounts> {
        self.with(move |shared| async move {
            shared.count([webhook.as_u128()]).await?;
            Ok(shared.counts.of(webhook.as_u128()))
        })
    }

    fn events(&self, ids: Vec<EventId>) -> StoreFuture<'_, Vec<Option<Arc<Event>>>> {
        self.with(|shared| async move { read::events(shared, &ids).await })
    }

    fn deliveries(&self, query: DeliveryQuery) -> StoreFuture<'_, Vec<Delivery>> {
        self.with(|shared| async move { deliveries::list(shared, &query).await })
    }

    fn timeline(&self, webhook: WebhookId, event: EventId) -> StoreFuture<'_, Option<Timeline>> {
        self.with(move |shared| deliveries::timeline(shared, webhook, event))
    }

    fn requeue(
        &self,
        webhook: WebhookId,
        event: EventId,
        origin: AttemptOrigin,
        due: Timestamp,
    ) -> StoreFuture<'_, Requeue> {
        self.with(move |shared| operate::requeue(shared, webhook, event, origin, due))
    }

    fn finished(
        &self,
        webhook: WebhookId,
        range: Range<EventId>,
        statuses: Vec<DeliveryStatus>,
        limit: usize,
    ) -> StoreFuture<'_, Vec<EventId>> {
        self.with(move |shared| async move { deliveries::finished(shared, webhook, range, &statuses, limit).await })
    }

    fn cancel_lane(&self, webhook: WebhookId, limit: usize) -> StoreFuture<'_, bool> {
        self.with(move |shared| operate::cancel_lane(shared, webhook, limit))
    }

    fn message(&self, instance: &InstanceId, message_id: &str) -> StoreFuture<'_, Option<MessageStatus>> {
        let (instance, message_id) = (instance.clone(), Box::<str>::from(message_id));
        self.with(|shared| async move { read::message(shared, &instance, &message_id).await })
    }

    fn directory(&self) -> StoreFuture<'_, DirectoryRecords> {
        self.with(read::directory)
    }

    fn directory_version(&self) -> StoreFuture<'_, Option<u64>> {
        self.with(|shared| async { read::directory_version(shared).await.map(Some) })
    }

    fn change_directory(&self, changes: Vec<DirectoryChange>) -> StoreFuture<'_, ()> {
        self.with(|shared| async move { operate::change_directory(shared, &changes).await })
    }

    fn setting(&self, name: &'static str) -> StoreFuture<'_, Option<Vec<u8>>> {
        self.with(move |shared| read::setting(shared, name))
    }

    fn put_setting(&self, name: &'static str, value: Vec<u8>) -> StoreFuture<'_, ()> {
        self.with(move |shared| async move { operate::put_setting(shared, name, &value).await })
    }

    fn put_setting_if_absent(&self, name: &'static str, value: Vec<u8>) -> StoreFuture<'_, Vec<u8>> {
        self.with(move |shared| async move { operate::put_setting_if_absent(shared, name, &value).await })
    }

    fn records(&self) -> RecordStream<'_> {
        let next = move |mut reached| async move {
            let page = moving::page(self.shared.open()?, &mut reached).await?;
            Ok(page.map(|page| (page, reached)))
        };
        stream::try_unfold(moving::Reached::default(), next).boxed()
    }

    fn restore(&self, records: Vec<Record>) -> StoreFuture<'_, u64> {
        self.with(|shared| moving::restore(shared, records))
    }

    fn retain(&self, now: Timestamp, retention: Retention) -> StoreFuture<'_, RetentionStep> {
        self.with(move |shared| retention::retain(shared, now, retention))
    }

    fn durability(&self) -> Durability {
        self.shared.footing().durability
    }

    fn persistence(&self) -> Persistence {
        Persistence::clone(&self.shared.footing())
    }

    fn recovery(&self) -> RecoveryReport {
        self.recovery.clone()
    }

    fn stats(&self) -> StoreStats {
        let (unfinished, dead) = self.shared.counts.totals();
        let (memory_bytes, memory_limit_bytes) = self.shared.memory.told();
        let commits = self.shared.commits.load(Relaxed);
        StoreStats { unfinished, dead, commits, memory_bytes, memory_limit_bytes, ..StoreStats::default() }
    }

    fn check(&self) -> StoreFuture<'_, ()> {
        self.with(|shared| async {
            shared.is_safe_enough()?;
            let pledge = shared.pledge().await?;
            let mut write = redis::cmd("SET");
            write.arg(format!("{}check", shared.keys.directory())).arg(1).arg("EX").arg(60);
            shared.confirmed().run(&write).await?;
            memory::look(shared).await;
            shared.is_confirmed(pledge).await
        })
    }

    fn close(&self) -> StoreFuture<'_, ()> {
        self.shared.close();
        std::future::ready(Ok(())).boxed()
    }
}
