//! One commit in the making: writes of many requests, each key at most once, and what they change in the counts.

use std::collections::HashMap;

use ahash::AHashSet;
use fjall::{PersistMode, UserValue};
use parking_lot::{RwLock, RwLockReadGuard};
use serde::Serialize;

use super::archive::Frame;
use super::counts::Change;
use super::keys::{self, Key};
use super::marks::Marks;
use super::recent::Recent;
use super::rows::{HistoryRow, LaneRow, decode, encode};
use super::tables::{Table, Tables};
use crate::domain::{EventId, LaneEntry, WebhookIdBits};
use crate::store::StoreError;

/// Where an entry was that has left.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Left {
    Committed,
    /// It entered in the same commit.
    Uncommitted,
}

pub struct Stage<'t> {
    tables: &'t Tables,
    recent: &'t RwLock<Recent>,
    /// What is in memory only, as it was before this commit: only the writer changes it.
    before: RwLockReadGuard<'t, Recent>,
    /// Entries that stay in memory.
    fresh: Vec<LaneEntry>,
    /// Entries that leave memory.
    left: Vec<LaneEntry>,
    left_ids: AHashSet<(WebhookIdBits, EventId)>,
    /// Nothing stays in memory, and no event up to this one is looked through any more.
    spills_all: Option<EventId>,
    /// A key that was written twice in one batch would have no defined value in the store below: the last write is kept here.
    writes: HashMap<(Table, Key), Option<UserValue>, ahash::RandomState>,
    /// What goes to the archive.
    archived: Frame,
    changes: Vec<Change>,
    /// What the commit adds to and takes from events and history.
    grown_bytes: i64,
    staged_bytes: usize,
}

impl<'t> Stage<'t> {
    pub fn new(tables: &'t Tables, recent: &'t RwLock<Recent>) -> Self {
        Self {
            tables,
            recent,
            before: recent.read(),
            fresh: Vec::new(),
            left: Vec::new(),
            left_ids: AHashSet::new(),
            spills_all: None,
            writes: HashMap::default(),
            archived: Frame::default(),
            changes: Vec::new(),
            grown_bytes: 0,
            staged_bytes: 0,
        }
    }

    /// What is in memory only, as it was before this commit.
    pub fn recent(&self) -> &Recent {
        &self.before
    }

    /// Deliveries of this event have neither history nor a row although they do not wait: they must not look fresh after a crash.
    pub fn spill_all_to(&mut self, event: EventId) {
        self.spills_all = self.spills_all.max(Some(event));
    }

    pub const fn tables(&self) -> &'t Tables {
        self.tables
    }

    pub fn is_empty(&self) -> bool {
        self.writes.is_empty() && self.archived.is_empty()
    }

    pub const fn staged_bytes(&self) -> usize {
        self.staged_bytes
    }

    /// The value as it will be after this commit.
    pub fn get(&self, table: Table, key: &Key) -> Result<Option<UserValue>, StoreError> {
        match self.writes.get(&(table, key.clone())) {
            Some(value) => Ok(value.clone()),
            None => Ok(self.tables.of(table).get(key)?),
        }
    }

    pub fn put(&mut self, table: Table, key: Key, value: Vec<u8>) {
        let bytes = key.len() + value.len();
        self.staged_bytes += bytes;
        if matches!(table, Table::Events | Table::History) {
            self.grown_bytes += bytes as i64;
        }
        self.writes.insert((table, key), Some(value.into()));
    }

    pub fn put_row<T: Serialize>(&mut self, table: Table, key: Key, row: &T) -> Result<(), StoreError> {
        self.put(table, key, encode(row)?);
        Ok(())
    }

    pub fn remove(&mut self, table: Table, key: Key) {
        self.staged_bytes += key.len();
        self.writes.insert((table, key), None);
    }

    /// Removes a record of events or history that took `value_bytes`.
    pub fn remove_sized(&mut self, table: Table, key: Key, value_bytes: usize) {
        self.grown_bytes -= (key.len() + value_bytes) as i64;
        self.remove(table, key);
    }

    /// The entry as its event is stored with it.
    pub fn enter_first(&mut self, entry: &LaneEntry) -> Result<(), StoreError> {
        let is_newest = self.fresh.last().is_none_or(|last| last.event <= entry.event);
        if is_newest && self.before.takes(entry) {
            self.fresh.push(*entry);
            self.changes.push(Change::Enter(*entry));
            return Ok(());
        }
        self.enter_lane(entry)
    }

    pub fn enter_lane(&mut self, entry: &LaneEntry) -> Result<(), StoreError> {
        self.put_row(Table::Lanes, keys::lane(entry), &LaneRow::from(entry))?;
        self.changes.push(Change::Enter(*entry));
        Ok(())
    }

    /// Answers where the entry was; it was nowhere if not with as many attempts: an older life of it may have had the same place.
    /// The read is of a key that was just written or just paged in.
    pub fn leave_lane(&mut self, entry: &LaneEntry) -> Result<Option<Left>, StoreError> {
        // One that has left in this commit may have come back to the same place: as a row.
        if self.before.holds(entry) && self.left_ids.insert((entry.webhook, entry.event)) {
            self.left.push(*entry);
            self.changes.push(Change::Leave(*entry));
            return Ok(Some(Left::Committed));
        }
        // Fresh ones are in the order of their events.
        let first = self.fresh.partition_point(|fresh| fresh.event < entry.event);
        let same = self.fresh[first..].iter().take_while(|fresh| fresh.event == entry.event);
        if let Some(at) = same.enumerate().find_map(|(at, fresh)| (fresh == entry).then_some(at)) {
            self.fresh.remove(first + at);
            self.changes.push(Change::Leave(*entry));
            return Ok(Some(Left::Uncommitted));
        }
        let key = keys::lane(entry);
        let is_uncommitted = self.writes.contains_key(&(Table::Lanes, key.clone()));
        let Some(value) = self.get(Table::Lanes, &key)? else { return Ok(None) };
        let held: LaneRow = decode("a lane entry", &value)?;
        if held.attempts != entry.attempts {
            return Ok(None);
        }
        self.remove(Table::Lanes, key);
        self.changes.push(Change::Leave(*entry));
        Ok(Some(if is_uncommitted { Left::Uncommitted } else { Left::Committed }))
    }

    /// The one row of a delivery whose entry has left a place that was committed: written ahead of the rest of the commit, it tells
    /// after a crash in between that the entry is settled.
    pub fn archive(&mut self, webhook: WebhookIdBits, event: EventId, row: &HistoryRow) -> Result<(), StoreError> {
        self.staged_bytes += self.archived.add((webhook, event), row)?;
        Ok(())
    }

    pub fn add_history(
        &mut self,
        webhook: WebhookIdBits,
        event: EventId,
        (number, step): (u16, u8),
        row: &HistoryRow,
    ) -> Result<(), StoreError> {
        self.put_row(Table::History, keys::history(webhook, event, number, step), row)
    }

    pub fn change(&mut self, change: Change) {
        self.changes.push(change);
    }

    /// Keys and values that the commit hands to the log.
    pub fn written_bytes(&self) -> u64 {
        let bytes = |((_, key), value): (&(Table, Key), &Option<UserValue>)| {
            key.len() + value.as_ref().map_or(0, |value| value.len())
        };
        (self.writes.iter().map(bytes).sum::<usize>() + self.archived.len()) as u64
    }

    /// Makes all of it true at once, as durable as `mode`; answers what it changes in the counts.
    /// `marks` are those before, and after when this succeeds.
    pub fn commit(mut self, mode: PersistMode, marks: &mut Marks) -> Result<Vec<Change>, StoreError> {
        if self.is_empty() && self.spills_all.is_none() {
            return Ok(self.changes);
        }
        let archive = &self.tables.archive;
        let floor = self.spill()?;
        let archived = std::mem::take(&mut self.archived);
        if !archived.is_empty() {
            archive.append(archived)?;
        }
        if self.spills_all.is_some() {
            archive.sync()?;
        }
        let writes_marks = self.spills_all.is_some() || marks.are_due();
        // Not beyond what of the archive is synced; but what is on disk already was right.
        let floor_on_disk = floor.min(archive.safe_floor()).max(marks.floor.unwrap_or(EventId::MIN));
        let marks_after = marks.after(self.grown_bytes, writes_marks.then_some(floor_on_disk));
        let writes = std::mem::take(&mut self.writes);
        let mut batch =
            fjall::OwnedWriteBatch::with_capacity(self.tables.db.clone(), writes.len() + 2).durability(Some(mode));
        for ((table, key), value) in writes {
            match value {
                Some(value) => batch.insert(self.tables.of(table), key.as_slice(), value),
                None => batch.remove(self.tables.of(table), key.as_slice()),
            }
        }
        marks_after.write(marks, self.tables, &mut batch);
        if !batch.is_empty() {
            self.tables.commit(batch)?;
        }
        *marks = marks_after;
        drop(self.before);
        let mut recent = self.recent.write();
        self.left.iter().for_each(|entry| recent.leave(entry));
        self.fresh.iter().for_each(|entry| recent.enter(*entry));
        recent.trim();
        if self.spills_all.is_some() {
            *recent = Recent::from(floor);
        }
        archive.note_floor(recent.floor());
        drop(recent);
        Ok(self.changes)
    }

    /// Stages the rows of entries that leave memory without being settled; answers the floor after this commit.
    fn spill(&mut self) -> Result<EventId, StoreError> {
        let recent = &self.before;
        let floor = recent.floor();
        if let Some(event) = self.spills_all {
            let fresh = std::mem::take(&mut self.fresh);
            let all: Vec<_> = recent.entries().copied().chain(fresh).collect();
            let newest = all.iter().map(|entry| entry.event).max().unwrap_or(event).max(event).max(recent.newest());
            self.spill_these(all)?;
            return Ok(newest.next());
        }
        let old = recent.to_spill(self.fresh.len());
        self.spill_these(old)?;
        Ok(floor)
    }

    fn spill_these(&mut self, entries: Vec<LaneEntry>) -> Result<(), StoreError> {
        for entry in entries {
            if self.left_ids.insert((entry.webhook, entry.event)) {
                self.put_row(Table::Lanes, keys::lane(&entry), &LaneRow::from(&entry))?;
                self.left.push(entry);
            }
        }
        Ok(())
    }
}
