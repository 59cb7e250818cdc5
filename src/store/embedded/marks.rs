//! What is kept of the store as a whole: its floor and its size. Not with each commit.
//!
//! The *floor* on disk may be older than the one in force, never newer: after a crash a little more is looked through, and what was
//! settled meanwhile has history. So only two things must look at what is on disk: a delivery that loses its history although its
//! event stays (see [`Stage::spill_all_to`](super::stage::Stage::spill_all_to)), and the first commit ever, since without a floor
//! nothing is looked through.
//!
//! The *size* on disk lacks what was written since, so that after a kill the history may be larger than it is thought to be, by what
//! [`WRITTEN_EVERY`] can add. It only decides when the oldest history goes, long before the disk is full.
//!
//! Written with each commit, the table of these few bytes would fill and be written to files more often than all others together.

use std::time::{Duration, Instant};

use super::fault::corrupt;
use super::tables::Tables;
use crate::domain::EventId;
use crate::store::StoreError;

/// The size of events and history.
const HISTORY_BYTES: &[u8] = b"history-bytes";
/// The floor of [`Recent`](super::recent::Recent).
const FLOOR: &[u8] = b"floor";
/// While there are commits.
pub const WRITTEN_EVERY: Duration = Duration::from_millis(100);

/// See the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Marks {
    /// On disk; `None` before the first commit, and in a folder of a version that knew none.
    pub floor: Option<EventId>,
    /// As it is after the last commit.
    pub history_bytes: u64,
    written_history_bytes: u64,
    written_at: Option<Instant>,
}

impl Marks {
    pub fn read(tables: &Tables) -> Result<Self, StoreError> {
        let floor = tables.meta.get(FLOOR)?.map(|value| (*value).try_into().map(EventId::from_be_bytes));
        let floor = floor.transpose().map_err(|_| corrupt("the floor", &"it is not 16 bytes long"))?;
        let bytes = tables.meta.get(HISTORY_BYTES)?.map(|value| (*value).try_into().map(u64::from_be_bytes));
        let bytes = bytes.transpose().map_err(|_| corrupt("the size of the history", &"it is not 8 bytes long"))?;
        let history_bytes = bytes.unwrap_or(0);
        Ok(Self { floor, history_bytes, written_history_bytes: history_bytes, written_at: None })
    }

    /// Whether the next commit should write them.
    pub fn are_due(&self) -> bool {
        self.floor.is_none() || self.written_at.is_none_or(|at| at.elapsed() >= WRITTEN_EVERY)
    }

    /// These marks with what a commit changes, as they are once it is there: `floor` where it is written.
    pub fn after(self, grown_bytes: i64, floor: Option<EventId>) -> Self {
        let history_bytes = self.history_bytes.saturating_add_signed(grown_bytes);
        match floor {
            Some(_) => {
                Self { floor, history_bytes, written_history_bytes: history_bytes, written_at: Some(Instant::now()) }
            }
            None => Self { history_bytes, ..self },
        }
    }

    /// Adds to the batch what is not on disk yet. `before`: what is.
    pub fn write(&self, before: &Self, tables: &Tables, batch: &mut fjall::OwnedWriteBatch) {
        if let Some(floor) = self.floor.filter(|_| self.floor != before.floor) {
            batch.insert(&tables.meta, FLOOR, floor.to_be_bytes());
        }
        if self.written_history_bytes != before.written_history_bytes {
            batch.insert(&tables.meta, HISTORY_BYTES, self.written_history_bytes.to_be_bytes());
        }
    }

    /// Writes what is not on disk yet, by itself; `floor` is the one in force.
    pub fn settle(&mut self, tables: &Tables, floor: EventId) -> Result<(), StoreError> {
        let after = self.after(0, Some(floor));
        let mut batch = fjall::OwnedWriteBatch::with_capacity(tables.db.clone(), 2);
        after.write(self, tables, &mut batch);
        tables.commit(batch)?;
        *self = after;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::contract::fixtures::event_id;
    use crate::store::embedded::EmbeddedConfig;
    use crate::store::embedded::tables::Expiries;

    #[test]
    fn what_is_on_disk_follows_when_it_is_due() {
        let folder = tempfile::tempdir().unwrap();
        let tables = Tables::open(&EmbeddedConfig::new(folder.path()), &Expiries::default()).unwrap();
        let mut marks = Marks::read(&tables).unwrap();
        assert!(marks.are_due(), "without a floor nothing is found again");
        marks = marks.after(700, None);
        marks.settle(&tables, event_id(5, 0)).unwrap();
        assert!(!marks.are_due());
        marks = marks.after(50, None);
        let on_disk = Marks::read(&tables).unwrap();
        assert_eq!((on_disk.floor, on_disk.history_bytes), (Some(event_id(5, 0)), 700));
        marks.settle(&tables, event_id(6, 0)).unwrap();
        let on_disk = Marks::read(&tables).unwrap();
        assert_eq!((on_disk.floor, on_disk.history_bytes), (Some(event_id(6, 0)), 750));
        assert_eq!((marks.floor, marks.history_bytes), (on_disk.floor, 750));
    }
}
