//! The one thread that writes. It takes what is queued, makes one atomic batch of it, syncs once if any of it needs that,
//! then answers. So concurrent requests share a sync, and nothing is answered before it is as durable as promised.
//!
//! Settlements alone are handed to the system at once and synced with the next append, or after [`SYNC_AFTER`].
//! After a failed write the library below refuses all more: the tables are closed, opened again and counted anew.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use fjall::PersistMode;
use tokio::runtime::Runtime;
use tokio::sync::mpsc;

use super::append::append;
use super::counts::Change;
use super::freeing::Freeing;
use super::keys::Key;
use super::lock::FolderLock;
use super::marks::Marks;
use super::moving::restore;
use super::operate::{cancel_lane, change_directory, requeue};
use super::recover::mark_closed;
use super::requests::{Answer, Commit, Op};
use super::retention::{Pass, Walks};
use super::settle::settle;
use super::shared::Shared;
use super::stage::Stage;
use super::tables::{Table, Tables};
use super::write_buffers::WriteBuffers;
use crate::domain::WebhookId;
use crate::store::{Durability, StoreError};

/// Settlements not yet synced wait this long at most: what a loss of power can make happen again.
const SYNC_AFTER: Duration = Duration::from_millis(100);
const MEASURE_DISK_EVERY: Duration = Duration::from_secs(1);
/// Between two attempts to open the tables again.
const REOPEN_EVERY: Duration = Duration::from_secs(1);
/// One commit takes no more than this, give or take one request.
const COMMIT_REQUESTS: usize = 1_024;

/// Why the writer stops waiting.
enum Wake {
    Asked(Box<Op>),
    /// Settlements have waited long enough for a sync.
    SyncDue,
    /// Nobody can ask any more.
    Abandoned,
}

/// See the module.
pub struct Writer {
    shared: Arc<Shared>,
    requests: mpsc::Receiver<Op>,
    /// Only to wait for a request or a deadline.
    clock: Runtime,
    lock: FolderLock,
    _freeing: Option<Freeing>,
    write_buffers: WriteBuffers,
    marks: Marks,
    walks: Walks,
    /// How far the lane being cancelled is empty; forgotten when something enters it.
    cancelled: Option<(WebhookId, Key)>,
    /// Since when something handed to the system is not synced.
    unsynced_since: Option<Instant>,
    measured_at: Instant,
    /// A write failed: the library refuses all more until its files are opened again.
    must_reopen: bool,
    /// When opening the tables again failed last, and how.
    reopen_failed: Option<(Instant, StoreError)>,
}

impl Writer {
    pub fn start(
        shared: Arc<Shared>,
        requests: mpsc::Receiver<Op>,
        lock: FolderLock,
        marks: Marks,
    ) -> Result<(), StoreError> {
        let unavailable = |error: std::io::Error| StoreError::Unavailable(error.to_string());
        let clock = tokio::runtime::Builder::new_current_thread().enable_time().build().map_err(unavailable)?;
        let writer = Self {
            _freeing: Freeing::start(Arc::clone(&shared)),
            write_buffers: WriteBuffers::start(Arc::clone(&shared))?,
            shared,
            requests,
            clock,
            lock,
            marks,
            walks: Walks::default(),
            cancelled: None,
            unsynced_since: None,
            measured_at: Instant::now(),
            must_reopen: false,
            reopen_failed: None,
        };
        std::thread::Builder::new().name("store-writer".into()).spawn(move || writer.run()).map_err(unavailable)?;
        Ok(())
    }

    fn run(mut self) {
        loop {
            let first = match self.next() {
                Wake::Asked(op) => *op,
                Wake::SyncDue => {
                    self.sync_late();
                    continue;
                }
                Wake::Abandoned => return self.end(None),
            };
            let mut group = vec![first];
            while group.len() < COMMIT_REQUESTS
                && let Ok(op) = self.requests.try_recv()
            {
                group.push(op);
            }
            if let Some(answer) = self.serve(group) {
                return self.end(Some(answer));
            }
        }
    }

    fn next(&mut self) -> Wake {
        let asked = |received: Option<Op>| received.map_or(Wake::Abandoned, |op| Wake::Asked(Box::new(op)));
        let Some(since) = self.unsynced_since else { return asked(self.requests.blocking_recv()) };
        let requests = &mut self.requests;
        let left = SYNC_AFTER.saturating_sub(since.elapsed());
        let received = self.clock.block_on(async { tokio::time::timeout(left, requests.recv()).await });
        received.map_or(Wake::SyncDue, asked)
    }

    /// Serves a group of requests in order; answers whom to tell when it is time to end.
    fn serve(&mut self, group: Vec<Op>) -> Option<Answer<()>> {
        if self.measured_at.elapsed() >= MEASURE_DISK_EVERY {
            self.shared.measure_disk();
            self.measured_at = Instant::now();
        }
        let mut rest = group.into_iter().peekable();
        while rest.peek().is_some() {
            let tables = match self.usable_tables() {
                Ok(tables) => tables,
                Err(error) => {
                    for op in rest {
                        match op {
                            Op::Close(answer) => return Some(answer),
                            op => op.refuse(error.clone()),
                        }
                    }
                    return None;
                }
            };
            self.write_buffers.wait_for_files(&tables);
            let shared = Arc::clone(&self.shared);
            let mut commit = Commit::new(&tables, &shared.recent);
            while let Some(op) = rest.next_if(|op| !matches!(op, Op::Close(_)) && commit.has_room_for(op)) {
                self.stage(&mut commit, op);
            }
            self.finish(commit);
            drop(tables);
            if std::mem::take(&mut self.must_reopen) {
                self.reopen();
            }
            if let Some(Op::Close(answer)) = rest.next_if(|op| matches!(op, Op::Close(_))) {
                for late in rest {
                    late.refuse(StoreError::Closed);
                }
                return Some(answer);
            }
        }
        None
    }

    /// Stages one request. An error spoils the whole commit: what is half staged must not be written.
    fn stage(&mut self, commit: &mut Commit<'_>, op: Op) {
        let staged = catch_unwind(AssertUnwindSafe(|| self.try_stage(commit, op)));
        if staged.is_err() {
            commit
                .spoilt
                .get_or_insert_with(|| StoreError::Unavailable("the store's writer failed; see the log".into()));
        }
    }

    fn try_stage(&mut self, commit: &mut Commit<'_>, op: Op) {
        commit.is_alone = op.reads_committed();
        match op {
            Op::Append(batch, answer) => {
                if let Err(error) = self.shared.check_room() {
                    return drop(answer.send(Err(error)));
                }
                commit.needs_sync = true;
                let appended = batch.iter().map(|one| append(&mut commit.stage, one)).collect();
                commit.take(appended, answer);
            }
            Op::Settle(batch, answer) => {
                let settled = batch.into_iter().try_for_each(|one| settle(&mut commit.stage, one));
                commit.take(settled, answer);
            }
            Op::Flush(answer) => {
                commit.needs_sync = true;
                commit.flushes = true;
                commit.take(Ok(()), answer);
            }
            Op::ChangeDirectory(changes, answer) => {
                commit.needs_sync = true;
                let staged = changes.iter().try_for_each(|change| change_directory(&mut commit.stage, change));
                commit.take(staged, answer);
            }
            Op::PutSetting(name, value, answer) => {
                commit.needs_sync = true;
                commit.stage.put(Table::Meta, super::read::setting_key(name), value);
                commit.take(Ok(()), answer);
            }
            Op::PutSettingIfAbsent(name, value, answer) => {
                commit.needs_sync = true;
                let in_force = super::read::setting(commit.stage.tables(), name).map(|known| {
                    known.unwrap_or_else(|| {
                        commit.stage.put(Table::Meta, super::read::setting_key(name), value.clone());
                        value
                    })
                });
                commit.take(in_force, answer);
            }
            Op::Requeue { webhook, event, origin, due, answer } => {
                commit.needs_sync = true;
                let requeued = requeue(&mut commit.stage, webhook, event, origin, due);
                commit.take(requeued, answer);
            }
            Op::CancelLane(webhook, limit, answer) => {
                let waiting = self.shared.counts.of(webhook.as_u128()).unfinished();
                let after = self.cancelled.as_ref().filter(|(of, _)| *of == webhook).map(|(_, after)| after);
                let cancelled = cancel_lane(&mut commit.stage, webhook, limit, after);
                if let Ok(last) = &cancelled {
                    self.cancelled = last.clone().map(|last| (webhook, last));
                }
                commit.take(cancelled.map(|_| waiting > limit as u64), answer);
            }
            Op::Retain(now, retention, answer) => {
                let pass = Pass {
                    now,
                    retention,
                    counts: &self.shared.counts,
                    expiries: &self.shared.expiries,
                    marks: &self.marks,
                };
                let step = pass.step(&mut commit.stage, &mut self.walks);
                commit.take(step, answer);
            }
            Op::Restore(records, answer) => {
                if let Err(error) = self.shared.check_room() {
                    return drop(answer.send(Err(error)));
                }
                commit.needs_sync = true;
                let restored = records.into_iter().map(|one| Ok(u64::from(restore(&mut commit.stage, one)?))).sum();
                commit.take(restored, answer);
            }
            Op::Check(answer) => {
                let checked = self.shared.check_room();
                if let Err(error) = checked {
                    return drop(answer.send(Err(error)));
                }
                commit.take(Ok(()), answer);
            }
            // `serve` stops before it.
            Op::Close(answer) => drop(answer.send(Err(StoreError::Closed))),
        }
    }

    /// Commits, counts, answers.
    fn finish(&mut self, commit: Commit<'_>) {
        let Commit { stage, replies, needs_sync, flushes, spoilt, .. } = commit;
        let syncs = needs_sync && self.shared.config.durability == Durability::Fsync;
        let committed = if let Some(error) = spoilt {
            Err(error)
        } else {
            let committed = catch_unwind(AssertUnwindSafe(|| self.commit(stage, syncs, flushes)))
                .unwrap_or_else(|_| Err(StoreError::Unavailable("the store's writer failed; see the log".into())));
            self.must_reopen |= committed.is_err();
            committed
        };
        if let Err(error) = &committed {
            tracing::error!(%error, "a commit failed");
        }
        for reply in replies {
            reply(committed.clone());
        }
    }

    fn commit(&mut self, stage: Stage<'_>, syncs: bool, flushes: bool) -> Result<(), StoreError> {
        let tables = stage.tables();
        let (is_empty, written_bytes, began) = (stage.is_empty(), stage.written_bytes(), Instant::now());
        let changes = stage.commit(if syncs { PersistMode::SyncData } else { PersistMode::Buffer }, &mut self.marks)?;
        if is_empty && syncs && self.unsynced_since.is_some() {
            tables.db.persist(PersistMode::SyncData)?;
        }
        if flushes {
            tables.archive.sync()?;
        }
        if !is_empty || syncs {
            let meters = &self.shared.config.meters;
            if syncs { &meters.synced } else { &meters.unsynced }.record(began.elapsed());
        }
        let enters = |webhook: WebhookId| {
            let webhook = webhook.as_u128();
            changes.iter().any(|change| matches!(change, Change::Enter(entry) if entry.webhook == webhook))
        };
        self.cancelled.take_if(|(webhook, _)| enters(*webhook));
        self.shared.counts.apply(&changes);
        self.shared.figures.commits.fetch_add(u64::from(!is_empty), Relaxed);
        self.shared.figures.written_bytes.fetch_add(written_bytes, Relaxed);
        self.write_buffers.wrote(written_bytes);
        if syncs {
            self.shared.figures.fsyncs.fetch_add(1, Relaxed);
            self.unsynced_since = None;
        } else if !is_empty && self.shared.config.durability == Durability::Fsync {
            self.unsynced_since.get_or_insert_with(Instant::now);
        }
        Ok(())
    }

    fn sync_late(&mut self) {
        self.unsynced_since = None;
        let floor = self.shared.recent.read().floor();
        let synced = self.shared.tables().and_then(|tables| {
            tables.archive.sync()?;
            // Once more after the last commit of a busy time.
            self.marks.settle(&tables, floor)?;
            Ok(tables.db.persist(PersistMode::SyncData)?)
        });
        match synced {
            Ok(()) => drop(self.shared.figures.fsyncs.fetch_add(1, Relaxed)),
            Err(error) => {
                tracing::error!(%error, "settlements could not be synced; opening the store again");
                self.reopen();
            }
        }
    }

    /// The tables, opened again if an earlier write failed, but not at every request.
    fn usable_tables(&mut self) -> Result<Arc<Tables>, StoreError> {
        if let Some((at, error)) = &self.reopen_failed {
            if at.elapsed() < REOPEN_EVERY {
                return Err(error.clone());
            }
            self.reopen();
        }
        match &self.reopen_failed {
            Some((_, error)) => Err(error.clone()),
            None => self.shared.tables(),
        }
    }

    fn reopen(&mut self) {
        drop(self.shared.take_tables());
        self.unsynced_since = None;
        match self.shared.open_tables() {
            Ok(mut found) => {
                tracing::warn!(unfinished = found.report.unfinished, took = ?found.report.took, "the store is open again");
                self.shared.counts.replace(std::mem::take(&mut found.totals));
                *self.shared.recent.write() = std::mem::take(&mut found.recent);
                self.marks = found.marks;
                self.walks = Walks::default();
                self.cancelled = None;
                self.reopen_failed = None;
            }
            Err(error) => {
                tracing::error!(%error, "the store could not be opened again");
                self.reopen_failed = Some((Instant::now(), error));
            }
        }
    }

    /// Syncs, marks the end as clean, lets go of the folder, then tells.
    fn end(mut self, answer: Option<Answer<()>>) {
        self.shared.is_closed.store(true, Relaxed);
        let marked = match self.shared.take_tables() {
            Some(tables) => {
                let floor = self.shared.recent.read().floor();
                let synced = tables.archive.sync().and_then(|()| self.marks.settle(&tables, floor));
                synced.and_then(|()| mark_closed(&tables))
            }
            None => Err(StoreError::Unavailable("reads did not end, or an earlier write failed".into())),
        };
        if let Err(error) = &marked {
            tracing::error!(%error, "the store was not closed cleanly");
        }
        drop(self.lock);
        if let Some(answer) = answer {
            drop(answer.send(marked));
        }
    }
}
