//! The bodies of apiwhatsappweb.com: *sent*, *received*, *connected*, *disconnected* as the vendor documents them, and
//! *status*, whose body the vendor does not publish and which is ours. They carry no event name: one URL per kind.
//!
//! Decisions where the vendor's page is silent:
//! - A text field that it does not call nullable is an empty string when the event has none; `description` repeats
//!   `message`; `number` is the chat's jid without its domain.
//! - `photo` and `video` are the media's `url`, else its `base64`, else its `jpegThumbnail`, exactly as the event has
//!   it; null when it has none of them.
//! - `title` and `url` are those of a link preview (`canonicalUrl`, `matchedText`), `groupInvite` is the invite code.
//! - *status* says `Sent` for SERVER_ACK and `Received` for DELIVERY_ACK. The vendor has no word for PENDING and ERROR,
//!   nor for a connection that is neither open nor close: such events have no body.

use std::borrow::Cow;

use super::fields::{pick, pick_within, text};
use super::inspect::{connection, number};
use super::json::{push, push_string};
use super::sender::Sender;
use crate::domain::{Connection, Event, EventKind, Instance, MessageState};

pub(super) const fn knows(kind: EventKind) -> bool {
    use EventKind::{ConnectionUpdate, MessagesUpdate, MessagesUpsert, SendMessage};
    matches!(kind, SendMessage | MessagesUpsert | MessagesUpdate | ConnectionUpdate)
}

pub(super) fn has_body_for(kind: EventKind, data: &[u8]) -> bool {
    read(kind, data).is_some()
}

pub(super) fn body(event: &Event, sender: &Sender) -> Option<Vec<u8>> {
    let notice = read(event.kind, &event.data)?;
    let mut out = Vec::with_capacity(512);
    let instance = sender.legacy();
    match notice {
        Notice::Sent(message) => write_sent(&mut out, &message),
        Notice::Received(message) => write_received(&mut out, &message, instance),
        Notice::Status { id, jid, word } => {
            push(&mut out, &[r#"{"messageId":"#, id, r#","number":"#]);
            push_string(&mut out, number(&jid));
            push(&mut out, &[r#","status":""#, word, r#"","#, instance]);
            push(&mut out, &[r#","whatsappStatus":{"message":""#, word, r#""}}"#]);
        }
        Notice::Connection(word) => {
            push(&mut out, &["{", instance, r#","status":""#, word]);
            push(&mut out, &[r#"","whatsappStatus":{"message":""#, word, r#""}}"#]);
        }
    }
    Some(out)
}

/// `"instanceName":…,"instanceId":…`, members that four of the five bodies have.
pub(super) fn write_instance(out: &mut Vec<u8>, instance: &Instance) {
    push(out, &[r#""instanceName":"#]);
    push_string(out, &instance.name);
    push(out, &[r#","instanceId":"#]);
    push_string(out, instance.id.as_str());
}

fn write_sent(out: &mut Vec<u8>, message: &Message<'_>) {
    push(out, &[r#"{"message":"Text sent successfully!","messageSent":"#, message.text.unwrap_or(EMPTY)]);
    push(out, &[r#","number":"#]);
    push_string(out, number(&message.jid));
    push(out, &[r#","messageId":"#, message.id, "}"]);
}

fn write_received(out: &mut Vec<u8>, message: &Message<'_>, instance: &str) {
    const NULL: &str = "null";
    let text = message.text.unwrap_or(EMPTY);
    push(out, &[r#"{"messageId":"#, message.id, r#","message":"#, text, r#","number":"#]);
    push_string(out, number(&message.jid));
    push(out, &[r#","photo":"#, message.photo.unwrap_or(NULL), r#","video":"#, message.video.unwrap_or(NULL)]);
    push(out, &[r#","senderName":"#, message.sender_name.unwrap_or(r#""Unknown""#), ",", instance]);
    push(out, &[r#","whatsappStatus":{"message":"Received","description":"#, text]);
    push(out, &[r#","title":"#, message.title.unwrap_or(NULL), r#","url":"#, message.url.unwrap_or(NULL)]);
    push(out, &[r#","groupInvite":"#, message.group_invite.unwrap_or(NULL), "}}"]);
}

/// What a body tells. Texts are JSON strings as the event spells them, quotes included: they are copied, not rewritten.
enum Notice<'a> {
    Sent(Message<'a>),
    Received(Message<'a>),
    Status { id: &'a str, jid: Cow<'a, str>, word: &'static str },
    Connection(&'static str),
}

#[derive(Default)]
struct Message<'a> {
    id: &'a str,
    jid: Cow<'a, str>,
    text: Option<&'a str>,
    photo: Option<&'a str>,
    video: Option<&'a str>,
    sender_name: Option<&'a str>,
    title: Option<&'a str>,
    url: Option<&'a str>,
    group_invite: Option<&'a str>,
}

const EMPTY: &str = r#""""#;

fn read(kind: EventKind, data: &[u8]) -> Option<Notice<'_>> {
    match kind {
        EventKind::SendMessage => read_message(data).map(Notice::Sent),
        EventKind::MessagesUpsert => read_message(data).map(Notice::Received),
        EventKind::MessagesUpdate => read_status(data),
        EventKind::ConnectionUpdate => match connection(data)?.0 {
            Connection::Open => Some(Notice::Connection("Connected")),
            Connection::Close => Some(Notice::Connection("Disconnected")),
            Connection::Connecting | Connection::Refused => None,
        },
        _ => None,
    }
}

fn read_status(data: &[u8]) -> Option<Notice<'_>> {
    let [id, key, status, jid] = pick(data, ["messageMessageId", "keyId", "status", "keyRemoteJid"])?;
    let word = match MessageState::parse(&text(status?)?)? {
        MessageState::ServerAck => "Sent",
        MessageState::DeliveryAck => "Received",
        MessageState::Read => "Read",
        MessageState::Played => "Played",
        MessageState::Deleted => "Deleted",
        MessageState::Pending | MessageState::Error => return None,
    };
    let id = string(id).or_else(|| string(key))?;
    Some(Notice::Status { id, jid: jid.and_then(text).unwrap_or_default(), word })
}

fn read_message(data: &[u8]) -> Option<Message<'_>> {
    let [id, key, jid, name, kind, content] =
        pick(data, ["messageId", "keyId", "keyRemoteJid", "pushName", "contentType", "content"])?;
    let kind = kind.and_then(text).unwrap_or_default();
    Some(Message {
        id: string(id).or_else(|| string(key)).unwrap_or(EMPTY),
        jid: jid.and_then(text).unwrap_or_default(),
        sender_name: string(name),
        ..content.map_or_else(Message::default, |content| read_content(content, &kind))
    })
}

/// `content` is the message object of `kind`, or a text, or an object that holds the message object under its kind's name.
fn read_content<'a>(content: &'a str, kind: &str) -> Message<'a> {
    // The kind comes last, so that one which is also a name (`conversation`) is read as that name.
    let pick_from = |object| {
        pick_within(
            object,
            [
                "text",
                "caption",
                "conversation",
                "title",
                "url",
                "base64",
                "jpegThumbnail",
                "canonicalUrl",
                "matchedText",
                "inviteCode",
                kind,
            ],
        )
    };
    let Some(mut found) = pick_from(content) else {
        return Message { text: string(Some(content)), ..Message::default() };
    };
    if let Some(nested) = found[10].and_then(pick_from) {
        found = nested;
    }
    let [words, caption, conversation, title, url, base64, thumbnail, canonical, matched, invite, _] =
        found.map(string);
    let media = url.or(base64).or(thumbnail);
    // The `url` of a medium is where the medium lies, not a link that the sender wrote.
    let is_medium = matches!(
        kind,
        "imageMessage" | "videoMessage" | "ptvMessage" | "audioMessage" | "documentMessage" | "stickerMessage"
    );
    Message {
        text: words.or(caption).or(conversation),
        photo: media.filter(|_| kind == "imageMessage"),
        video: media.filter(|_| matches!(kind, "videoMessage" | "ptvMessage")),
        title,
        url: canonical.or(matched).or(url.filter(|_| !is_medium)),
        group_invite: invite,
        ..Message::default()
    }
}

/// The JSON text when it is a string that says something.
fn string(raw: Option<&str>) -> Option<&str> {
    raw.filter(|raw| raw.starts_with('"') && *raw != EMPTY)
}

#[cfg(test)]
mod tests;
