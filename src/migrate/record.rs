//! Events, deliveries, attempts and messages as lines have them.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::line::Blob;
use crate::domain::{
    Attempt, AttemptOrigin, Chat, DeadReason, Event, EventId, EventKind, Failure, InstanceId, LaneClass, LaneEntry,
    MessageState, Outcome, Phases, Timestamp, WaitReason, WebhookId,
};
use crate::store::moving::{DeliveryRecord, EventRecord, MessageName, MessageRecord};
use crate::store::{HeldBack, Next};

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EventLine {
    id: EventId,
    instance: InstanceId,
    kind: EventKind,
    data: Blob,
    client_id: Option<Box<str>>,
    accepted_at: Timestamp,
    occurred_at: Option<Timestamp>,
    chat: Option<Box<str>>,
    traceparent: Option<Box<str>>,
    held_back: Vec<(WebhookId, HeldBack)>,
    deliveries: Vec<DeliveryLine>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct DeliveryLine {
    webhook: WebhookId,
    /// As its event was stored with it.
    first: EntryLine,
    standing: StandingLine,
    at: Timestamp,
    attempts: Vec<AttemptLine>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum StandingLine {
    /// It waits as at first.
    Fresh,
    Waiting(EntryLine),
    Delivered,
    Dead(DeadReason),
    Superseded(EventId),
    Cancelled,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct EntryLine {
    class: LaneClass,
    due: Timestamp,
    origin: AttemptOrigin,
    attempts: u16,
    round_attempts: u16,
    order_key: u64,
    coalesce_key: u64,
    data_bytes: u32,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct AttemptLine {
    number: u16,
    origin: AttemptOrigin,
    due_at: Timestamp,
    started_at: Timestamp,
    waited_for: WaitReason,
    status: u16,
    failure: Option<Failure>,
    retry_after_s: Option<u32>,
    snippet: Blob,
    phases: Phases,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MessageLine {
    instance: InstanceId,
    /// Its id, or the hash of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<Box<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hash: Option<[u8; 16]>,
    states: Vec<(MessageState, Timestamp, Box<str>)>,
}

impl EntryLine {
    const fn entry(&self, webhook: WebhookId, event: EventId, kind: EventKind) -> LaneEntry {
        let Self { class, due, origin, attempts, round_attempts, order_key, coalesce_key, data_bytes } = *self;
        let webhook = webhook.as_u128();
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

impl From<&LaneEntry> for EntryLine {
    fn from(entry: &LaneEntry) -> Self {
        let LaneEntry { class, due, origin, attempts, round_attempts, order_key, coalesce_key, data_bytes, .. } =
            *entry;
        Self { class, due, origin, attempts, round_attempts, order_key, coalesce_key, data_bytes }
    }
}

impl From<&Attempt> for AttemptLine {
    fn from(attempt: &Attempt) -> Self {
        let Attempt { number, origin, due_at, started_at, waited_for, ref outcome } = *attempt;
        let Outcome { status, failure, retry_after_s, snippet, phases } = outcome.clone();
        let snippet = Blob::from(&snippet[..]);
        Self { number, origin, due_at, started_at, waited_for, status, failure, retry_after_s, snippet, phases }
    }
}

impl AttemptLine {
    fn attempt(self) -> Result<Attempt, String> {
        let Self { number, origin, due_at, started_at, waited_for, status, failure, retry_after_s, snippet, phases } =
            self;
        let snippet = snippet.bytes()?.into();
        let outcome = Outcome { status, failure, retry_after_s, snippet, phases };
        Ok(Attempt { number, origin, due_at, started_at, waited_for, outcome })
    }
}

impl From<&DeliveryRecord> for DeliveryLine {
    fn from(delivery: &DeliveryRecord) -> Self {
        let standing = match &delivery.standing {
            Next::Move(_) if delivery.is_fresh() => StandingLine::Fresh,
            Next::Move(entry) => StandingLine::Waiting(entry.into()),
            Next::Delivered => StandingLine::Delivered,
            Next::Dead(reason) => StandingLine::Dead(*reason),
            Next::Superseded { by } => StandingLine::Superseded(*by),
            Next::Cancelled => StandingLine::Cancelled,
        };
        Self {
            webhook: delivery.first.webhook_id(),
            first: (&delivery.first).into(),
            standing,
            at: delivery.at,
            attempts: delivery.attempts.iter().map(AttemptLine::from).collect(),
        }
    }
}

impl DeliveryLine {
    fn record(self, event: EventId, kind: EventKind) -> Result<DeliveryRecord, String> {
        let first = self.first.entry(self.webhook, event, kind);
        let standing = match self.standing {
            StandingLine::Fresh => Next::Move(first),
            StandingLine::Waiting(entry) => Next::Move(entry.entry(self.webhook, event, kind)),
            StandingLine::Delivered => Next::Delivered,
            StandingLine::Dead(reason) => Next::Dead(reason),
            StandingLine::Superseded(by) => Next::Superseded { by },
            StandingLine::Cancelled => Next::Cancelled,
        };
        let attempts = self.attempts.into_iter().map(AttemptLine::attempt).collect::<Result<_, _>>()?;
        Ok(DeliveryRecord { first, standing, at: self.at, attempts })
    }
}

impl From<&EventRecord> for EventLine {
    fn from(record: &EventRecord) -> Self {
        let event = &record.event;
        let held_back = record.held_back.iter().map(|(webhook, rule)| (WebhookId::from_u128(*webhook), *rule));
        Self {
            id: event.id,
            instance: event.instance.clone(),
            kind: event.kind,
            data: Blob::from(&event.data[..]),
            client_id: event.client_id.clone(),
            accepted_at: event.accepted_at,
            occurred_at: event.occurred_at,
            chat: event.chat.as_ref().map(|chat| chat.jid.clone()),
            traceparent: event.traceparent.clone(),
            held_back: held_back.collect(),
            deliveries: record.deliveries.iter().map(DeliveryLine::from).collect(),
        }
    }
}

impl EventLine {
    pub fn record(self) -> Result<EventRecord, String> {
        let (id, kind) = (self.id, self.kind);
        let event = Event {
            id,
            instance: self.instance,
            kind,
            data: self.data.bytes()?.into(),
            client_id: self.client_id,
            accepted_at: self.accepted_at,
            occurred_at: self.occurred_at,
            chat: self.chat.map(|jid| Chat { jid }),
            traceparent: self.traceparent,
        };
        let held_back = self.held_back.into_iter().map(|(webhook, rule)| (webhook.as_u128(), rule)).collect();
        let deliveries = self.deliveries.into_iter().map(|one| one.record(id, kind)).collect::<Result<_, _>>()?;
        Ok(EventRecord { event: Arc::new(event), held_back, deliveries })
    }
}

impl From<MessageRecord> for MessageLine {
    fn from(message: MessageRecord) -> Self {
        let (id, hash) = match message.id {
            MessageName::Id(id) => (Some(id), None),
            MessageName::Hash(hash) => (None, Some(hash)),
        };
        Self { instance: message.instance, id, hash, states: message.states }
    }
}

impl MessageLine {
    pub fn record(self) -> Result<MessageRecord, String> {
        let id = match (self.id, self.hash) {
            (Some(id), None) => MessageName::Id(id),
            (None, Some(hash)) => MessageName::Hash(hash),
            _ => return Err("a message has an id or a hash".into()),
        };
        Ok(MessageRecord { instance: self.instance, id, states: self.states })
    }
}
