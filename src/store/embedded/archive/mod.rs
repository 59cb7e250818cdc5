//! The archive: the one history row of every delivery that succeeded at its first attempt, in files by time.
//!
//! Nearly all history is such rows. In a tree sorted by webhook each would be written again and again as new ones come between, and
//! leave a tombstone when it goes; here it is written twice and goes with its file.
//!
//! - The writer adds a [`Frame`] per commit to the newest [log](log); what is handed to the system survives a kill, and every
//!   [`SYNC_EVERY`] it is synced, so that a loss of power takes no more than that.
//! - A log that is full is *sealed* by a thread of its own ([`keeper`]): sorted into a [segment](segment).
//! - A segment goes when retention has walked past its events and all of them are gone; when a few had to stay (a dead letter, an entry
//!   that waits) it is written again with only those.
//!
//! A row here is a history row with the number 1 like those in the table, and readers merge both. One whose event is gone may be here
//! for a while and is not shown: who lists rows looks whether the event exists.

mod files;
mod frame;
mod keeper;
mod log;
mod record;
mod rows;
mod segment;
mod span;

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use ahash::{AHashMap, AHashSet};
use fjall::{Database, Keyspace};
use parking_lot::{Mutex, RwLock};

use self::files::Files;
pub use self::frame::Frame;
use self::keeper::{Keeper, Work};
use self::log::Log;
pub use self::record::DeliveryKey;
use self::record::Record;
use self::rows::Source;
pub use self::rows::{Direction, Rows};
use super::fault::from_io;
use super::rows::HistoryRow;
use crate::domain::{EventId, WebhookIdBits};
use crate::store::StoreError;

/// What a loss of power can take: deliveries of that time are made again.
pub const SYNC_EVERY: Duration = Duration::from_millis(100);
/// A log is sealed when it is as long as this: a second of a busy engine.
pub const LOG_BYTES: u64 = 8 * 1024 * 1024;

/// See the module.
#[derive(Debug)]
pub struct Archive {
    inner: Arc<Inner>,
    keeper: Keeper,
}

/// Rows of all deliveries of some events, as bytes.
#[derive(Debug)]
pub struct Window {
    events: Range<EventId>,
    rows: AHashMap<DeliveryKey, Box<[u8]>>,
}

impl Window {
    pub fn holds(&self, event: EventId) -> bool {
        self.events.contains(&event)
    }

    pub fn row(&self, key: DeliveryKey) -> Result<Option<HistoryRow>, StoreError> {
        self.rows.get(&key).and_then(|bytes| Record::read(bytes)).map(|record| record.row()).transpose()
    }
}

#[derive(Debug)]
struct Inner {
    folder: PathBuf,
    log_bytes: u64,
    syncs: bool,
    files: RwLock<Files>,
    progress: Mutex<Progress>,
    /// A sync failed: what was handed to the system since the one before may be lost, whatever later ones answer.
    failed: Mutex<Option<StoreError>>,
}

/// How far the archive is synced, in frames, and what retention has seen.
#[derive(Clone, Copy, Debug, Default)]
struct Progress {
    written: u64,
    synced: u64,
    is_sync_asked: bool,
    /// Deliveries of events before this one are all settled and archived, if they are at all; and what of it is synced.
    floor: EventId,
    synced_floor: EventId,
    /// Retention has looked at all events up to this one, in this walk.
    walked: EventId,
    walk: u64,
}

impl Archive {
    /// Opens the folder, or makes it. A log is sealed when it is as long as `log_bytes`, and synced when `syncs`. What is kept follows
    /// what there is of `events`.
    pub fn open(
        folder: &Path,
        syncs: bool,
        log_bytes: u64,
        db: &Database,
        events: &Keyspace,
    ) -> Result<Self, StoreError> {
        let files = Files::open(folder)?;
        let inner = Arc::new(Inner {
            folder: folder.to_owned(),
            log_bytes,
            syncs,
            files: RwLock::new(files),
            progress: Mutex::default(),
            failed: Mutex::default(),
        });
        let keeper = Keeper::start(inner.clone(), db.clone(), events.clone())?;
        let archive = Self { inner, keeper };
        archive.seal_full()?;
        Ok(archive)
    }

    /// Hands a commit's rows to the system.
    pub fn append(&self, frame: Frame) -> Result<(), StoreError> {
        let inner = &self.inner;
        if let Some(error) = inner.failed.lock().clone() {
            return Err(error);
        }
        let newest = inner.files.read().logs.last_key_value().map(|(_, log)| log.clone());
        let log = match newest {
            Some(log) if log.length() < inner.log_bytes => log,
            _ => {
                let log = Arc::new(Log::create(&inner.folder, inner.files.read().next_number())?);
                inner.files.write().logs.insert(log.number, log.clone());
                self.seal_full()?;
                log
            }
        };
        log.append(frame)?;
        let mut progress = inner.progress.lock();
        progress.written += 1;
        if inner.syncs && !std::mem::replace(&mut progress.is_sync_asked, true) {
            self.keeper.ask(Work::SyncSoon)?;
        }
        Ok(())
    }

    /// All logs but the newest are to be sealed.
    fn seal_full(&self) -> Result<(), StoreError> {
        self.inner
            .files
            .read()
            .logs
            .keys()
            .rev()
            .skip(1)
            .rev()
            .try_for_each(|number| self.keeper.ask(Work::Seal(*number)))
    }

    /// Makes all of it durable.
    pub fn sync(&self) -> Result<(), StoreError> {
        self.inner.sync()
    }

    /// After a commit: nothing of events before `floor` is in memory only.
    pub fn note_floor(&self, floor: EventId) {
        self.inner.progress.lock().floor = floor;
    }

    /// The greatest floor that may be written: what was settled before it must not be lost while the floor stays.
    pub fn safe_floor(&self) -> EventId {
        let progress = self.inner.progress.lock();
        if !self.inner.syncs || progress.written == progress.synced { EventId::MAX } else { progress.synced_floor }
    }

    /// The row of a delivery.
    pub fn find(&self, key: DeliveryKey) -> Result<Option<HistoryRow>, StoreError> {
        let sources = self.inner.files.read().sources(|span| span.holds(key.1));
        // The newest first: what was written twice counts as it was written last.
        for source in sources.iter().rev() {
            let found = match source {
                Source::Log(log) => log.find(key)?,
                Source::Segment(segment) => segment.reader()?.map(|reader| reader.find(key)).transpose()?.flatten(),
            };
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    /// The rows of a webhook, by event.
    pub fn rows(&self, webhook: WebhookIdBits, events: Range<EventId>, direction: Direction) -> Rows {
        let sources = self.inner.files.read().sources(|span| span.meets(&events));
        Rows::new(webhook, events, direction, sources)
    }

    /// All rows of events from `from` on as far as one file goes: who reads everything reads each file once or twice.
    pub fn window(&self, from: EventId) -> Result<Window, StoreError> {
        let sources = self.inner.files.read().sources(|span| span.newest >= from);
        let until = sources.iter().map(|source| source.span().newest.next()).min().unwrap_or(EventId::MAX);
        let (events, mut rows) = (from..until, AHashMap::new());
        for source in sources.into_iter().filter(|source| source.span().meets(&events)) {
            source.each_record(|record| {
                if events.contains(&record.key.1) {
                    rows.insert(record.key, record.bytes.into());
                }
                Ok(())
            })?;
        }
        Ok(Window { events, rows })
    }

    /// Deliveries whose settlement may be known here and not in the tables after a crash: all in logs, and those of events from
    /// `floor` on.
    pub fn settled_from(&self, floor: EventId) -> Result<AHashSet<DeliveryKey>, StoreError> {
        let mut found = AHashSet::new();
        for source in self.inner.files.read().sources(|_| true) {
            let from = match &source {
                Source::Log(_) => EventId::MIN,
                Source::Segment(segment) if segment.span.newest >= floor => floor,
                Source::Segment(_) => continue,
            };
            source.each_record(|record| {
                if record.key.1 >= from {
                    found.insert(record.key);
                }
                Ok(())
            })?;
        }
        Ok(found)
    }

    /// On disk.
    pub fn bytes(&self) -> u64 {
        let files = self.inner.files.read();
        files.logs.values().map(|log| log.length()).sum::<u64>()
            + files.segments.values().map(|one| one.bytes).sum::<u64>()
    }

    /// Of rows whose events are still there, about.
    pub fn live_bytes(&self) -> u64 {
        let files = self.inner.files.read();
        let segments = files.segments.values().map(|one| one.live_bytes());
        segments.sum::<u64>() + files.logs.values().map(|log| log.live_bytes()).sum::<u64>()
    }

    /// An event has been removed with so many deliveries that may have rows here; answers about how many bytes they take.
    pub fn forget(&self, event: EventId, deliveries: u64) -> u64 {
        let files = self.inner.files.read();
        if let Some(segment) = files.segments.values().find(|segment| segment.span.holds(event)) {
            segment.doomed.fetch_add(deliveries, Relaxed);
            return deliveries * segment.bytes / segment.records.max(1);
        }
        let Some(log) = files.logs.values().find(|log| log.span().holds(event)) else { return 0 };
        log.doomed.fetch_add(deliveries, Relaxed);
        deliveries * log.length() / log.records().max(1)
    }

    /// Retention begins at the oldest event again.
    pub fn walk_anew(&self) {
        let mut progress = self.inner.progress.lock();
        progress.walk += 1;
        progress.walked = EventId::MIN;
    }

    /// Retention has looked at all events up to this one.
    pub fn walked_to(&self, event: EventId) {
        let walk = {
            let mut progress = self.inner.progress.lock();
            progress.walked = progress.walked.max(event);
            progress.walk
        };
        if self.inner.files.read().to_sweep(event, walk).is_some() {
            drop(self.keeper.ask(Work::Sweep));
        }
    }
}

impl Inner {
    fn sync(&self) -> Result<(), StoreError> {
        if !self.syncs {
            return Ok(());
        }
        let Progress { written, floor, .. } = {
            let mut progress = self.progress.lock();
            progress.is_sync_asked = false;
            *progress
        };
        let synced = self.sync_files();
        if let Err(error) = &synced {
            *self.failed.lock() = Some(error.clone());
        }
        synced?;
        let mut progress = self.progress.lock();
        progress.synced = progress.synced.max(written);
        progress.synced_floor = progress.synced_floor.max(floor);
        Ok(())
    }

    fn sync_files(&self) -> Result<(), StoreError> {
        let logs: Vec<_> = self.files.read().logs.values().cloned().collect();
        for log in &logs {
            log.sync()?;
        }
        let unnamed = logs.iter().filter(|log| !log.is_named.load(Relaxed));
        if unnamed.clone().next().is_some() {
            std::fs::File::open(&self.folder).and_then(|folder| folder.sync_all()).map_err(|error| from_io(&error))?;
            unnamed.for_each(|log| log.is_named.store(true, Relaxed));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
