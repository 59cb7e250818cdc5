//! What stores write of events and of lane entries, in the same bytes wherever it is kept: postcard, an event's `data` behind its row.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{Append, HeldBack};
use crate::domain::{
    AttemptOrigin, Chat, Event, EventId, EventKind, InstanceId, LaneClass, LaneEntry, Timestamp, WebhookIdBits,
};

/// The rest of a lane entry: what its place does not tell.
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
    pub class: LaneClass,
    pub due: Timestamp,
    pub row: LaneRow,
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
    pub fn encode(append: &Append) -> postcard::Result<Vec<u8>> {
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
        let space = Vec::with_capacity(128 + 64 * row.owed.len() + event.data.len());
        let mut bytes = postcard::to_extend(&row, space)?;
        bytes.extend_from_slice(&event.data);
        Ok(bytes)
    }

    /// The row and the `data` after it.
    pub fn decode(bytes: &[u8]) -> postcard::Result<(Self, &[u8])> {
        postcard::take_from_bytes(bytes)
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

    pub fn all_held_back(&self) -> &[(WebhookIdBits, HeldBack)] {
        &self.held_back
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
        assert_eq!(row.owed_to(1, full.id), Some(entry));
        assert_eq!(row.into_event(full.id, data), full);
    }

    /// Rows on disk and in Redis were written so: another order or kind of fields would not read them.
    #[test]
    fn an_event_is_written_in_the_bytes_of_the_format() {
        let mut full = event(event_id(1, 2));
        full.data = Bytes::from_static(b"{}");
        full.chat = Some(Chat { jid: "1@g.us".into() });
        let entry = LaneEntry { coalesce_key: 3, order_key: 9, ..entry(webhook(1), full.id) };
        let written = EventRow::encode(&append(full, &[entry])).unwrap();
        let expected: &[u8] = b"\x06shop-1\x03\x00\x81\xd0\x95\xff\xbc\x31\x00\x01\x061@g.us\
            \x00\x01\x01\x01\x81\xd0\x95\xff\xbc\x31\x03\x00\x00\x00\x09\x03\x40\x00{}";
        assert_eq!(written, expected);
    }
}
