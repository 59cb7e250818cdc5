//! The status of a message, which a receiver may look up later by its id; kept 30 days.

use serde::{Deserialize, Serialize};

use super::Timestamp;

/// Ordered: a later state never gives way to an earlier one, whatever the order of the events.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[repr(u8)]
pub enum MessageState {
    Pending = 0,
    Error = 1,
    ServerAck = 2,
    DeliveryAck = 3,
    Read = 4,
    Played = 5,
    Deleted = 6,
}

impl MessageState {
    pub const ALL: [Self; 7] =
        [Self::Pending, Self::Error, Self::ServerAck, Self::DeliveryAck, Self::Read, Self::Played, Self::Deleted];

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "PENDING",
            Self::Error => "ERROR",
            Self::ServerAck => "SERVER_ACK",
            Self::DeliveryAck => "DELIVERY_ACK",
            Self::Read => "READ",
            Self::Played => "PLAYED",
            Self::Deleted => "DELETED",
        }
    }

    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.as_str() == text)
    }
}

/// What we know of one message of an instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessageStatus {
    pub message_id: Box<str>,
    pub state: MessageState,
    /// The other side: the chat's jid without its domain; empty when no event told it.
    pub number: Box<str>,
    pub updated_at: Timestamp,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_rank_as_a_message_lives() {
        assert!(MessageState::Read > MessageState::DeliveryAck);
        assert!(MessageState::ServerAck > MessageState::Error, "a retried send that succeeds outranks its error");
        for state in MessageState::ALL {
            assert_eq!(MessageState::parse(state.as_str()), Some(state));
        }
    }
}
