//! The store in a folder: an LSM tree (fjall) behind one writing thread. Needs nothing installed; the default.
//!
//! - All writes go through one thread that commits in groups: `writer`, with `append`, `settle`, `operate`, `retention`.
//! - Reads go to the tables directly: `read`, `deliveries`; long ones on a blocking thread.
//! - Counts live in memory and are rebuilt at open: `counts`, `recover`.
//! - What is on disk: `tables`, `keys`, `rows`, `expiry`; what goes from it: `freeing`.
//! - What was delivered at once, nearly all of the history, lies in files of its own: `archive`.
//! - Entries of the last moment are in memory only: `recent`, found again by the floor: `marks`.
//!
//! So a delivery that succeeds at once costs one archived row, and its share of the event's.

mod append;
mod archive;
mod counts;
mod deliveries;
mod expiry;
mod fault;
mod freeing;
mod history;
mod keys;
mod lock;
mod marks;
mod moving;
mod operate;
mod past;
mod read;
mod recent;
mod recover;
mod requests;
mod retention;
mod rows;
mod settle;
mod shared;
mod stage;
mod tables;
mod write_buffers;
mod writer;

use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use futures_util::{FutureExt as _, StreamExt as _, stream};
use tokio::sync::{mpsc, oneshot};

use self::lock::FolderLock;
use self::requests::{Answer, Op};
use self::shared::Shared;
use self::tables::Tables;
use self::writer::Writer;
use super::meters::WriterMeters;
use super::moving::{Record, RecordStream};
use super::{
    Append, Appended, DeliveryQuery, DirectoryChange, DirectoryRecords, Durability, LaneCounts, LaneQuery,
    RecoveryReport, Requeue, Retention, RetentionStep, Settle, Store, StoreError, StoreFuture, StoreStats, Timeline,
};
use crate::domain::{
    AttemptOrigin, Delivery, DeliveryStatus, Event, EventId, InstanceId, LaneEntry, MessageStatus, Timestamp, WebhookId,
};

/// Requests that wait for the writer; more wait with their callers.
const QUEUE: usize = 4_096;
/// Up to this many events are read where the caller is: cheaper than moving to another thread.
const FEW_EVENTS: usize = 4;

/// Where the store lives and what it may use.
#[derive(Clone, Debug)]
pub struct EmbeddedConfig {
    /// Made when it does not exist.
    pub path: PathBuf,
    /// [`Durability::Fsync`] or [`Durability::Os`].
    pub durability: Durability,
    /// Memory for blocks read from disk.
    pub cache_bytes: u64,
    /// New events are refused while the disk has less than this free, so that settling and removing still can.
    pub reserve_bytes: u64,
    /// As much of the history is in one file, about.
    pub archive_log_bytes: u64,
    pub meters: WriterMeters,
}

impl EmbeddedConfig {
    /// The defaults, in this folder.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        const MIB: u64 = 1024 * 1024;
        Self {
            path: path.into(),
            durability: Durability::Fsync,
            cache_bytes: 16 * MIB,
            reserve_bytes: 256 * MIB,
            archive_log_bytes: archive::LOG_BYTES,
            meters: WriterMeters::default(),
        }
    }
}

/// See the module.
#[derive(Debug)]
pub struct EmbeddedStore {
    shared: Arc<Shared>,
    requests: mpsc::Sender<Op>,
    recovery: RecoveryReport,
}

impl EmbeddedStore {
    /// Opens the folder and reads what is in it: a second or so for a million unfinished deliveries. Blocks.
    ///
    /// # Errors
    /// [`StoreError::Locked`] when another process has the folder, [`StoreError::NewerFormat`], [`StoreError::Corrupt`]
    /// (never a silent reset), or what the system says.
    pub fn open(config: EmbeddedConfig) -> Result<Self, StoreError> {
        let in_folder = |error: &std::io::Error| match fault::from_io(error) {
            StoreError::Unavailable(text) => StoreError::Unavailable(format!("{}: {text}", config.path.display())),
            other => other,
        };
        std::fs::create_dir_all(&config.path).map_err(|error| in_folder(&error))?;
        let lock = FolderLock::acquire(&config.path)?;
        let (shared, found) = Shared::open(config)?;
        let shared = Arc::new(shared);
        let (requests, queue) = mpsc::channel(QUEUE);
        Writer::start(shared.clone(), queue, lock, found.marks)?;
        Ok(Self { shared, requests, recovery: found.report })
    }

    /// Hands a request to the writer and waits for its answer.
    fn ask<'a, T: Send + 'a>(&'a self, op: impl FnOnce(Answer<T>) -> Op + Send + 'a) -> StoreFuture<'a, T> {
        async move {
            let (answer, answered) = oneshot::channel();
            self.requests.send(op(answer)).await.map_err(|_| StoreError::Closed)?;
            answered.await.unwrap_or_else(|_| {
                let is_closed = self.shared.is_closed.load(Relaxed);
                let failed = || StoreError::Unavailable("the store's writer failed; see the log".into());
                Err(if is_closed { StoreError::Closed } else { failed() })
            })
        }
        .boxed()
    }

    /// Reads on a blocking thread.
    fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Shared, &Tables) -> Result<T, StoreError> + Send + 'static,
    ) -> StoreFuture<'_, T> {
        let shared = self.shared.clone();
        async move {
            let reading = tokio::task::spawn_blocking(move || {
                let tables = shared.tables()?;
                work(&shared, &tables)
            });
            reading.await.unwrap_or_else(|error| Err(StoreError::Unavailable(format!("a read failed: {error}"))))
        }
        .boxed()
    }

    /// A read of a few keys, where the caller is.
    fn read_here<'a, T: Send + 'a>(
        &'a self,
        work: impl FnOnce(&Shared, &Tables) -> Result<T, StoreError> + Send + 'a,
    ) -> StoreFuture<'a, T> {
        async move { work(&self.shared, &*self.shared.tables()?) }.boxed()
    }
}

impl Store for EmbeddedStore {
    fn append(&self, batch: Vec<Append>) -> StoreFuture<'_, Vec<Appended>> {
        self.ask(|answer| Op::Append(batch, answer))
    }

    fn settle(&self, batch: Vec<Settle>) -> StoreFuture<'_, ()> {
        self.ask(|answer| Op::Settle(batch, answer))
    }

    fn flush(&self) -> StoreFuture<'_, ()> {
        self.ask(Op::Flush)
    }

    fn lane(&self, query: LaneQuery) -> StoreFuture<'_, Vec<LaneEntry>> {
        self.read(move |shared, tables| read::lane(tables, &shared.recent, &query))
    }

    fn parked_keys(&self, webhook: WebhookId, limit: usize) -> StoreFuture<'_, Vec<u64>> {
        self.read(move |_, tables| read::parked_keys(tables, webhook, limit))
    }

    fn active_lanes(&self) -> StoreFuture<'_, Vec<(WebhookId, LaneCounts)>> {
        self.read_here(|shared, _| {
            let active = shared.counts.active().into_iter();
            Ok(active.map(|(webhook, counts)| (WebhookId::from_u128(webhook), counts)).collect())
        })
    }

    fn unfinished(&self) -> u64 {
        self.shared.counts.totals(|totals| totals.unfinished)
    }

    fn lane_counts(&self, webhook: WebhookId) -> LaneCounts {
        self.shared.counts.of(webhook.as_u128())
    }

    fn events(&self, ids: Vec<EventId>) -> StoreFuture<'_, Vec<Option<Arc<Event>>>> {
        if ids.len() <= FEW_EVENTS {
            return self.read_here(move |_, tables| read::events(tables, &ids));
        }
        self.read(move |_, tables| read::events(tables, &ids))
    }

    fn deliveries(&self, query: DeliveryQuery) -> StoreFuture<'_, Vec<Delivery>> {
        self.read(move |shared, tables| deliveries::list(tables, &shared.recent, &shared.counts, &query))
    }

    fn timeline(&self, webhook: WebhookId, event: EventId) -> StoreFuture<'_, Option<Timeline>> {
        self.read(move |shared, tables| deliveries::timeline(tables, &shared.recent, webhook, event))
    }

    fn requeue(
        &self,
        webhook: WebhookId,
        event: EventId,
        origin: AttemptOrigin,
        due: Timestamp,
    ) -> StoreFuture<'_, Requeue> {
        self.ask(move |answer| Op::Requeue { webhook, event, origin, due, answer })
    }

    fn finished(
        &self,
        webhook: WebhookId,
        range: Range<EventId>,
        statuses: Vec<DeliveryStatus>,
        limit: usize,
    ) -> StoreFuture<'_, Vec<EventId>> {
        self.read(move |_, tables| deliveries::finished(tables, webhook, range, &statuses, limit))
    }

    fn cancel_lane(&self, webhook: WebhookId, limit: usize) -> StoreFuture<'_, bool> {
        self.ask(move |answer| Op::CancelLane(webhook, limit, answer))
    }

    fn message(&self, instance: &InstanceId, message_id: &str) -> StoreFuture<'_, Option<MessageStatus>> {
        let (instance, message_id) = (instance.clone(), Box::<str>::from(message_id));
        // Not here: a snapshot may wait for a commit, and so for a sync.
        self.read(move |shared, tables| read::message(tables, &shared.expiries.messages, &instance, &message_id))
    }

    fn directory(&self) -> StoreFuture<'_, DirectoryRecords> {
        self.read(|_, tables| read::directory(tables))
    }

    fn change_directory(&self, changes: Vec<DirectoryChange>) -> StoreFuture<'_, ()> {
        self.ask(|answer| Op::ChangeDirectory(changes, answer))
    }

    fn setting(&self, name: &'static str) -> StoreFuture<'_, Option<Vec<u8>>> {
        self.read_here(move |_, tables| read::setting(tables, name))
    }

    fn put_setting(&self, name: &'static str, value: Vec<u8>) -> StoreFuture<'_, ()> {
        self.ask(move |answer| Op::PutSetting(name, value, answer))
    }

    fn put_setting_if_absent(&self, name: &'static str, value: Vec<u8>) -> StoreFuture<'_, Vec<u8>> {
        self.ask(move |answer| Op::PutSettingIfAbsent(name, value, answer))
    }

    fn records(&self) -> RecordStream<'_> {
        let next = move |reached| async move {
            let (page, reached) =
                self.read(move |shared, tables| moving::page(tables, &shared.recent, reached)).await?;
            let is_end = page.is_empty() && matches!(reached, moving::Reached::End);
            Ok((!is_end).then_some((page, reached)))
        };
        stream::try_unfold(moving::Reached::Event(None), next).boxed()
    }

    fn restore(&self, records: Vec<Record>) -> StoreFuture<'_, u64> {
        self.ask(|answer| Op::Restore(records, answer))
    }

    fn retain(&self, now: Timestamp, retention: Retention) -> StoreFuture<'_, RetentionStep> {
        self.ask(move |answer| Op::Retain(now, retention, answer))
    }

    fn durability(&self) -> Durability {
        self.shared.config.durability
    }

    fn recovery(&self) -> RecoveryReport {
        self.recovery.clone()
    }

    fn stats(&self) -> StoreStats {
        let figures = &self.shared.figures;
        let (unfinished, dead) = self.shared.counts.totals(|totals| (totals.unfinished, totals.dead));
        StoreStats {
            unfinished,
            dead,
            disk_bytes: figures.disk_bytes.load(Relaxed) + figures.freeing_bytes.load(Relaxed),
            disk_free_bytes: figures.disk_free_bytes.load(Relaxed),
            commits: figures.commits.load(Relaxed),
            fsyncs: figures.fsyncs.load(Relaxed),
            disk_reserve_bytes: self.shared.config.reserve_bytes,
            written_bytes: figures.written_bytes.load(Relaxed),
            ..StoreStats::default()
        }
    }

    fn check(&self) -> StoreFuture<'_, ()> {
        self.ask(Op::Check)
    }

    fn close(&self) -> StoreFuture<'_, ()> {
        async move {
            match self.ask(Op::Close).await {
                Err(StoreError::Closed) => Ok(()),
                answer => answer,
            }
        }
        .boxed()
    }
}

#[cfg(test)]
mod tests;
