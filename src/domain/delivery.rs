//! One event owed to one webhook: where it stands, and the entry that stands for it in a lane.

use serde::{Deserialize, Serialize};

use super::{Attempt, AttemptOrigin, EventId, EventKind, Timestamp, WebhookId};

/// The part of a webhook's lane an entry lives in. Each part is sorted by `due`, then event id.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[repr(u8)]
pub enum LaneClass {
    /// Attempted before, or due again by hand. Read first after a restart: it tells which keys are blocked.
    Retry = 0,
    /// Not yet attempted.
    Live = 1,
    /// Not yet attempted history (`*.set`): served when `Live` has nothing due, with a floor.
    Low = 2,
    /// Waits behind a blocked key of an ordered webhook; sorted by key first.
    Parked = 3,
}

impl LaneClass {
    pub const ALL: [Self; 4] = [Self::Retry, Self::Live, Self::Low, Self::Parked];
}

/// An unfinished delivery as the store keeps it and the lane in memory holds it.
///
/// `(webhook, class, due, event)` is its identity in the store; a retry replaces it by one of class `Retry`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct LaneEntry {
    pub webhook: WebhookIdBits,
    pub event: EventId,
    pub class: LaneClass,
    pub due: Timestamp,
    pub kind: EventKind,
    /// What makes the next attempt happen.
    pub origin: AttemptOrigin,
    /// Attempts made so far, over all rounds: the next one's number is one more.
    pub attempts: u16,
    /// Attempts made since the schedule began anew (a manual retry or a replay begins it anew).
    pub round_attempts: u16,
    /// Entries with the same key other than 0 are delivered one after the other (see `Webhook::order_key`).
    pub order_key: u64,
    /// Of two waiting entries with the same key other than 0 the newer supersedes the older.
    pub coalesce_key: u64,
    /// Size of the event's `data`.
    pub data_bytes: u32,
}

/// `WebhookId` as a number: entries are many and copied often.
pub type WebhookIdBits = u128;

impl LaneEntry {
    #[must_use]
    pub const fn webhook_id(&self) -> WebhookId {
        WebhookId::from_u128(self.webhook)
    }

    /// Never attempted, and in a class that needs no history to be found: most entries are so all their life.
    #[must_use]
    pub const fn is_fresh(&self) -> bool {
        self.attempts == 0 && matches!(self.class, LaneClass::Live | LaneClass::Low)
    }
}

/// Why a delivery ended without success.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeadReason {
    /// The retry schedule has run out.
    Exhausted,
    /// The receiver's status is in the webhook's `giveUpStatus`.
    GaveUp,
    /// The receiver answered 410.
    Gone,
    /// The format has no body for this kind, or the stored event could not be read.
    Undeliverable,
}

impl DeadReason {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Exhausted => "exhausted",
            Self::GaveUp => "gave_up",
            Self::Gone => "gone",
            Self::Undeliverable => "undeliverable",
        }
    }
}

/// Where a delivery stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DeliveryStatus {
    /// Not yet attempted.
    Pending,
    /// Attempted, waiting for the next attempt.
    Retrying,
    Delivered,
    /// A dead letter: kept, listed, replayable.
    Dead,
    /// A newer state took its place before it was sent.
    Superseded,
    /// Its webhook was deleted.
    Cancelled,
}

impl DeliveryStatus {
    pub const ALL: [Self; 6] =
        [Self::Pending, Self::Retrying, Self::Delivered, Self::Dead, Self::Superseded, Self::Cancelled];

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Retrying => "retrying",
            Self::Delivered => "delivered",
            Self::Dead => "dead",
            Self::Superseded => "superseded",
            Self::Cancelled => "cancelled",
        }
    }

    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.as_str() == text)
    }
}

/// A delivery as lists and timelines show it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Delivery {
    pub event: EventId,
    pub webhook: WebhookId,
    pub kind: EventKind,
    pub status: DeliveryStatus,
    pub dead_reason: Option<DeadReason>,
    /// When it is due next; `None` when it is finished.
    pub next_attempt_at: Option<Timestamp>,
    /// When it ended; `None` when it has not.
    pub finished_at: Option<Timestamp>,
    /// Oldest first. Lists carry only the last one.
    pub attempts: Vec<Attempt>,
}

impl Delivery {
    /// One that was never attempted nor moved.
    #[must_use]
    pub const fn fresh(entry: &LaneEntry) -> Self {
        Self {
            event: entry.event,
            webhook: entry.webhook_id(),
            kind: entry.kind,
            status: DeliveryStatus::Pending,
            dead_reason: None,
            next_attempt_at: Some(entry.due),
            finished_at: None,
            attempts: Vec::new(),
        }
    }
}
