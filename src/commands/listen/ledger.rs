//! What arrived, by path and event: the receivers' half of the count that shows what was lost or repeated.

use std::collections::HashMap;

use parking_lot::Mutex;

use super::receipt::Receipt;

/// The arrivals of one event at one path.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Arrivals {
    /// Requests, whatever was answered.
    pub requests: u32,
    /// Answered with a 2xx.
    pub taken: u32,
}

/// Shared by any number of receivers.
#[derive(Debug, Default)]
pub struct Ledger {
    entries: Mutex<Entries>,
}

#[derive(Debug, Default)]
struct Entries {
    by_path: HashMap<Box<str>, HashMap<Box<str>, Arrivals>>,
    taken: u64,
    taken_again: u64,
}

impl Ledger {
    pub fn record(&self, receipt: &Receipt) {
        let mut guard = self.entries.lock();
        let entries = &mut *guard;
        if !entries.by_path.contains_key(&*receipt.path) {
            entries.by_path.insert(receipt.path.clone(), HashMap::new());
        }
        let events = entries.by_path.get_mut(&receipt.path).expect("the path was just put there");
        let arrivals = events.entry(receipt.webhook_id.clone()).or_default();
        arrivals.requests += 1;
        if receipt.is_taken() {
            arrivals.taken += 1;
            let total = if arrivals.taken == 1 { &mut entries.taken } else { &mut entries.taken_again };
            *total += 1;
        }
    }

    pub fn arrivals(&self, path: &str, webhook_id: &str) -> Arrivals {
        let entries = self.entries.lock();
        entries.by_path.get(path).and_then(|events| events.get(webhook_id)).copied().unwrap_or_default()
    }

    /// Events taken at least once, and how often one was taken again.
    pub fn totals(&self) -> (u64, u64) {
        let entries = self.entries.lock();
        (entries.taken, entries.taken_again)
    }
}
