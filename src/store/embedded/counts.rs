//! How much every lane holds, in memory: changed after each commit, rebuilt when the store is opened.

use std::collections::HashMap;

use parking_lot::RwLock;

use crate::domain::{LaneClass, LaneEntry, WebhookIdBits};
use crate::store::LaneCounts;

/// One change that a commit makes.
#[derive(Clone, Copy, Debug)]
pub enum Change {
    Enter(LaneEntry),
    Leave(LaneEntry),
    Died { webhook: WebhookIdBits, data_bytes: u32 },
    Undied { webhook: WebhookIdBits, data_bytes: u32 },
}

#[derive(Debug, Default)]
pub struct Totals {
    lanes: HashMap<WebhookIdBits, LaneCounts, ahash::RandomState>,
    pub unfinished: u64,
    pub dead: u64,
    /// `data` of events that waiting entries and dead letters refer to, counted for each of them.
    pub held_bytes: u64,
    /// By how many milliseconds an entry was due before its event's id was made, at most. More than 0 only after the clock
    /// has stepped back; lists go by it (see `deliveries`).
    pub max_early_ms: u64,
}

impl Totals {
    pub fn apply(&mut self, change: Change) {
        match change {
            Change::Enter(entry) => {
                self.lanes.entry(entry.webhook).or_default().waiting[entry.class as usize] += 1;
                self.unfinished += 1;
                self.held_bytes += u64::from(entry.data_bytes);
                if matches!(entry.class, LaneClass::Live | LaneClass::Low) {
                    let early_ms = entry.event.timestamp().millis().saturating_sub(entry.due.millis());
                    self.max_early_ms = self.max_early_ms.max(early_ms);
                }
            }
            Change::Leave(entry) => {
                self.lower(entry.webhook, |counts| &mut counts.waiting[entry.class as usize]);
                self.unfinished = self.unfinished.saturating_sub(1);
                self.held_bytes = self.held_bytes.saturating_sub(u64::from(entry.data_bytes));
            }
            Change::Died { webhook, data_bytes } => {
                self.lanes.entry(webhook).or_default().dead += 1;
                self.dead += 1;
                self.held_bytes += u64::from(data_bytes);
            }
            Change::Undied { webhook, data_bytes } => {
                self.lower(webhook, |counts| &mut counts.dead);
                self.dead = self.dead.saturating_sub(1);
                self.held_bytes = self.held_bytes.saturating_sub(u64::from(data_bytes));
            }
        }
    }

    pub fn active_lanes(&self) -> u64 {
        self.lanes.values().filter(|counts| counts.unfinished() > 0).count() as u64
    }

    /// Takes one off and forgets a webhook that has nothing.
    fn lower(&mut self, webhook: WebhookIdBits, count: impl FnOnce(&mut LaneCounts) -> &mut u64) {
        if let Some(counts) = self.lanes.get_mut(&webhook) {
            let count = count(counts);
            *count = count.saturating_sub(1);
            if *counts == LaneCounts::default() {
                self.lanes.remove(&webhook);
            }
        }
    }
}

/// [`Totals`] that many read and the writer changes.
#[derive(Debug, Default)]
pub struct Counts(RwLock<Totals>);

impl Counts {
    pub fn replace(&self, totals: Totals) {
        *self.0.write() = totals;
    }

    pub fn apply(&self, changes: &[Change]) {
        let mut totals = self.0.write();
        for change in changes {
            totals.apply(*change);
        }
    }

    pub fn of(&self, webhook: WebhookIdBits) -> LaneCounts {
        self.0.read().lanes.get(&webhook).copied().unwrap_or_default()
    }

    pub fn active(&self) -> Vec<(WebhookIdBits, LaneCounts)> {
        let totals = self.0.read();
        totals.lanes.iter().filter(|(_, counts)| counts.unfinished() > 0).map(|(id, counts)| (*id, *counts)).collect()
    }

    pub fn totals<T>(&self, read: impl FnOnce(&Totals) -> T) -> T {
        read(&self.0.read())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::contract::fixtures::{entry, event_id, webhook};

    #[test]
    fn a_webhook_with_nothing_is_forgotten() {
        let counts = Counts::default();
        let entry = entry(webhook(1), event_id(0, 1));
        counts.apply(&[Change::Enter(entry), Change::Died { webhook: 1, data_bytes: 5 }]);
        counts.apply(&[Change::Leave(entry)]);
        assert_eq!(counts.of(1).dead, 1);
        assert_eq!(counts.totals(|totals| (totals.held_bytes, totals.lanes.len())), (5, 1));
        counts.apply(&[Change::Undied { webhook: 1, data_bytes: 5 }]);
        assert_eq!(counts.totals(|totals| (totals.held_bytes, totals.lanes.len())), (0, 0));
    }
}
