//! What is stored under the keys: postcard records; the directory is JSON, to be read and to evolve.
//!
//! A delivery's state is its last history row. One without rows waits in the place its event was stored with: so a delivery
//! that succeeds at once costs one row. Only never attempted `Live` and `Low` entries are without rows.

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::fault::corrupt;
use crate::domain::{
    Attempt, AttemptOrigin, Chat, DeadReason, DeliveryStatus, Event, EventId, EventKind, InstanceId, LaneClass,
    LaneEntry, Timestamp, WebhookIdBits,
};
use crate::store::{Append, HeldBack, StoreError};

/// The rest of a lane entry: what its key does not tell.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct LaneRow {
    pub kind: EventKind,
    pub origin: AttemptOrigin,
    pub attempts: u16,
    pub round_attempts: u16,
    pub order_key: u64,
    pub coalesce_key: u64,
    pub data_bytes: u32,
}

impl LaneRow {
    pub fn entry(self, webhook: WebhookIdBits, class: LaneClass, due: Timestamp, event: EventId) -> LaneEntry {
        let Self { kind, origin, attempts, round_attempts, order_key, coalesce_key, data_bytes } = self;
        LaneEntry {
            webhook,
            event,
            class,
            due,
            kind,
            origin,
            attempts,
            round_attempts,
            order_key,
            coalesce_key,
            data_bytes,
        }
    }
}

impl From<&LaneEntry> for LaneRow {
    fn from(entry: &LaneEntry) -> Self {
        let LaneEntry { kind, origin, attempts, round_attempts, order_key, coalesce_key, data_bytes, .. } = *entry;
        Self { kind, origin, attempts, round_attempts, order_key, coalesce_key, data_bytes }
    }
}

/// A lane entry and its place, where webhook and event are known.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Placed {
    class: LaneClass,
    due: Timestamp,
    row: LaneRow,
}

impl Placed {
    pub fn entry(self, webhook: WebhookIdBits, event: EventId) -> LaneEntry {
        self.row.entry(webhook, self.class, self.due, event)
    }
}

impl From<&LaneEntry> for Placed {
    fn from(entry: &LaneEntry) -> Self {
        Self { class: entry.class, due: entry.due, row: entry.into() }
    }
}

/// Where a delivery stands after a row.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub enum Standing {
    Waiting(Placed),
    Delivered,
    Dead(DeadReason),
    Superseded { by: EventId },
    Cancelled,
}

impl Standing {
    pub const fn status(self) -> DeliveryStatus {
        match self {
            Self::Waiting(Placed { row: LaneRow { attempts: 0, .. }, .. }) => DeliveryStatus::Pending,
            Self::Waiting(_) => DeliveryStatus::Retrying,
            Self::Delivered => DeliveryStatus::Delivered,
            Self::Dead(_) => DeliveryStatus::Dead,
            Self::Superseded { .. } => DeliveryStatus::Superseded,
            Self::Cancelled => DeliveryStatus::Cancelled,
        }
    }

    /// Whether the event's body may still be needed without anybody asking for it.
    pub const fn holds_event(self) -> bool {
        matches!(self, Self::Waiting(_) | Self::Dead(_))
    }
}

/// One line of a delivery's history.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct HistoryRow {
    pub kind: EventKind,
    pub at: Timestamp,
    pub standing: Standing,
    pub attempt: Option<Attempt>,
}

/// A dead letter; its reason is in the history.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct DeadRow {
    pub at: Timestamp,
    pub data_bytes: u32,
}

/// The first use of a caller's id.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct ClientIdRow {
    /// First, so that the expiry filter finds it in every row.
    pub at: Timestamp,
    pub event: EventId,
}

/// A state a message has reached.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct MessageRow {
    /// First, so that the expiry filter finds it in every row.
    pub at: Timestamp,
    pub number: Box<str>,
}

/// What is known of an event besides its `data`, which follows it byte for byte.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct EventRow {
    instance: InstanceId,
    kind: EventKind,
    client_id: Option<Box<str>>,
    accepted_at: Timestamp,
    occurred_at: Option<Timestamp>,
    chat: Option<Box<str>>,
    traceparent: Option<Box<str>>,
    owed: Vec<(WebhookIdBits, Placed)>,
    held_back: Vec<(WebhookIdBits, HeldBack)>,
}

impl EventRow {
    pub fn encode(append: &Append) -> Result<Vec<u8>, StoreError> {
        let event = &append.event;
        let row = Self {
            instance: event.instance.clone(),
            kind: event.kind,
            client_id: event.client_id.clone(),
            accepted_at: event.accepted_at,
            occurred_at: event.occurred_at,
            chat: event.chat.as_ref().map(|chat| chat.jid.clone()),
            traceparent: event.traceparent.clone(),
            owed: append.entries.iter().map(|entry| (entry.webhook, entry.into())).collect(),
            held_back: append.held_back.to_vec(),
        };
        let mut bytes = Vec::with_capacity(128 + 64 * row.owed.len() + event.data.len());
        bytes.extend_from_slice(&encode(&row)?);
        bytes.extend_from_slice(&event.data);
        Ok(bytes)
    }

    /// The row and the `data` after it.
    pub fn decode(bytes: &[u8]) -> Result<(Self, &[u8]), StoreError> {
        postcard::take_from_bytes(bytes).map_err(|error| corrupt("an event", &error))
    }

    /// The entries the event was stored with.
    pub fn owed(&self, id: EventId) -> impl Iterator<Item = LaneEntry> + '_ {
        self.owed.iter().map(move |(webhook, placed)| placed.entry(*webhook, id))
    }

    /// The entry the event was stored with for this webhook.
    pub fn owed_to(&self, webhook: WebhookIdBits, id: EventId) -> Option<LaneEntry> {
        self.owed(id).find(|entry| entry.webhook == webhook)
    }

    pub fn held_back(&self, webhook: WebhookIdBits) -> Option<HeldBack> {
        self.held_back.iter().find(|(held, _)| *held == webhook).map(|(_, rule)| *rule)
    }

    /// `data` is copied: a slice of the store's block would keep the whole block in memory.
    pub fn into_event(self, id: EventId, data: &[u8]) -> Event {
        Event {
            id,
            instance: self.instance,
            kind: self.kind,
            data: Bytes::copy_from_slice(data),
            client_id: self.client_id,
            accepted_at: self.accepted_at,
            occurred_at: self.occurred_at,
            chat: self.chat.map(|jid| Chat { jid }),
            traceparent: self.traceparent,
        }
    }
}

pub fn encode<T: Serialize>(row: &T) -> Result<Vec<u8>, StoreError> {
    postcard::to_stdvec(row).map_err(|error| StoreError::Unavailable(format!("a record cannot be written: {error}")))
}

/// `what` names the record in the error.
pub fn decode<T: DeserializeOwned>(what: &str, bytes: &[u8]) -> Result<T, StoreError> {
    postcard::from_bytes(bytes).map_err(|error| corrupt(what, &error))
}

pub fn decode_lane(key: &[u8], value: &[u8]) -> Result<LaneEntry, StoreError> {
    let (webhook, class, due, event) =
        super::keys::parse_lane(key).ok_or_else(|| corrupt("a lane entry", &"its key is malformed"))?;
    Ok(decode::<LaneRow>("a lane entry", value)?.entry(webhook, class, due, event))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::contract::fixtures::{append, entry, event, event_id, webhook};

    #[test]
    fn an_event_reads_back_with_its_data_byte_for_byte() {
        let mut full = event(event_id(1, 2));
        full.data = Bytes::from_static(b"{\"a\":1.0,  \"b\":\"\\u00e9\"}");
        full.chat = Some(Chat { jid: "1@g.us".into() });
        let entry = LaneEntry { coalesce_key: 3, order_key: 9, ..entry(webhook(1), full.id) };
        let bytes = EventRow::encode(&append(full.clone(), &[entry])).unwrap();
        let (row, data) = EventRow::decode(&bytes).unwrap();
        assert_eq!(row.owed(full.id).collect::<Vec<_>>(), [entry]);
        assert_eq!(row.into_event(full.id, data), full);
    }

    #[test]
    fn a_damaged_record_is_an_error_that_names_it() {
        let error = decode::<HistoryRow>("a history row", &[0xff; 3]).unwrap_err();
        assert!(matches!(&error, StoreError::Corrupt(text) if text.contains("a history row")), "{error}");
    }
}
