//! Where accepted events and unfinished deliveries live.
//!
//! Promises every store keeps (the suite in `contract.rs` holds each of them to it):
//!
//! - **P1** [`Store::append`] answers after its events are durable at [`Store::durability`], never before; a batch is all or nothing.
//! - **P2** An appended entry is found again in its lane until a settlement removes it, over any crash.
//! - **P3** A settlement is never half applied. It may be lost in a crash if it was not flushed yet: then the attempt is repeated,
//!   never skipped. The bound is what was handed to [`Store::settle`] and not answered, plus, over a power loss, the time between flushes.
//! - **P7** Memory does not grow with the backlog: lanes are read in pages.
//! - Ids of callers are remembered for 24 h: an append that repeats one is answered [`Appended::Duplicate`] and stores nothing.
//!
//! A **lane** is the ordered set of unfinished deliveries of one webhook, in four parts ([`LaneClass`]). There is no "claimed" state:
//! the owner of a lane is unique and knows what is in flight; a new owner reads the lane and goes on. Bodies are stored once per event.

#[cfg(test)]
pub mod contract;
pub mod durability;
pub mod embedded;
pub mod memory;
pub mod meters;
pub mod moving;
pub mod redis;
mod rows;

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use serde::Serialize;
use smallvec::SmallVec;

pub use self::durability::{Durability, Persistence, RedisPersistence};
use self::moving::{Record, RecordStream};
pub use crate::domain::HeldBack;
use crate::domain::{
    Attempt, AttemptOrigin, Business, BusinessId, DeadReason, Delivery, DeliveryStatus, Event, EventId, Instance,
    InstanceId, LaneClass, LaneEntry, MessageStatus, Timestamp, Webhook, WebhookId, WebhookIdBits,
};

/// An event to be made durable together with what it causes.
#[derive(Clone, Debug)]
pub struct Append {
    pub event: Arc<Event>,
    /// One entry for each webhook the event is owed to.
    pub entries: SmallVec<[LaneEntry; 4]>,
    /// Webhooks that exist and are not owed the event, with the rule that held it back; shown in timelines.
    pub held_back: SmallVec<[(WebhookIdBits, HeldBack); 2]>,
    /// What the event tells about messages.
    pub messages: SmallVec<[MessageStatus; 1]>,
}

/// What became of one [`Append`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Appended {
    New,
    /// Stored, but another process appended to one of its lanes since this one last did: something it does not know of sorts before
    /// the event, and its entries may be due later than given. Its lanes must be read from the store.
    Late,
    /// The caller's id was seen within 24 h, as this event. Nothing was stored.
    Duplicate(EventId),
}

/// What becomes of an entry, and the attempt that decided it.
#[derive(Clone, Debug)]
pub struct Settle {
    /// The entry exactly as the store holds it.
    pub entry: LaneEntry,
    /// Its number is one more than the entry's `attempts`; an entry that moves on has the same number in `attempts` then.
    /// After a lost settlement the number comes again and replaces the attempt before.
    pub attempt: Option<Attempt>,
    pub next: Next,
    /// When it was decided: `finished_at` of what ends here.
    pub at: Timestamp,
}

/// The place an entry goes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    Delivered,
    /// The entry leaves its place and takes this one: a retry, or parking behind a blocked key.
    Move(LaneEntry),
    Dead(DeadReason),
    Superseded {
        by: EventId,
    },
    Cancelled,
}

/// A page of one part of a lane.
#[derive(Clone, Copy, Debug)]
pub struct LaneQuery {
    pub webhook: WebhookId,
    pub class: LaneClass,
    /// For [`LaneClass::Parked`]: the order key to read. Ignored elsewhere.
    pub order_key: u64,
    /// Entries that sort after this one `(due, event)`; `None`: from the first.
    pub after: Option<(Timestamp, EventId)>,
    pub limit: usize,
}

/// How much one lane holds. Exact.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct LaneCounts {
    /// By [`LaneClass`].
    pub waiting: [u64; 4],
    pub dead: u64,
}

impl LaneCounts {
    /// Unfinished deliveries; dead letters are not among them.
    #[must_use]
    pub fn unfinished(&self) -> u64 {
        self.waiting.iter().sum()
    }
}

/// A page of deliveries, newest event first.
#[derive(Clone, Debug)]
pub struct DeliveryQuery {
    pub webhook: WebhookId,
    pub status: Option<DeliveryStatus>,
    pub kind: Option<crate::domain::EventKind>,
    /// Only events older than this one: the cursor.
    pub before: Option<EventId>,
    pub limit: usize,
}

/// Everything known of one delivery.
#[derive(Clone, Debug)]
pub struct Timeline {
    pub event: Arc<Event>,
    /// `None`: the event was not owed to the webhook.
    pub delivery: Option<Delivery>,
    pub held_back: Option<HeldBack>,
}

/// Why an entry could not be put back into its lane.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Requeue {
    /// It is in the lane again, as this entry.
    Queued(LaneEntry),
    /// It is unfinished, in the lane already, as this entry.
    Unfinished(LaneEntry),
    /// No such event, or its body is past its retention, or it was never owed to the webhook.
    Unknown,
}

/// One change of the directory. Webhooks, instances and businesses are stored whole.
#[derive(Clone, Debug)]
pub enum DirectoryChange {
    PutBusiness(Box<Business>),
    DeleteBusiness(BusinessId),
    PutInstance(Box<Instance>),
    DeleteInstance(InstanceId),
    PutWebhook(Box<Webhook>),
    DeleteWebhook(WebhookId),
}

/// All of the directory, as read at start.
#[derive(Clone, Debug, Default)]
pub struct DirectoryRecords {
    pub businesses: Vec<Business>,
    pub instances: Vec<Instance>,
    pub webhooks: Vec<Webhook>,
}

/// How long finished things are kept.
#[derive(Clone, Copy, Debug)]
pub struct Retention {
    /// Events and the timelines of finished deliveries.
    pub history: Duration,
    /// Older history goes earlier when the finished part takes more than this, about.
    pub history_max_bytes: u64,
    pub dead: Duration,
    pub messages: Duration,
}

/// What one step of retention did.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct RetentionStep {
    pub events: u64,
    /// Of the events that went. One whose dead letter had expired before may be counted, though nothing of it was left.
    pub deliveries: u64,
    pub dead: u64,
    pub messages: u64,
    /// There is more to do now.
    pub more: bool,
}

/// What was found when the store was opened.
#[derive(Clone, Debug, Default)]
pub struct RecoveryReport {
    /// Unfinished deliveries and dead letters.
    pub unfinished: u64,
    pub dead: u64,
    pub lanes: u64,
    pub directory: u64,
    /// The process before this one ended without closing the store.
    pub unclean: bool,
    pub took: Duration,
    /// The newest event id on record: ids go on after it.
    pub last_event: Option<EventId>,
}

/// Figures for operators.
#[derive(Clone, Copy, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StoreStats {
    pub unfinished: u64,
    pub dead: u64,
    pub disk_bytes: u64,
    pub disk_free_bytes: u64,
    /// Below so much free space new events are refused.
    pub disk_reserve_bytes: u64,
    pub commits: u64,
    pub fsyncs: u64,
    /// Keys and values handed to the log.
    pub written_bytes: u64,
    /// What Redis says of its memory; a limit of 0: none.
    pub memory_bytes: u64,
    pub memory_limit_bytes: u64,
}

/// What a store can fail with.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    #[error("the disk is full: {0}; free space, or lower `retention.history_max_bytes`; nothing was accepted")]
    Full(String),
    #[error("the store is not available: {0}")]
    Unavailable(String),
    #[error("the store is damaged: {0}")]
    Corrupt(String),
    #[error("the data folder is in use by another process: {0}")]
    Locked(String),
    #[error("the data was written by a newer version: {0}")]
    NewerFormat(String),
    /// Settlements of these shards were refused, those of others applied: another node owns them now (P9).
    /// Bits are those of [`ShardId::bit`](crate::domain::ShardId::bit).
    #[error("another node owns shards {shards:#x}: settlements of a deposed owner are refused")]
    Fenced { shards: u64 },
    #[error("the store is closed")]
    Closed,
}

/// The answer of a store, boxed so that stores can be swapped at run time.
pub type StoreFuture<'a, T> = BoxFuture<'a, Result<T, StoreError>>;

/// A place for events, lanes and the directory. See the module for what it promises.
pub trait Store: Send + Sync + std::fmt::Debug + 'static {
    /// Makes events and their entries durable, all or none. Answers in the order of `batch`.
    fn append(&self, batch: Vec<Append>) -> StoreFuture<'_, Vec<Appended>>;
    /// Applies settlements in order, each whole. One whose entry is not in its place any more with as many attempts
    /// (cancelled, or settled before) is skipped with its attempt: nothing comes back to life.
    fn settle(&self, batch: Vec<Settle>) -> StoreFuture<'_, ()>;
    /// Makes all settlements so far as durable as appends are.
    fn flush(&self) -> StoreFuture<'_, ()>;

    /// Entries of one part of a lane, by `(due, event)`.
    fn lane(&self, query: LaneQuery) -> StoreFuture<'_, Vec<LaneEntry>>;
    /// The order keys that have parked entries, the smallest first, at most `limit`.
    fn parked_keys(&self, webhook: WebhookId, limit: usize) -> StoreFuture<'_, Vec<u64>>;
    /// The webhooks whose lanes hold something unfinished.
    fn active_lanes(&self) -> StoreFuture<'_, Vec<(WebhookId, LaneCounts)>>;
    /// Unfinished deliveries over all lanes: exact and without reading them.
    fn unfinished(&self) -> u64;
    /// Without reading the lane. Exact where one process writes; where several do, as this one saw it last (see [`Self::count_lane`]).
    fn lane_counts(&self, webhook: WebhookId) -> LaneCounts;
    /// Exact, also where several processes write.
    fn count_lane(&self, webhook: WebhookId) -> StoreFuture<'_, LaneCounts> {
        Box::pin(std::future::ready(Ok(self.lane_counts(webhook))))
    }
    /// Events by id, in the order asked for; `None` where retention has removed one.
    fn events(&self, ids: Vec<EventId>) -> StoreFuture<'_, Vec<Option<Arc<Event>>>>;

    /// What was ever owed to the webhook and is still on record, newest event first.
    fn deliveries(&self, query: DeliveryQuery) -> StoreFuture<'_, Vec<Delivery>>;
    /// `None` when the event is unknown or does not concern the webhook (it may be another tenant's).
    fn timeline(&self, webhook: WebhookId, event: EventId) -> StoreFuture<'_, Option<Timeline>>;
    /// Puts a finished delivery back into its lane, as [`LaneClass::Retry`] due at `due`, its schedule begun anew and its attempts kept.
    fn requeue(
        &self,
        webhook: WebhookId,
        event: EventId,
        origin: AttemptOrigin,
        due: Timestamp,
    ) -> StoreFuture<'_, Requeue>;
    /// Finished deliveries of events in `range` with one of `statuses`, oldest first, at most `limit`: candidates of a replay.
    fn finished(
        &self,
        webhook: WebhookId,
        range: Range<EventId>,
        statuses: Vec<DeliveryStatus>,
        limit: usize,
    ) -> StoreFuture<'_, Vec<EventId>>;
    /// Cancels up to `limit` unfinished deliveries of a deleted webhook; answers whether there are more. Dead letters stay.
    fn cancel_lane(&self, webhook: WebhookId, limit: usize) -> StoreFuture<'_, bool>;
    /// The latest state on record, whatever the order in which the states were told.
    fn message(&self, instance: &InstanceId, message_id: &str) -> StoreFuture<'_, Option<MessageStatus>>;

    fn directory(&self) -> StoreFuture<'_, DirectoryRecords>;
    /// Durable as an append, all or none.
    fn change_directory(&self, changes: Vec<DirectoryChange>) -> StoreFuture<'_, ()>;
    /// Rises with each change of the directory by any process; `None`: nobody else changes it.
    fn directory_version(&self) -> StoreFuture<'_, Option<u64>> {
        Box::pin(std::future::ready(Ok(None)))
    }
    /// A small value of the process as a whole, e.g. the key that signs instance tokens.
    fn setting(&self, name: &'static str) -> StoreFuture<'_, Option<Vec<u8>>>;
    fn put_setting(&self, name: &'static str, value: Vec<u8>) -> StoreFuture<'_, ()>;
    /// Writes the value unless there is one; answers the one in force, durable as an append. Of several that try at once, in
    /// whatever process, all are answered the same.
    fn put_setting_if_absent(&self, name: &'static str, value: Vec<u8>) -> StoreFuture<'_, Vec<u8>>;

    /// All events on record with what is known of their deliveries, then the states of messages of instances in the directory:
    /// for a move. Nobody may write meanwhile.
    fn records(&self) -> RecordStream<'_>;
    /// Takes in what another store told with [`Self::records`]; answers how many events are new. An event that is on record already
    /// is left as it is, so a move that was cut off can be made again. Nobody may deliver meanwhile.
    fn restore(&self, records: Vec<Record>) -> StoreFuture<'_, u64>;

    /// Removes a bounded amount of what is past its time; call it again while [`RetentionStep::more`].
    ///
    /// An event goes, with its timelines, when it is older than [`Retention::history`] and no delivery of it waits or is a dead letter.
    /// An expired dead letter goes as if the delivery had never been. What was old already but unfinished at the last pass may
    /// stay up to an hour longer than it must.
    fn retain(&self, now: Timestamp, retention: Retention) -> StoreFuture<'_, RetentionStep>;
    /// What an accepted event survives now: it may change while the store is open.
    fn durability(&self) -> Durability;
    /// The same with its reasons.
    fn persistence(&self) -> Persistence {
        Persistence::of(self.durability())
    }
    fn recovery(&self) -> RecoveryReport;
    fn stats(&self) -> StoreStats;
    /// Fails when the store could not take an append now.
    fn check(&self) -> StoreFuture<'_, ()>;
    /// Flushes and releases the lock. Later calls answer [`StoreError::Closed`].
    fn close(&self) -> StoreFuture<'_, ()>;
}
