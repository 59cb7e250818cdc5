//! Latest-wins keys: a newer state of the same thing (a QR code, a presence) makes an older one that still waits superfluous.

use ahash::AHashMap;

use super::by_hand;
use crate::domain::{EventId, LaneEntry};

/// Keys remembered; one more forgets them all, which only means that an older state is sent as well.
const MAX_KEYS: usize = 4_096;

/// The newest event of each key.
#[derive(Debug, Default)]
pub(super) struct Latest(AHashMap<u64, EventId>);

impl Latest {
    pub(super) fn note(&mut self, entry: &LaneEntry) {
        if entry.coalesce_key == 0 {
            return;
        }
        if self.0.len() >= MAX_KEYS && !self.0.contains_key(&entry.coalesce_key) {
            self.0.clear();
        }
        let newest = self.0.entry(entry.coalesce_key).or_insert(entry.event);
        *newest = (*newest).max(entry.event);
    }

    /// The newer event that makes the entry superfluous. What was put back by hand is sent in any case.
    pub(super) fn supersedes(&self, entry: &LaneEntry) -> Option<EventId> {
        let newest = *self.0.get(&entry.coalesce_key)?;
        (entry.coalesce_key != 0 && newest > entry.event && !by_hand(entry)).then_some(newest)
    }
}
