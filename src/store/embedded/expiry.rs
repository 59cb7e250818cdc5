//! Old client ids and message states go while their tables are compacted: no scan, no tombstone written by us.
//! Until then readers go by [`Expiry`] too, so that nothing expired is ever shown.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use fjall::compaction::filter::{CompactionFilter, CompactionFilterResult, Context, Factory, ItemAccessor, Verdict};

use crate::domain::Timestamp;

/// Rows of one table older than a bound are gone.
#[derive(Debug, Default)]
pub struct Expiry {
    /// Unix milliseconds; 0: nothing expires.
    before: AtomicU64,
    dropped: AtomicU64,
}

impl Expiry {
    pub fn expire_before(&self, at: Timestamp) {
        self.before.store(at.millis(), Relaxed);
    }

    pub fn is_expired(&self, at: Timestamp) -> bool {
        at.millis() < self.before.load(Relaxed)
    }

    /// Rows removed from disk since the last call.
    pub fn take_dropped(&self) -> u64 {
        self.dropped.swap(0, Relaxed)
    }
}

/// Rows of the table start with their time as a postcard varint.
fn is_row_expired(expiry: &Expiry, value: &[u8]) -> bool {
    postcard::take_from_bytes::<Timestamp>(value).is_ok_and(|(at, _)| expiry.is_expired(at))
}

pub struct DropExpired(pub Arc<Expiry>);

impl Factory for DropExpired {
    fn name(&self) -> &'static str {
        "drop-expired"
    }

    fn make_filter(&self, _: &Context) -> Box<dyn CompactionFilter> {
        Box::new(Self(self.0.clone()))
    }
}

impl CompactionFilter for DropExpired {
    fn filter_item(&mut self, item: ItemAccessor<'_>, _: &Context) -> CompactionFilterResult {
        if !is_row_expired(&self.0, &item.value()?) {
            return Ok(Verdict::Keep);
        }
        self.0.dropped.fetch_add(1, Relaxed);
        Ok(Verdict::Remove)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::embedded::rows::{MessageRow, encode};

    #[test]
    fn a_row_expires_by_its_time() {
        let expiry = Expiry::default();
        let row = encode(&MessageRow { at: Timestamp::from_millis(1_000), number: "55".into() }).unwrap();
        assert!(!is_row_expired(&expiry, &row), "nothing expires before retention has run");
        expiry.expire_before(Timestamp::from_millis(1_000));
        assert!(!is_row_expired(&expiry, &row));
        expiry.expire_before(Timestamp::from_millis(1_001));
        assert!(is_row_expired(&expiry, &row));
    }
}
