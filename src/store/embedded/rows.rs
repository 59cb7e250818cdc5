//! What is stored under the keys: postcard records; the directory is JSON, to be read and to evolve.
//!
//! A delivery's state is its last history row. One without rows waits in the place its event was stored with: so a delivery
//! that succeeds at once costs one row. Only never attempted `Live` and `Low` entries are without rows.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::fault::corrupt;
use crate::domain::{Attempt, DeadReason, DeliveryStatus, EventId, EventKind, LaneEntry, Timestamp};
pub use crate::store::rows::{EventRow, LaneRow, Placed};
use crate::store::{Append, StoreError};

/// Where a delivery stands after a row.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub enum Standing {
    Waiting(Placed),
    Delivered,
    Dead(DeadReason),
    Superseded {
        by: EventId,
    },
    Cancelled,
    /// As if it had never been, where the archive says otherwise: it was delivered, put back, and died; its dead letter has expired.
    Gone,
}

impl Standing {
    pub const fn status(self) -> DeliveryStatus {
        match self {
            Self::Waiting(Placed { row: LaneRow { attempts: 0, .. }, .. }) => DeliveryStatus::Pending,
            Self::Waiting(_) => DeliveryStatus::Retrying,
            Self::Delivered => DeliveryStatus::Delivered,
            Self::Dead(_) => DeliveryStatus::Dead,
            Self::Superseded { .. } => DeliveryStatus::Superseded,
            Self::Cancelled | Self::Gone => DeliveryStatus::Cancelled,
        }
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

/// See [`EventRow::encode`].
pub fn encode_event(append: &Append) -> Result<Vec<u8>, StoreError> {
    EventRow::encode(append).map_err(|error| StoreError::Unavailable(format!("a record cannot be written: {error}")))
}

/// See [`EventRow::decode`].
pub fn decode_event(bytes: &[u8]) -> Result<(EventRow, &[u8]), StoreError> {
    EventRow::decode(bytes).map_err(|error| corrupt("an event", &error))
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

    #[test]
    fn a_damaged_record_is_an_error_that_names_it() {
        let error = decode::<HistoryRow>("a history row", &[0xff; 3]).unwrap_err();
        assert!(matches!(&error, StoreError::Corrupt(text) if text.contains("a history row")), "{error}");
    }
}
