//! What a move from one store to another carries: events with all that is on record of their deliveries, and states of messages.
//!
//! Nothing of it is in a store's own terms, so any store can be filled from any other: lanes keep their order, for an entry keeps
//! its place (`due` and event) as it is.

use std::sync::Arc;

use futures_util::stream::BoxStream;
use ring::digest;

use super::{HeldBack, Next, StoreError};
use crate::domain::{Attempt, Event, InstanceId, LaneEntry, MessageState, Timestamp, WebhookIdBits};

/// Values of the process that a move takes along (see [`Store::setting`](super::Store::setting)).
pub const JWT_KEY_SETTING: &str = "jwt_key";
pub const ADMIN_DIGEST_SETTING: &str = "admin_token_digest";
/// There, and not empty, while a move into this store has begun and not ended: nobody should serve from it.
pub const UNFINISHED_MOVE_SETTING: &str = "unfinished_import";

/// Pages of a store, of bounded size, each [`Record`] once.
pub type RecordStream<'a> = BoxStream<'a, Result<Vec<Record>, StoreError>>;

/// Most records of a page.
pub const PAGE_RECORDS: usize = 256;
/// A page ends with the record that reaches this.
pub const PAGE_BYTES: usize = 4 << 20;

#[derive(Clone, PartialEq, Debug)]
pub enum Record {
    Event(EventRecord),
    Message(MessageRecord),
}

/// An event and everything on record of what it was owed to.
#[derive(Clone, PartialEq, Debug)]
pub struct EventRecord {
    pub event: Arc<Event>,
    pub held_back: Vec<(WebhookIdBits, HeldBack)>,
    pub deliveries: Vec<DeliveryRecord>,
}

/// One delivery.
#[derive(Clone, PartialEq, Debug)]
pub struct DeliveryRecord {
    /// The entry its event was stored with.
    pub first: LaneEntry,
    /// Where it stands; [`Next::Move`]: it waits as this entry.
    pub standing: Next,
    /// Since when.
    pub at: Timestamp,
    /// By number.
    pub attempts: Vec<Attempt>,
}

impl DeliveryRecord {
    /// It waits as its event was stored with it.
    #[must_use]
    pub fn fresh(first: LaneEntry) -> Self {
        Self { first, standing: Next::Move(first), at: first.event.timestamp(), attempts: Vec::new() }
    }

    #[must_use]
    pub fn is_fresh(&self) -> bool {
        self.first.is_fresh() && self.attempts.is_empty() && self.standing == Next::Move(self.first)
    }

    #[must_use]
    pub const fn waiting(&self) -> Option<&LaneEntry> {
        if let Next::Move(entry) = &self.standing { Some(entry) } else { None }
    }

    #[must_use]
    pub const fn is_dead(&self) -> bool {
        matches!(self.standing, Next::Dead(_))
    }
}

/// State, when, the other side's number.
pub type StateReached = (MessageState, Timestamp, Box<str>);

/// States that a message has reached. Of one message there may be several, e.g. one for each day.
#[derive(Clone, PartialEq, Debug)]
pub struct MessageRecord {
    pub instance: InstanceId,
    pub id: MessageName,
    pub states: Vec<StateReached>,
}

/// A store may know the id of a message only by its hash.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum MessageName {
    Id(Box<str>),
    Hash([u8; 16]),
}

impl MessageName {
    #[must_use]
    pub fn hash(&self) -> [u8; 16] {
        match self {
            Self::Id(id) => message_hash(id),
            Self::Hash(hash) => *hash,
        }
    }
}

/// The first half of SHA-256 of the id.
#[must_use]
pub fn message_hash(id: &str) -> [u8; 16] {
    let hash = digest::digest(&digest::SHA256, id.as_bytes());
    *hash.as_ref().first_chunk().expect("SHA-256 has 32 bytes")
}
