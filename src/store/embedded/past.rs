//! What the history tells of events that may go, webhook by webhook: the oldest events of a webhook lie side by side there, so one look
//! serves hundreds of deliveries. A look for each would cost the writer more than all it does for new ones.

use ahash::AHashMap;
use fjall::{Readable as _, Snapshot};

use super::fault::corrupt;
use super::keys::{self, Key};
use super::rows::{HistoryRow, decode};
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
    /// Where it stands, its event must stay.
    pub holds_event: bool,
    /// Keys, and the sizes of their values.
    rows: Vec<(Key, usize)>,
}

/// See the module.
#[derive(Default)]
pub struct Past(AHashMap<(WebhookIdBits, EventId), Known>);

impl Past {
    /// Of candidates that follow each other.
    pub fn of(tables: &Tables, snapshot: &Snapshot, candidates: &[Candidate]) -> Result<Self, StoreError> {
        let mut spans: AHashMap<WebhookIdBits, (EventId, EventId)> = AHashMap::new();
        for Candidate { id, owed, .. } in candidates {
            for entry in owed {
                spans.entry(entry.webhook).or_insert((*id, *id)).1 = *id;
            }
        }
        let mut past = Self::default();
        for (webhook, (first, last)) in spans {
            let span = keys::delivery(webhook, first)..=keys::history(webhook, last, u16::MAX, u8::MAX);
            for guard in snapshot.range::<Key, _>(&tables.history, span) {
                let (key, value) = guard.into_inner()?;
                let (_, event) =
                    keys::parse_delivery(&key).ok_or_else(|| corrupt("a history row", &"its key is malformed"))?;
                let row: HistoryRow = decode("a history row", &value)?;
                let known = past.0.entry((webhook, event)).or_default();
                // The last row is where it stands.
                known.holds_event = row.standing.holds_event();
                known.rows.push((Key::from_slice(&key), value.len()));
            }
        }
        Ok(past)
    }

    /// `None` without history.
    pub fn of_delivery(&self, webhook: WebhookIdBits, event: EventId) -> Option<&Known> {
        self.0.get(&(webhook, event))
    }

    /// Keys of its rows, and the sizes of their values.
    pub fn take(&mut self, webhook: WebhookIdBits, event: EventId) -> Vec<(Key, usize)> {
        self.0.remove(&(webhook, event)).map(|known| known.rows).unwrap_or_default()
    }
}
