//! Something that happened on an instance.

use bytes::Bytes;

use super::{Connection, EventId, EventKind, InstanceId, MessageStatus, Timestamp};

/// The chat an event is about, as far as its `data` tells: filters and order go by it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chat {
    /// E.g. `5511999999999@s.whatsapp.net`, `…@g.us`, `status@broadcast`, `…@newsletter`.
    pub jid: Box<str>,
}

impl Chat {
    #[must_use]
    pub fn is_group(&self) -> bool {
        self.jid.ends_with("@g.us")
    }

    #[must_use]
    pub fn is_status(&self) -> bool {
        &*self.jid == "status@broadcast"
    }

    #[must_use]
    pub fn is_newsletter(&self) -> bool {
        self.jid.ends_with("@newsletter")
    }

    /// Two chats that share it are only ordered with each other; never 0.
    #[must_use]
    pub fn key(&self) -> u64 {
        stable_key(&self.jid)
    }
}

/// A 64-bit stand-in for a name, the same over releases (FNV-1a), never 0.
#[must_use]
pub fn stable_key(name: &str) -> u64 {
    let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
    name.bytes().fold(0xcbf2_9ce4_8422_2325, step).max(1)
}

/// What an event says about things we keep ourselves, read out of its `data`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Effects {
    pub messages: Vec<MessageStatus>,
    /// `connection.update`: the new state and its `statusReason`.
    pub connection: Option<(Connection, i64)>,
    /// `state.instance`: on, off or deleted.
    pub state: Option<Box<str>>,
}

impl Effects {
    /// Whether the instance itself changes.
    #[must_use]
    pub const fn moves_instance(&self) -> bool {
        self.connection.is_some() || self.state.is_some()
    }
}

/// An event as a caller hands it in: not yet accepted, without an id of ours.
#[derive(Clone, Debug)]
pub struct NewEvent {
    pub kind: EventKind,
    /// The JSON text of `data`, exactly the bytes that came in.
    pub data: Bytes,
    /// The caller's id: a repeat within 24 h is recognised by it.
    pub client_id: Option<Box<str>>,
    pub occurred_at: Option<Timestamp>,
    pub chat: Option<Chat>,
    pub effects: Effects,
    /// W3C `traceparent` of the request that brought it.
    pub traceparent: Option<Box<str>>,
}

/// An accepted event. Immutable; shared by all its deliveries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    pub id: EventId,
    pub instance: InstanceId,
    pub kind: EventKind,
    pub data: Bytes,
    pub client_id: Option<Box<str>>,
    pub accepted_at: Timestamp,
    pub occurred_at: Option<Timestamp>,
    pub chat: Option<Chat>,
    pub traceparent: Option<Box<str>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chat(jid: &str) -> Chat {
        Chat { jid: jid.into() }
    }

    #[test]
    fn jids_tell_what_they_are() {
        assert!(chat("1203630@g.us").is_group());
        assert!(chat("status@broadcast").is_status());
        assert!(chat("12036304@newsletter").is_newsletter());
        let person = chat("5511999999999@s.whatsapp.net");
        assert!(!person.is_group() && !person.is_status() && !person.is_newsletter());
    }

    #[test]
    fn the_order_key_is_stable_over_releases() {
        // Stored with waiting deliveries: a change would break order over an upgrade.
        assert_eq!(chat("").key(), 0xcbf2_9ce4_8422_2325);
        assert_eq!(chat("a").key(), 0xaf63_dc4c_8601_ec8c);
    }
}
