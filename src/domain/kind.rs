//! The eighteen event kinds of the CodeChat API v2, and `chatsDelete`, which its prose describes and its schema lacks.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What happened. The discriminant is stored: append only, never reorder.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[repr(u8)]
pub enum EventKind {
    QrcodeUpdate = 0,
    StateInstance = 1,
    MessagesSet = 2,
    MessagesUpsert = 3,
    MessagesUpdate = 4,
    SendMessage = 5,
    ContactsSet = 6,
    ContactsUpsert = 7,
    ContactsUpdate = 8,
    PresenceUpdate = 9,
    ChatsSet = 10,
    ChatsUpdate = 11,
    ChatsUpsert = 12,
    GroupsUpsert = 13,
    GroupUpdate = 14,
    GroupParticipantsUpdate = 15,
    ConnectionUpdate = 16,
    NewJwt = 17,
    ChatsDelete = 18,
}

impl EventKind {
    /// Every kind, in the order of the vendor's schema; `chatsDelete` last.
    pub const ALL: [Self; 19] = [
        Self::QrcodeUpdate,
        Self::StateInstance,
        Self::MessagesSet,
        Self::MessagesUpsert,
        Self::MessagesUpdate,
        Self::SendMessage,
        Self::ContactsSet,
        Self::ContactsUpsert,
        Self::ContactsUpdate,
        Self::PresenceUpdate,
        Self::ChatsSet,
        Self::ChatsUpdate,
        Self::ChatsUpsert,
        Self::GroupsUpsert,
        Self::GroupUpdate,
        Self::GroupParticipantsUpdate,
        Self::ConnectionUpdate,
        Self::NewJwt,
        Self::ChatsDelete,
    ];

    /// The name of the kind's flag in `WebhookEvents`.
    #[must_use]
    pub const fn flag(self) -> &'static str {
        match self {
            Self::QrcodeUpdate => "qrcodeUpdate",
            Self::StateInstance => "stateInstance",
            Self::MessagesSet => "messagesSet",
            Self::MessagesUpsert => "messagesUpsert",
            Self::MessagesUpdate => "messagesUpdate",
            Self::SendMessage => "sendMessage",
            Self::ContactsSet => "contactsSet",
            Self::ContactsUpsert => "contactsUpsert",
            Self::ContactsUpdate => "contactsUpdate",
            Self::PresenceUpdate => "presenceUpdate",
            Self::ChatsSet => "chatsSet",
            Self::ChatsUpdate => "chatsUpdate",
            Self::ChatsUpsert => "chatsUpsert",
            Self::GroupsUpsert => "groupsUpsert",
            Self::GroupUpdate => "groupUpdate",
            Self::GroupParticipantsUpdate => "groupParticipantsUpdate",
            Self::ConnectionUpdate => "connectionUpdate",
            Self::NewJwt => "newJwt",
            Self::ChatsDelete => "chatsDelete",
        }
    }

    /// The name on the wire in the CodeChat v2 body: the name that ingest, lists and logs use.
    #[must_use]
    pub const fn wire(self) -> &'static str {
        match self {
            Self::QrcodeUpdate => "qrcode.updated",
            Self::StateInstance => "state.instance",
            Self::MessagesSet => "messages.set",
            Self::MessagesUpsert => "messages.upsert",
            Self::MessagesUpdate => "messages.update",
            Self::SendMessage => "send.message",
            Self::ContactsSet => "contacts.set",
            Self::ContactsUpsert => "contacts.upsert",
            Self::ContactsUpdate => "contacts.update",
            Self::PresenceUpdate => "presence.update",
            Self::ChatsSet => "chats.set",
            Self::ChatsUpdate => "chats.update",
            Self::ChatsUpsert => "chats.upsert",
            Self::GroupsUpsert => "group.upsert",
            Self::GroupUpdate => "group.update",
            // The colon is the vendor's.
            Self::GroupParticipantsUpdate => "group.participants:update",
            Self::ConnectionUpdate => "connection.update",
            Self::NewJwt => "new.jwt",
            Self::ChatsDelete => "chats.delete",
        }
    }

    /// Reads a flag, a wire name of v2, or a name that v1.3 or the Go engine gives the same kind.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        let known = Self::ALL.into_iter().find(|kind| kind.wire() == name || kind.flag() == name);
        known.or(match name {
            "statusInstance" | "status.instance" => Some(Self::StateInstance),
            "qrcode.update" => Some(Self::QrcodeUpdate),
            "presence.updated" => Some(Self::PresenceUpdate),
            "chats.updated" => Some(Self::ChatsUpdate),
            "groups.upsert" => Some(Self::GroupsUpsert),
            "groups.update" => Some(Self::GroupUpdate),
            "group-participants.update" | "groups.participants.update" | "group.participants.update" => {
                Some(Self::GroupParticipantsUpdate)
            }
            _ => None,
        })
    }

    #[must_use]
    pub const fn from_u8(raw: u8) -> Option<Self> {
        if (raw as usize) < Self::ALL.len() { Some(Self::ALL[raw as usize]) } else { None }
    }

    /// History that a new session loads: never ahead of live events.
    #[must_use]
    pub const fn is_history(self) -> bool {
        matches!(self, Self::MessagesSet | Self::ContactsSet | Self::ChatsSet)
    }

    /// Only the newest state is of use: an older one not yet delivered is superseded.
    #[must_use]
    pub const fn is_latest_wins(self) -> bool {
        matches!(self, Self::QrcodeUpdate | Self::PresenceUpdate)
    }
}

impl fmt::Display for EventKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.wire())
    }
}

/// The set of kinds a webhook wants.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EventFlags(u32);

impl EventFlags {
    /// The vendor's default: everything.
    pub const ALL: Self = Self((1 << EventKind::ALL.len()) - 1);
    pub const NONE: Self = Self(0);

    #[must_use]
    pub const fn contains(self, kind: EventKind) -> bool {
        self.0 & (1 << kind as u8) != 0
    }

    pub const fn set(&mut self, kind: EventKind, wanted: bool) {
        if wanted { self.0 |= 1 << kind as u8 } else { self.0 &= !(1 << kind as u8) }
    }

    #[must_use]
    pub fn only(kinds: &[EventKind]) -> Self {
        let mut flags = Self::NONE;
        for kind in kinds {
            flags.set(*kind, true);
        }
        flags
    }
}

impl Default for EventFlags {
    fn default() -> Self {
        Self::ALL
    }
}

impl fmt::Debug for EventFlags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set()
            .entries(EventKind::ALL.iter().filter(|kind| self.contains(**kind)).map(|kind| kind.flag()))
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_reads_back_from_both_names_and_its_stored_number() {
        for kind in EventKind::ALL {
            assert_eq!(EventKind::parse(kind.flag()), Some(kind));
            assert_eq!(EventKind::parse(kind.wire()), Some(kind));
            assert_eq!(EventKind::from_u8(kind as u8), Some(kind));
        }
        assert_eq!(EventKind::from_u8(19), None);
        assert_eq!(EventKind::parse("messages.Upsert"), None);
    }

    #[test]
    fn clearing_one_flag_leaves_the_others() {
        let mut flags = EventFlags::default();
        flags.set(EventKind::PresenceUpdate, false);
        assert!(!flags.contains(EventKind::PresenceUpdate));
        assert_eq!(EventKind::ALL.iter().filter(|kind| flags.contains(**kind)).count(), 18);
    }
}
