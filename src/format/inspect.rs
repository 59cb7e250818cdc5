//! Reads out of `data` what routing and the message status need: the chat, message states, connection and instance
//! state. What does not fit is left out, never an error: `data` is the gateway's, and is delivered whatever it holds.

use std::borrow::Cow;

use super::fields::{each_element, pick, pick_within, text};
use crate::domain::{Chat, Connection, Effects, EventKind, MessageState, MessageStatus, Timestamp};

/// Longer ids and jids are not WhatsApp's and would only fill the store.
const MAX_ID_BYTES: usize = 256;

/// What routing and message status need to know of `data`, read without keeping it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inspected {
    pub chat: Option<Chat>,
    /// One per id that the message can be asked for by.
    pub messages: Vec<MessageStatus>,
    /// State and `statusReason`, 0 when that is missing.
    pub connection: Option<(Connection, i64)>,
    /// `state.instance`: on | off | deleted.
    pub state: Option<Box<str>>,
}

impl Inspected {
    /// The chat, and what the event says about things we keep.
    #[must_use]
    pub fn split(self) -> (Option<Chat>, Effects) {
        (self.chat, Effects { messages: self.messages, connection: self.connection, state: self.state })
    }
}

/// Reads the chat, message states, connection and instance state out of `data`; what does not fit is left out, never an error.
///
/// - The chat is `keyRemoteJid` of a message, `id` of a presence or group, `remoteJid` of a contact or chat. An array is about
///   a chat when all its elements are about that one.
/// - A message that we hear was sent (`send.message`) is `SERVER_ACK`: the gateway tells us once WhatsApp has it. One that came
///   (`messages.upsert`) is `DELIVERY_ACK`. `messages.update` says its state. History (`messages.set`) says nothing of states.
/// - A message is known by `messageId` and, where that differs, by `keyId`, WhatsApp's own id; an update names one id.
#[must_use]
pub fn inspect(kind: EventKind, data: &[u8], at: Timestamp) -> Inspected {
    match kind {
        EventKind::QrcodeUpdate | EventKind::NewJwt => Inspected::default(),
        EventKind::StateInstance => Inspected { state: instance_state(data), ..Inspected::default() },
        EventKind::ConnectionUpdate => Inspected { connection: connection(data), ..Inspected::default() },
        EventKind::SendMessage => message(data, MessageState::ServerAck, at),
        EventKind::MessagesUpsert => message(data, MessageState::DeliveryAck, at),
        EventKind::MessagesUpdate => message_update(data, at),
        EventKind::MessagesSet => about(data, "keyRemoteJid"),
        EventKind::PresenceUpdate
        | EventKind::GroupsUpsert
        | EventKind::GroupUpdate
        | EventKind::GroupParticipantsUpdate => about(data, "id"),
        EventKind::ContactsSet
        | EventKind::ContactsUpsert
        | EventKind::ContactsUpdate
        | EventKind::ChatsSet
        | EventKind::ChatsUpdate
        | EventKind::ChatsUpsert
        | EventKind::ChatsDelete => about(data, "remoteJid"),
    }
}

/// State and `statusReason` of a `connection.update`.
pub(super) fn connection(data: &[u8]) -> Option<(Connection, i64)> {
    let [state, reason] = pick(data, ["state", "statusReason"])?;
    let state = Connection::parse(&text(state?)?)?;
    Some((state, reason.and_then(|reason| reason.parse().ok()).unwrap_or(0)))
}

/// The jid without its domain: the phone number of a person, the number of a group.
pub(super) fn number(jid: &str) -> &str {
    jid.split('@').next().unwrap_or(jid)
}

fn instance_state(data: &[u8]) -> Option<Box<str>> {
    let [state] = pick(data, ["state"])?;
    let state = text(state?)?;
    matches!(&*state, "on" | "off" | "deleted").then(|| state.into())
}

fn message(data: &[u8], state: MessageState, at: Timestamp) -> Inspected {
    let Some([id, key, jid]) = pick(data, ["messageId", "keyId", "keyRemoteJid"]) else {
        return about(data, "keyRemoteJid");
    };
    let (id, key, jid) = (id.and_then(short), key.and_then(short), jid.and_then(short));
    let key = key.filter(|key| Some(key) != id.as_ref());
    let messages = [id, key].into_iter().flatten().map(|id| status(&id, state, jid.as_deref(), at)).collect();
    Inspected { chat: jid.map(chat), messages, ..Inspected::default() }
}

fn message_update(data: &[u8], at: Timestamp) -> Inspected {
    let Some([id, key, state, jid]) = pick(data, ["messageMessageId", "keyId", "status", "keyRemoteJid"]) else {
        return Inspected::default();
    };
    let jid = jid.and_then(short);
    let state = state.and_then(text).and_then(|state| MessageState::parse(&state));
    let id = id.and_then(short).or_else(|| key.and_then(short));
    let messages = id.zip(state).map(|(id, state)| status(&id, state, jid.as_deref(), at)).into_iter().collect();
    Inspected { chat: jid.map(chat), messages, ..Inspected::default() }
}

fn status(id: &str, state: MessageState, jid: Option<&str>, at: Timestamp) -> MessageStatus {
    MessageStatus { message_id: id.into(), state, number: jid.map_or("", number).into(), updated_at: at }
}

fn about(data: &[u8], field: &str) -> Inspected {
    let is_array = data.trim_ascii_start().first() == Some(&b'[');
    let jid = if is_array { common_jid(data, field) } else { pick(data, [field]).and_then(|[jid]| short(jid?)) };
    Inspected { chat: jid.map(chat), ..Inspected::default() }
}

/// The jid that every element of the array names; an element may also be the jid itself.
fn common_jid<'a>(data: &'a [u8], field: &str) -> Option<Cow<'a, str>> {
    let mut common = None;
    each_element(data, |element| {
        let is_jid = element.starts_with('"');
        let jid = if is_jid { Some(element) } else { pick_within(element, [field]).and_then(|[jid]| jid) };
        let this = jid.and_then(short);
        let agrees = this.is_some() && (common.is_none() || common == this);
        common = this.filter(|_| agrees);
        agrees
    })?;
    common
}

/// The text of a string that can be an id: neither empty nor too long.
fn short(raw: &str) -> Option<Cow<'_, str>> {
    text(raw).filter(|text| (1..=MAX_ID_BYTES).contains(&text.len()))
}

fn chat(jid: Cow<'_, str>) -> Chat {
    Chat { jid: jid.into() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::fixture::{AT, recorded_events};
    use proptest::prelude::*;

    fn chat_in(kind: EventKind, data: &str) -> Option<String> {
        inspect(kind, data.as_bytes(), AT).chat.map(|chat| chat.jid.into())
    }

    fn states(kind: EventKind, data: &str) -> Vec<(String, MessageState, String)> {
        let messages = inspect(kind, data.as_bytes(), AT).messages;
        messages.into_iter().map(|m| (m.message_id.into(), m.state, m.number.into())).collect()
    }

    #[test]
    fn the_chat_is_read_from_where_its_kind_keeps_it() {
        let person = Some("55@s.whatsapp.net".to_owned());
        assert_eq!(chat_in(EventKind::MessagesUpsert, r#"{"keyRemoteJid":"55@s.whatsapp.net"}"#), person);
        assert_eq!(chat_in(EventKind::SendMessage, r#"{"keyRemoteJid":"55\u0040s.whatsapp.net"}"#), person);
        assert_eq!(chat_in(EventKind::MessagesUpdate, r#"{"keyRemoteJid":"55@s.whatsapp.net"}"#), person);
        assert_eq!(chat_in(EventKind::PresenceUpdate, r#"{"id":"55@s.whatsapp.net"}"#), person);
        assert_eq!(chat_in(EventKind::GroupParticipantsUpdate, r#"{"id":"1@g.us"}"#), Some("1@g.us".into()));
        assert_eq!(chat_in(EventKind::ContactsUpdate, r#" [{"remoteJid":"55@s.whatsapp.net"}]"#), person);
        assert_eq!(chat_in(EventKind::ChatsDelete, r#"["55@s.whatsapp.net"]"#), person);
    }

    #[test]
    fn an_array_about_several_chats_is_about_none() {
        let one = r#"[{"remoteJid":"a@s"},{"remoteJid":"a@s"}]"#;
        assert_eq!(chat_in(EventKind::ChatsUpsert, one), Some("a@s".into()));
        for several in [
            r#"[{"remoteJid":"a@s"},{"remoteJid":"b@s"}]"#,
            r#"[{"remoteJid":"a@s"},{"remoteJid":"b@s"},{"remoteJid":"b@s"}]"#,
            r#"[{"remoteJid":"a@s"},{}]"#,
            r#"[{},{"remoteJid":"a@s"}]"#,
            "[]",
        ] {
            assert_eq!(chat_in(EventKind::ChatsUpsert, several), None, "{several}");
        }
    }

    #[test]
    fn a_message_is_known_by_both_its_ids() {
        let data = r#"{"messageId":"M","keyId":"K","keyRemoteJid":"5511@s.whatsapp.net"}"#;
        let both = |state| vec![("M".to_owned(), state, "5511".to_owned()), ("K".to_owned(), state, "5511".to_owned())];
        assert_eq!(states(EventKind::SendMessage, data), both(MessageState::ServerAck));
        assert_eq!(states(EventKind::MessagesUpsert, data), both(MessageState::DeliveryAck));
        assert_eq!(states(EventKind::SendMessage, r#"{"messageId":"M","keyId":"M"}"#).len(), 1);
        assert_eq!(states(EventKind::MessagesSet, &format!("[{data}]")), []);
    }

    #[test]
    fn an_update_says_its_state() {
        let read = vec![("M".to_owned(), MessageState::Read, String::new())];
        assert_eq!(states(EventKind::MessagesUpdate, r#"{"status":"READ","messageMessageId":"M"}"#), read);
        for nothing in [r#"{"status":"SEEN","messageMessageId":"M"}"#, r#"{"status":"READ"}"#, r#"{"status":3}"#, "[]"]
        {
            assert_eq!(states(EventKind::MessagesUpdate, nothing), [], "{nothing}");
        }
    }

    #[test]
    fn connection_and_instance_state_are_read() {
        let connection = |data: &str| inspect(EventKind::ConnectionUpdate, data.as_bytes(), AT).connection;
        assert_eq!(connection(r#"{"state":"close","statusReason":428}"#), Some((Connection::Close, 428)));
        assert_eq!(connection(r#"{"state":"open","statusReason":"?"}"#), Some((Connection::Open, 0)));
        assert_eq!(connection(r#"{"state":"ajar"}"#), None);
        let state = |data: &str| inspect(EventKind::StateInstance, data.as_bytes(), AT).state;
        assert_eq!(state(r#"{"state":"deleted"}"#).as_deref(), Some("deleted"));
        assert_eq!(state(r#"{"state":"maybe"}"#), None);
    }

    #[test]
    fn an_id_too_long_for_whatsapp_is_left_out() {
        let long = "9".repeat(MAX_ID_BYTES + 1);
        let data = format!(r#"{{"messageId":"{long}","keyRemoteJid":"{long}"}}"#);
        assert_eq!(inspect(EventKind::MessagesUpsert, data.as_bytes(), AT), Inspected::default());
    }

    #[test]
    fn every_recorded_message_tells_its_chat_and_state() {
        let mut messages = 0;
        for event in recorded_events() {
            let seen = inspect(event.kind, &event.data, AT);
            match event.kind {
                EventKind::MessagesUpsert | EventKind::SendMessage => {
                    assert!(seen.chat.is_some());
                    assert_eq!(seen.messages.len(), 2);
                    messages += 1;
                }
                EventKind::MessagesUpdate => assert_eq!(seen.messages.len(), 1),
                EventKind::ConnectionUpdate => assert!(seen.connection.is_some()),
                EventKind::StateInstance => assert!(seen.state.is_some()),
                EventKind::QrcodeUpdate | EventKind::NewJwt => assert_eq!(seen, Inspected::default()),
                EventKind::PresenceUpdate | EventKind::GroupUpdate => assert!(seen.chat.is_some()),
                _ => {}
            }
        }
        assert!(messages > 2_000);
    }

    /// JSON in which our field names occur with every type of value.
    fn json_with_our_fields() -> impl Strategy<Value = String> {
        let names = ["keyRemoteJid", "remoteJid", "id", "messageId", "keyId", "messageMessageId", "status", "state"];
        let leaf = prop_oneof![
            proptest::sample::select(&["null", "true", "-1e400", "7", "\"READ\"", "\"open\"", "\"\\ud800\""][..])
                .prop_map(str::to_owned),
            any::<String>().prop_map(|text| serde_json::to_string(&text).unwrap()),
        ];
        leaf.prop_recursive(3, 32, 6, move |inner| {
            let member = (proptest::sample::select(names.to_vec()), inner.clone());
            prop_oneof![
                proptest::collection::vec(inner, 0..4).prop_map(|items| format!("[{}]", items.join(","))),
                proptest::collection::vec(member, 0..6).prop_map(|members| {
                    let text = |(name, value): (&str, String)| format!("\"{name}\":{value}");
                    format!("{{{}}}", members.into_iter().map(text).collect::<Vec<_>>().join(","))
                }),
            ]
        })
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_give_nothing_and_never_panic(data in proptest::collection::vec(any::<u8>(), 0..64)) {
            prop_assume!(serde_json::from_slice::<serde::de::IgnoredAny>(&data).is_err());
            for kind in EventKind::ALL {
                prop_assert_eq!(inspect(kind, &data, AT), Inspected::default());
            }
        }

        #[test]
        fn whatever_shape_ids_are_never_empty_nor_long(data in json_with_our_fields()) {
            for kind in EventKind::ALL {
                let seen = inspect(kind, data.as_bytes(), AT);
                let ids = seen.messages.iter().map(|message| &message.message_id);
                for id in ids.chain(seen.chat.as_ref().map(|chat| &chat.jid)) {
                    prop_assert!((1..=MAX_ID_BYTES).contains(&id.len()));
                    // Whatever was read stands in the text (escapes aside).
                    prop_assert!(data.contains('\\') || data.contains(&**id));
                }
            }
        }
    }
}
