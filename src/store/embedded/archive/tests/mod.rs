//! What the archive tells must be what was put in, wherever it lies and whatever comes and goes meanwhile.

mod damage;
mod going;
mod reading;

use fjall::{KeyspaceCreateOptions, PersistMode};

use super::super::rows::Standing;
use super::*;
use crate::domain::{EventKind, Timestamp};
use crate::store::contract::fixtures::{attempt, event_id};

/// An archive beside a table of events.
struct House {
    folder: tempfile::TempDir,
    db: Database,
    events: Keyspace,
}

impl House {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let db = Database::builder(folder.path().join("store")).open().unwrap();
        let events = db.keyspace("events", KeyspaceCreateOptions::default).unwrap();
        Self { folder, db, events }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("archive")
    }

    fn open(&self, log_bytes: u64) -> Archive {
        Archive::open(&self.path(), true, log_bytes, &self.db, &self.events).unwrap()
    }

    fn accept(&self, event: EventId) {
        self.events.insert(event.to_be_bytes(), []).unwrap();
        self.db.persist(PersistMode::Buffer).unwrap();
    }

    fn forget(&self, event: EventId) {
        self.events.remove(event.to_be_bytes()).unwrap();
    }

    fn files(&self) -> Vec<String> {
        let items = std::fs::read_dir(self.path()).unwrap();
        let mut names: Vec<_> = items.map(|item| item.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

/// Told apart by `at`.
fn row(at: u64) -> HistoryRow {
    let attempt = Some(attempt(1, true));
    HistoryRow {
        kind: EventKind::MessagesUpsert,
        at: Timestamp::from_millis(at),
        standing: Standing::Delivered,
        attempt,
    }
}

fn add(archive: &Archive, rows: &[(DeliveryKey, u64)]) {
    let mut frame = Frame::default();
    for (key, at) in rows {
        frame.add(*key, &row(*at)).unwrap();
    }
    archive.append(frame).unwrap();
}

fn id(number: u64) -> EventId {
    event_id(number, 0)
}

/// Waits until the thread has done what it was asked for.
fn rest(archive: &Archive) {
    let (tell, told) = std::sync::mpsc::channel();
    archive.keeper.ask(Work::Tell(tell)).unwrap();
    told.recv().unwrap();
}
