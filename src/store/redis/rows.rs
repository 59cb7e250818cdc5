//! What is stored: members of lanes, records of deliveries, events, messages. Postcard, behind what the scripts must see.
//!
//! - A member of a lane begins with the event's id, so that equal scores sort by it; its score is `due`. A parked one begins with
//!   its order key and `due`, and has no score. With the attempts, which follow, that is what a settlement knows the entry by.
//! - A delivery has one record from its first settlement on: event, status, head, then its attempts one after the other. Without a
//!   record it waits, never attempted, as the entry its event was stored with: so a delivery that succeeds at once costs one record.
//! - Only `Live` and `Low` entries without attempts are without a record ([`is_plain`]).

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::domain::{
    Attempt, AttemptOrigin, DeadReason, Delivery, DeliveryStatus, EventId, EventKind, LaneClass, LaneEntry,
    MessageState, Timestamp, WebhookId, WebhookIdBits,
};
pub use crate::store::rows::{EventRow, LaneRow, Placed};
use crate::store::{Append, Next, Settle, StoreError};

/// The greatest score that is exact: later instants wait there.
pub const MAX_SCORE: u64 = 1 << 53;

pub fn corrupt(what: &str, error: &dyn std::fmt::Display) -> StoreError {
    StoreError::Corrupt(format!("{what}: {error}"))
}

fn decode<T: DeserializeOwned>(what: &str, bytes: &[u8]) -> Result<T, StoreError> {
    postcard::from_bytes(bytes).map_err(|error| corrupt(what, &error))
}

/// An entry that needs no record beside its place: it is as its event was stored with, but for where and when it waits.
pub const fn is_plain(entry: &LaneEntry) -> bool {
    matches!(entry.class, LaneClass::Live | LaneClass::Low)
        && matches!(entry.origin, AttemptOrigin::First)
        && entry.attempts == 0
        && entry.round_attempts == 0
}

/// The member of a lane that stands for an entry.
pub fn member(entry: &LaneEntry) -> Result<Vec<u8>, StoreError> {
    let mut member = Vec::with_capacity(64);
    if entry.class == LaneClass::Parked {
        member.extend_from_slice(&entry.order_key.to_be_bytes());
        member.extend_from_slice(&entry.due.millis().to_be_bytes());
    }
    member.extend_from_slice(&entry.event.to_be_bytes());
    member.extend_from_slice(&entry.attempts.to_be_bytes());
    postcard::to_extend(&LaneRow::from(entry), member)
        .map_err(|error| StoreError::Unavailable(format!("an entry cannot be written: {error}")))
}

/// The score beside [`member`], as Redis writes it.
pub fn score(entry: &LaneEntry) -> String {
    if entry.class == LaneClass::Parked { "0".into() } else { entry.due.millis().min(MAX_SCORE).to_string() }
}

/// `score` is not looked at for parked entries.
pub fn parse_member(
    webhook: WebhookIdBits,
    class: LaneClass,
    member: &[u8],
    score: u64,
) -> Result<LaneEntry, StoreError> {
    let malformed = || corrupt("a lane entry", &"it is too short");
    let (due, member) = if class == LaneClass::Parked {
        let (_, after_key) = member.split_first_chunk::<8>().ok_or_else(malformed)?;
        let (due, rest) = after_key.split_first_chunk::<8>().ok_or_else(malformed)?;
        (u64::from_be_bytes(*due), rest)
    } else {
        (score, member)
    };
    let (event, rest) = member.split_first_chunk::<16>().ok_or_else(malformed)?;
    let (_attempts, rest) = rest.split_first_chunk::<2>().ok_or_else(malformed)?;
    let rest: LaneRow = decode("a lane entry", rest)?;
    Ok(rest.entry(webhook, class, Timestamp::from_millis(due), EventId::from_be_bytes(*event)))
}

/// Where a delivery stands.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub enum Standing {
    Waiting(Placed),
    Delivered,
    Dead(DeadReason),
    Superseded { by: EventId16 },
    Cancelled,
}

/// An event id as it is written.
pub type EventId16 = [u8; 16];

impl Standing {
    /// The byte the scripts read.
    const fn byte(self) -> u8 {
        match self {
            Self::Waiting(_) => 0,
            Self::Delivered => 1,
            Self::Dead(_) => 2,
            Self::Superseded { .. } => 3,
            Self::Cancelled => 4,
        }
    }

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

    pub fn after(next: &Next) -> Self {
        match next {
            Next::Move(moved) => Self::Waiting(moved.into()),
            Next::Delivered => Self::Delivered,
            Next::Dead(reason) => Self::Dead(*reason),
            Next::Superseded { by } => Self::Superseded { by: by.to_be_bytes() },
            Next::Cancelled => Self::Cancelled,
        }
    }
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Head {
    kind: EventKind,
    at: Timestamp,
    standing: Standing,
}

/// Status, length, head: what a settlement replaces in a record.
pub fn head(kind: EventKind, at: Timestamp, standing: Standing) -> Result<Vec<u8>, StoreError> {
    let mut bytes = postcard::to_extend(&Head { kind, at, standing }, vec![standing.byte(), 0])
        .map_err(|error| StoreError::Unavailable(format!("a record cannot be written: {error}")))?;
    bytes[1] = u8::try_from(bytes.len() - 2).expect("a head is some numbers, at most 90 bytes");
    Ok(bytes)
}

/// The attempt of a settlement as a record carries it.
pub fn attempt(settle: &Settle) -> Result<Vec<u8>, StoreError> {
    settle.attempt.as_ref().map_or(Ok(Vec::new()), attempt_bytes)
}

/// An attempt as a record carries it.
pub fn attempt_bytes(attempt: &Attempt) -> Result<Vec<u8>, StoreError> {
    let mut bytes = postcard::to_extend(attempt, vec![0; 4])
        .map_err(|error| StoreError::Unavailable(format!("an attempt cannot be written: {error}")))?;
    let length = u32::try_from(bytes.len() - 4).expect("an attempt is bounded by its snippet and detail");
    bytes[..4].copy_from_slice(&length.to_be_bytes());
    Ok(bytes)
}

/// The record of one delivery.
#[derive(Debug)]
pub struct Record {
    pub event: EventId,
    pub kind: EventKind,
    pub at: Timestamp,
    pub standing: Standing,
    /// Everything after the head, as stored.
    pub tail: Vec<u8>,
    /// By number: one that was repeated after a lost settlement replaces the one before.
    pub attempts: BTreeMap<u16, Attempt>,
}

impl Record {
    pub fn parse(bytes: &[u8]) -> Result<Self, StoreError> {
        let malformed = || corrupt("the record of a delivery", &"it is too short");
        let (event, rest) = bytes.split_first_chunk::<16>().ok_or_else(malformed)?;
        let length = usize::from(*rest.get(1).ok_or_else(malformed)?);
        let (head, tail) = rest[2..].split_at_checked(length).ok_or_else(malformed)?;
        let Head { kind, at, standing } = decode("the record of a delivery", head)?;
        let (mut attempts, mut left) = (BTreeMap::new(), tail);
        while let Some((length, after)) = left.split_first_chunk::<4>() {
            let (one, after) = after.split_at_checked(u32::from_be_bytes(*length) as usize).ok_or_else(malformed)?;
            let attempt: Attempt = decode("an attempt", one)?;
            attempts.insert(attempt.number, attempt);
            left = after;
        }
        Ok(Self { event: EventId::from_be_bytes(*event), kind, at, standing, tail: tail.to_vec(), attempts })
    }

    /// The bytes of a record that has no attempts, or these.
    pub fn bytes(event: EventId, head: &[u8], tail: &[u8]) -> Vec<u8> {
        [&event.to_be_bytes(), head, tail].concat()
    }

    pub fn delivery(&self, webhook: WebhookIdBits, attempts: Vec<Attempt>) -> Delivery {
        let (next_attempt_at, dead_reason) = match self.standing {
            Standing::Waiting(placed) => (Some(placed.due), None),
            Standing::Dead(reason) => (None, Some(reason)),
            Standing::Delivered | Standing::Superseded { .. } | Standing::Cancelled => (None, None),
        };
        Delivery {
            event: self.event,
            webhook: WebhookId::from_u128(webhook),
            kind: self.kind,
            status: self.standing.status(),
            dead_reason,
            next_attempt_at,
            finished_at: next_attempt_at.is_none().then_some(self.at),
            attempts,
        }
    }

    /// As lists show it: with the last attempt.
    pub fn listed(&self, webhook: WebhookIdBits) -> Delivery {
        self.delivery(webhook, self.attempts.values().next_back().cloned().into_iter().collect())
    }
}

/// The member of the index of dead letters: sorted by when they died.
pub fn dead_member(entry: &LaneEntry) -> Vec<u8> {
    let mut member = Vec::with_capacity(40);
    member.extend_from_slice(&entry.webhook.to_be_bytes());
    member.extend_from_slice(&entry.event.to_be_bytes());
    member.extend_from_slice(entry.data_bytes.to_string().as_bytes());
    member
}

/// See [`EventRow::encode`].
pub fn encode_event(append: &Append) -> Result<Vec<u8>, StoreError> {
    EventRow::encode(append).map_err(|error| StoreError::Unavailable(format!("an event cannot be written: {error}")))
}

/// See [`EventRow::decode`].
pub fn decode_event(bytes: &[u8]) -> Result<(EventRow, &[u8]), StoreError> {
    EventRow::decode(bytes).map_err(|error| corrupt("an event", &error))
}

/// A state a message has reached: state, instant, length of the number, number. The script replaces the same state by it.
pub fn message_row(state: MessageState, at: Timestamp, number: &str) -> Vec<u8> {
    let number = &number.as_bytes()[..number.floor_char_boundary(255)];
    let mut row = Vec::with_capacity(8 + number.len());
    row.push(state as u8);
    row.extend_from_slice(&at.millis().to_be_bytes()[2..]);
    row.push(number.len() as u8);
    row.extend_from_slice(number);
    row
}

/// What [`message_row`] wrote, row by row.
pub fn parse_message_rows(mut bytes: &[u8]) -> Result<Vec<(MessageState, Timestamp, Box<str>)>, StoreError> {
    let malformed = || corrupt("a message", &"it is malformed");
    let mut rows = Vec::new();
    while let Some((head, rest)) = bytes.split_first_chunk::<8>() {
        let state = MessageState::ALL.into_iter().find(|state| *state as u8 == head[0]).ok_or_else(malformed)?;
        let at = head[1..7].iter().fold(0, |at, byte| at << 8 | u64::from(*byte));
        let (number, rest) = rest.split_at_checked(usize::from(head[7])).ok_or_else(malformed)?;
        let number = std::str::from_utf8(number).map_err(|error| corrupt("a message", &error))?;
        rows.push((state, Timestamp::from_millis(at), number.into()));
        bytes = rest;
    }
    Ok(rows)
}

#[cfg(test)]
#[path = "rows_tests.rs"]
mod tests;
