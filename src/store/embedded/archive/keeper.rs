//! The archive's own thread: syncs what was written, seals full logs, takes away what retention has walked past.

use std::collections::VecDeque;
use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use ahash::AHashSet;
use fjall::{Database, Keyspace, PersistMode};

use super::super::fault::{corrupt, from_io};
use super::super::keys;
use super::frame::read_all;
use super::record::{Record, Records};
use super::rows::Source;
use super::segment::{self, Segment};
use super::{Inner, SYNC_EVERY};
use crate::domain::EventId;
use crate::store::StoreError;

/// A removed file gives its room back in such steps: at once, every sync would wait for all of it where the disk is told of free room.
const FREED_AT_ONCE: u64 = 1024 * 1024;
const FREED_EVERY: Duration = Duration::from_millis(8);

/// What the thread is asked for.
#[derive(Debug)]
pub enum Work {
    /// Something was written that is not synced.
    SyncSoon,
    /// The log of this number is full.
    Seal(u64),
    /// Retention has walked past a segment.
    Sweep,
    /// All before it is done.
    #[cfg(test)]
    Tell(Sender<()>),
    End,
}

/// The thread, until this is dropped.
#[derive(Debug)]
pub struct Keeper {
    work: Sender<Work>,
    thread: Option<JoinHandle<()>>,
}

impl Keeper {
    pub fn start(archive: Arc<Inner>, db: Database, events: Keyspace) -> Result<Self, StoreError> {
        let (work, asked) = channel();
        let mut shift = Shift { archive, db, events, leaving: VecDeque::new() };
        let thread = std::thread::Builder::new().name("store-archive".into()).spawn(move || shift.run(&asked));
        let thread = thread.map_err(|error| StoreError::Unavailable(error.to_string()))?;
        Ok(Self { work, thread: Some(thread) })
    }

    /// Fails when the thread is no more.
    pub fn ask(&self, work: Work) -> Result<(), StoreError> {
        let ended = |_| StoreError::Unavailable("the archive's thread failed; see the log".into());
        self.work.send(work).map_err(ended)
    }
}

impl Drop for Keeper {
    /// Waits for what is being written: the tables are closed when the thread has let go of them.
    fn drop(&mut self) {
        drop(self.ask(Work::End));
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

struct Shift {
    archive: Arc<Inner>,
    db: Database,
    events: Keyspace,
    leaving: VecDeque<Leaving>,
}

/// A file without a name whose room is given back step by step, once nobody reads it.
struct Leaving {
    source: Source,
    file: File,
    left: u64,
}

impl Shift {
    fn run(&mut self, asked: &Receiver<Work>) {
        let mut sync_at: Option<Instant> = None;
        loop {
            let mut left = sync_at.map(|at| at.saturating_duration_since(Instant::now()));
            if !self.leaving.is_empty() {
                left = Some(left.map_or(FREED_EVERY, |left| left.min(FREED_EVERY)));
            }
            let next = match left {
                Some(left) => asked.recv_timeout(left),
                None => asked.recv().map_err(|_| RecvTimeoutError::Disconnected),
            };
            let done = match next {
                Ok(Work::SyncSoon) => {
                    sync_at.get_or_insert_with(|| Instant::now() + SYNC_EVERY);
                    Ok(())
                }
                Ok(Work::Seal(number)) => self.seal(number),
                Ok(Work::Sweep) => self.sweep(),
                #[cfg(test)]
                Ok(Work::Tell(who)) => {
                    who.send(()).unwrap();
                    Ok(())
                }
                Err(RecvTimeoutError::Timeout) => {
                    self.free();
                    match sync_at.take_if(|at| *at <= Instant::now()) {
                        Some(_) => self.archive.sync(),
                        None => Ok(()),
                    }
                }
                Ok(Work::End) | Err(RecvTimeoutError::Disconnected) => return,
            };
            // A log that could not be sealed is read as it is, and sealed when the store is opened next.
            if let Err(error) = done {
                tracing::error!(%error, "the archive of deliveries could not be kept");
            }
        }
    }

    fn seal(&mut self, number: u64) -> Result<(), StoreError> {
        let Some(log) = self.archive.files.read().logs.get(&number).cloned() else { return Ok(()) };
        let bytes = log.read()?;
        let mut records = Vec::with_capacity(log.records() as usize);
        read_all(&bytes, |_, record| {
            records.push(record);
            Ok(())
        })?;
        if self.archive.syncs {
            // A log tells after a crash what was settled; from a segment nobody asks that. So all rows of the lanes' table that its
            // settlements removed must be gone for good.
            self.db.persist(PersistMode::SyncData)?;
        }
        let sealed = segment::write(&self.archive.folder, number, records)?;
        sealed.doomed.store(log.doomed.load(Relaxed), Relaxed);
        {
            let mut files = self.archive.files.write();
            files.segments.insert(sealed.number, Arc::new(sealed));
            files.logs.remove(&number);
        }
        self.remove(Source::Log(log))
    }

    fn sweep(&mut self) -> Result<(), StoreError> {
        loop {
            let (walked, walk) = {
                let progress = self.archive.progress.lock();
                (progress.walked, progress.walk)
            };
            let Some(segment) = self.archive.files.read().to_sweep(walked, walk).cloned() else { return Ok(()) };
            segment.swept_in.store(walk, Relaxed);
            self.sweep_one(&segment, walk)?;
        }
    }

    /// Removes the segment, or what of it nobody needs any more when that is most of it.
    fn sweep_one(&mut self, segment: &Arc<Segment>, walk: u64) -> Result<(), StoreError> {
        let kept = self.events_in(segment)?;
        if kept.is_empty() {
            self.archive.files.write().segments.remove(&segment.number);
            return self.remove(Source::Segment(segment.clone()));
        }
        let Some(reader) = segment.reader()? else { return Ok(()) };
        let mut blocks = Vec::new();
        for at in reader.all_blocks() {
            blocks.push(reader.block(at)?);
        }
        let mut records: Vec<Record<'_>> = Vec::new();
        for record in blocks.iter().flat_map(|block| Records::of(block)) {
            let (_, record) = record?;
            if kept.contains(&record.key.1) {
                records.push(record);
            }
        }
        if records.is_empty() {
            self.archive.files.write().segments.remove(&segment.number);
            return self.remove(Source::Segment(segment.clone()));
        }
        if 2 * records.len() as u64 > segment.records {
            return Ok(());
        }
        let file = File::options().write(true).open(&segment.path).map_err(|error| from_io(&error))?;
        let smaller = segment::write(&self.archive.folder, segment.number, records)?;
        smaller.swept_in.store(walk, Relaxed);
        self.archive.files.write().segments.insert(smaller.number, Arc::new(smaller));
        self.leaving.push_back(Leaving { left: segment.bytes, source: Source::Segment(segment.clone()), file });
        Ok(())
    }

    /// Takes a file's name away; its room follows.
    fn remove(&mut self, source: Source) -> Result<(), StoreError> {
        let removed = || -> std::io::Result<(File, u64)> {
            let file = File::options().write(true).open(source.path())?;
            let left = file.metadata()?.len();
            std::fs::remove_file(source.path())?;
            Ok((file, left))
        };
        let (file, left) = removed().map_err(|error| from_io(&error))?;
        self.leaving.push_back(Leaving { source, file, left });
        Ok(())
    }

    /// Gives back a little of what has left.
    fn free(&mut self) {
        let Some(at) = self.leaving.iter().position(|leaving| leaving.source.is_let_go()) else { return };
        let leaving = &mut self.leaving[at];
        leaving.left = leaving.left.saturating_sub(FREED_AT_ONCE);
        if leaving.left == 0 || leaving.file.set_len(leaving.left).is_err() {
            drop(self.leaving.remove(at));
        }
    }

    /// The events on record of the time of a segment: few when retention has walked past them.
    fn events_in(&self, segment: &Segment) -> Result<AHashSet<EventId>, StoreError> {
        let span = keys::event(segment.span.oldest)..=keys::event(segment.span.newest);
        let mut found = AHashSet::new();
        for guard in self.events.range(span) {
            let key = guard.key()?;
            let raw = (*key).try_into().map_err(|_| corrupt("an event", &"its key is not 16 bytes long"))?;
            found.insert(EventId::from_be_bytes(raw));
        }
        Ok(found)
    }
}
