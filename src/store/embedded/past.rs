//! What the history's table tells of events that may go, webhook by webhook: the oldest events of a webhook lie side by side there, so one look
//! serves hundreds of deliveries. A look for each would cost the writer more than all it does for new ones.

use ahash::{AHashMap, AHashSet};
use fjall::{Readable as _, Snapshot};

use super::counts::Counts;
use super::fault::corrupt;
use super::keys::{self, Key};
use super::rows::{HistoryRow, Standing, decode};
use super::tables::Tables;
use crate::domain::{EventId, LaneEntry, WebhookIdBits};
use crate::store::StoreError;

/// An event that may go.
pub struct Candidate {
    pub id: EventId,
    /// In the places they had at first.
    pub owed: Vec<LaneEntry>,
    pub value_bytes: usize,
}

/// Of one delivery.
#[derive(Default)]
pub struct Known {
    /// After the last row of the table: the archive may know more.
    last: Option<Standing>,
    /// Keys, and the sizes of their values.
    rows: Vec<(Key, usize)>,
}

/// See the module.
#[derive(Default)]
pub struct Past {
    known: AHashMap<(WebhookIdBits, EventId), Known>,
    /// Webhooks of which something waits.
    waiting: AHashSet<WebhookIdBits>,
}

impl Past {
    /// Of candidates that follow each other.
    pub fn of(
        tables: &Tables,
        snapshot: &Snapshot,
        counts: &Counts,
        candidates: &[Candidate],
    ) -> Result<Self, StoreError> {
        let mut spans: AHashMap<WebhookIdBits, (EventId, EventId)> = AHashMap::new();
        for Candidate { id, owed, .. } in candidates {
            for entry in owed {
                spans.entry(entry.webhook).or_insert((*id, *id)).1 = *id;
            }
        }
        let mut past = Self::default();
        for (webhook, (first, last)) in spans {
            if counts.of(webhook).unfinished() > 0 {
                past.waiting.insert(webhook);
            }
            let span = keys::delivery(webhook, first)..=keys::history(webhook, last, u16::MAX, u8::MAX);
            for guard in snapshot.range::<Key, _>(&tables.history, span) {
                let (key, value) = guard.into_inner()?;
                let (_, event) =
                    keys::parse_delivery(&key).ok_or_else(|| corrupt("a history row", &"its key is malformed"))?;
                let row: HistoryRow = decode("a history row", &value)?;
                let known = past.known.entry((webhook, event)).or_default();
                known.last = Some(row.standing);
                known.rows.push((Key::from_slice(&key), value.len()));
            }
        }
        Ok(past)
    }

    /// Whether the event must stay for this delivery; `None` without history in the table.
    pub fn holds(
        &self,
        tables: &Tables,
        snapshot: &Snapshot,
        webhook: WebhookIdBits,
        event: EventId,
    ) -> Result<Option<bool>, StoreError> {
        let Some(standing) = self.known.get(&(webhook, event)).and_then(|known| known.last) else { return Ok(None) };
        Ok(Some(match standing {
            // One that was set aside and came back may have been delivered at its first attempt: the archive has that row.
            Standing::Waiting(placed) => {
                let place = keys::lane(&placed.entry(webhook, event));
                snapshot.contains_key(&tables.lanes, place)?
            }
            standing => matches!(standing, Standing::Dead(_)),
        }))
    }

    /// Whether anything of the webhook waits: a delivery without history may then be still to be made.
    pub fn may_wait(&self, webhook: WebhookIdBits) -> bool {
        self.waiting.contains(&webhook)
    }

    /// Keys of its rows, and the sizes of their values.
    pub fn take(&mut self, webhook: WebhookIdBits, event: EventId) -> Vec<(Key, usize)> {
        self.known.remove(&(webhook, event)).map(|known| known.rows).unwrap_or_default()
    }
}
