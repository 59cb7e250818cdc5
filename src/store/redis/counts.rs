//! What this process knows of the lanes' lengths: each answer of Redis tells those it touched.
//!
//! Answers may be looked at in another order than Redis gave them: the shard's sequence tells which is the later.

use std::collections::HashMap;

use parking_lot::RwLock;

use crate::domain::{LaneClass, WebhookIdBits};
use crate::store::LaneCounts;

/// Answers are never this far out of order: an earlier sequence means that Redis was restored or failed over.
const MAX_DISORDER: u64 = 4_096;

/// What one answer told the length of.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Counted {
    Waiting(WebhookIdBits, LaneClass),
    Dead(WebhookIdBits),
}

impl Counted {
    pub const fn webhook(self) -> WebhookIdBits {
        match self {
            Self::Waiting(webhook, _) | Self::Dead(webhook) => webhook,
        }
    }

    /// The key behind the shard's beginning.
    pub fn key(self) -> Vec<u8> {
        match self {
            Self::Waiting(webhook, class) => super::keys::named("l:", &super::keys::lane_name(webhook, class)),
            Self::Dead(webhook) => super::keys::named("d:", &webhook.to_be_bytes()),
        }
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Told {
    counts: LaneCounts,
    at: [u64; 5],
}

#[derive(Debug, Default)]
struct Lanes {
    told: HashMap<WebhookIdBits, Told, ahash::RandomState>,
    unfinished: u64,
    dead: u64,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Counts(RwLock<Lanes>);

impl Counts {
    pub fn tell(&self, sequence: u64, told: impl IntoIterator<Item = (Counted, u64)>) {
        let mut all = self.0.write();
        let all = &mut *all;
        for (counted, length) in told {
            let lane = all.told.entry(counted.webhook()).or_default();
            let (count, total, at) = match counted {
                Counted::Waiting(_, class) => {
                    (&mut lane.counts.waiting[class as usize], &mut all.unfinished, &mut lane.at[class as usize])
                }
                Counted::Dead(_) => (&mut lane.counts.dead, &mut all.dead, &mut lane.at[4]),
            };
            let is_older = sequence < *at && *at - sequence < MAX_DISORDER;
            if !is_older {
                *total = total.saturating_sub(*count) + length;
                (*count, *at) = (length, sequence);
            }
        }
    }

    pub fn of(&self, webhook: WebhookIdBits) -> LaneCounts {
        self.0.read().told.get(&webhook).map(|told| told.counts).unwrap_or_default()
    }

    pub fn active(&self) -> Vec<(WebhookIdBits, LaneCounts)> {
        let all = self.0.read();
        let active = all.told.iter().filter(|(_, told)| told.counts.unfinished() > 0);
        active.map(|(webhook, told)| (*webhook, told.counts)).collect()
    }

    /// Unfinished deliveries and dead letters.
    pub fn totals(&self) -> (u64, u64) {
        let all = self.0.read();
        (all.unfinished, all.dead)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_earlier_answer_that_comes_late_is_ignored() {
        let counts = Counts::default();
        let live = Counted::Waiting(1, LaneClass::Live);
        counts.tell(10, [(live, 12)]);
        counts.tell(9, [(live, 2), (Counted::Dead(1), 3)]);
        assert_eq!((counts.of(1).waiting[1], counts.of(1).dead, counts.totals()), (12, 3, (12, 3)));
        counts.tell(11, [(live, 0)]);
        assert_eq!(counts.totals(), (0, 3));
    }

    #[test]
    fn after_redis_was_restored_its_word_counts_again() {
        let counts = Counts::default();
        let live = Counted::Waiting(1, LaneClass::Live);
        counts.tell(1_000_000, [(live, 12)]);
        counts.tell(5, [(live, 7)]);
        assert_eq!(counts.of(1).waiting[1], 7);
    }
}
