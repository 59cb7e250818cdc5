//! One commit in the making: writes of many requests, each key at most once, and what they change in the counts.

use std::collections::HashMap;

use fjall::{PersistMode, UserValue};
use serde::Serialize;

use super::counts::Change;
use super::keys::{self, Key};
use super::rows::{HistoryRow, LaneRow, decode, encode};
use super::tables::{Table, Tables};
use crate::domain::{EventId, LaneEntry, WebhookIdBits};
use crate::store::StoreError;

/// Where the size of events and history is kept: written with each commit, so that it is right after any crash.
pub const HISTORY_BYTES: &[u8] = b"history-bytes";

pub struct Stage<'t> {
    tables: &'t Tables,
    /// A key that was written twice in one batch would have no defined value in the store below: the last write is kept here.
    writes: HashMap<(Table, Key), Option<UserValue>, ahash::RandomState>,
    changes: Vec<Change>,
    /// What the commit adds to and takes from events and history.
    grown_bytes: i64,
    staged_bytes: usize,
}

impl<'t> Stage<'t> {
    pub fn new(tables: &'t Tables) -> Self {
        Self { tables, writes: HashMap::default(), changes: Vec::new(), grown_bytes: 0, staged_bytes: 0 }
    }

    pub const fn tables(&self) -> &'t Tables {
        self.tables
    }

    pub fn is_empty(&self) -> bool {
        self.writes.is_empty()
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

    pub fn enter_lane(&mut self, entry: &LaneEntry) -> Result<(), StoreError> {
        self.put_row(Table::Lanes, keys::lane(entry), &LaneRow::from(entry))?;
        self.changes.push(Change::Enter(*entry));
        Ok(())
    }

    /// Answers whether the entry was in its place, with as many attempts: an older life of it may have had the same place.
    /// The read is of a key that was just written or just paged in.
    pub fn leave_lane(&mut self, entry: &LaneEntry) -> Result<bool, StoreError> {
        let key = keys::lane(entry);
        let Some(value) = self.get(Table::Lanes, &key)? else { return Ok(false) };
        let held: LaneRow = decode("a lane entry", &value)?;
        if held.attempts != entry.attempts {
            return Ok(false);
        }
        self.remove(Table::Lanes, key);
        self.changes.push(Change::Leave(*entry));
        Ok(true)
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
        self.writes.iter().map(bytes).sum::<usize>() as u64
    }

    /// Makes all of it true at once, as durable as `mode`; answers what it changes in the counts.
    /// `history_bytes` is the size of events and history before, and after when this succeeds.
    pub fn commit(self, mode: PersistMode, history_bytes: &mut u64) -> Result<Vec<Change>, StoreError> {
        if self.writes.is_empty() {
            return Ok(self.changes);
        }
        let grown = history_bytes.saturating_add_signed(self.grown_bytes);
        let mut batch =
            fjall::OwnedWriteBatch::with_capacity(self.tables.db.clone(), self.writes.len() + 1).durability(Some(mode));
        for ((table, key), value) in self.writes {
            match value {
                Some(value) => batch.insert(self.tables.of(table), key.as_slice(), value),
                None => batch.remove(self.tables.of(table), key.as_slice()),
            }
        }
        if grown != *history_bytes {
            batch.insert(&self.tables.meta, HISTORY_BYTES, grown.to_be_bytes());
        }
        batch.commit()?;
        *history_bytes = grown;
        Ok(self.changes)
    }
}
