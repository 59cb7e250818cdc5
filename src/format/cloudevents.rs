//! CloudEvents 1.0.2 in structured JSON mode, `application/cloudevents+json`.
//!
//! `id` is the event's id, `source` is `/instances/{instanceId}`, `type` is `codechat.` and the dotted name,
//! `subject` is the chat's jid where the event is about one chat. Two extension attributes, lower case as the
//! specification asks: `instancename` and `businessid`.

use std::io::Write as _;

use super::json::{push, push_string};
use super::names::names;
use super::sender::Sender;
use crate::domain::{Business, Event, Instance};

pub(super) fn body(event: &Event, sender: &Sender) -> Vec<u8> {
    let at = event.occurred_at.unwrap_or(event.accepted_at).to_rfc3339();
    let source = sender.cloudevents();
    let subject = event.chat.as_ref().map(|chat| attribute(&chat.jid)).filter(|jid| !jid.is_empty());
    let room = 224 + source.len() + subject.as_ref().map_or(0, String::len) + event.data.len();
    let mut out = Vec::with_capacity(room);
    write!(out, r#"{{"specversion":"1.0","id":"{}","type":"codechat."#, event.id).expect("a Vec takes every byte");
    push(&mut out, &[names(event.kind).dotted, r#"","time":""#, &at, r#"","#, source]);
    if let Some(subject) = subject {
        push(&mut out, &[r#","subject":"#]);
        push_string(&mut out, &subject);
    }
    push(&mut out, &[r#","datacontenttype":"application/json","data":"#]);
    out.extend_from_slice(&event.data);
    out.push(b'}');
    out
}

/// An instance id has no character that a URI path would need to escape.
pub(super) fn write_source(out: &mut Vec<u8>, instance: &Instance, business: &Business) {
    push(out, &[r#""source":"/instances/"#, instance.id.as_str(), r#"","instancename":"#]);
    push_string(out, &attribute(&instance.name));
    push(out, &[r#","businessid":""#, &business.id.to_string(), r#"""#]);
}

/// Without the characters that the specification's type system bars from attributes: control characters and
/// Unicode noncharacters.
fn attribute(text: &str) -> String {
    let noncharacter = |c: char| matches!(u32::from(c), 0xFDD0..=0xFDEF) || u32::from(c) & 0xFFFE == 0xFFFE;
    text.chars().filter(|c| !c.is_control() && !noncharacter(*c)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Chat, EventKind};
    use crate::format::fixture::{EVENT_ID, event, sender};

    #[test]
    fn the_body_is_a_structured_cloudevent() {
        let body = body(&event(EventKind::MessagesUpsert, r#"{"a":1.0}"#), &sender());
        let golden = format!(
            "{}{EVENT_ID}{}",
            r#"{"specversion":"1.0","id":""#,
            concat!(
                r#"","type":"codechat.messages.upsert","time":"2024-04-14T14:11:05.660Z","source":"/instances/loja-7","#,
                r#""instancename":"Loja 7","businessid":"00000000-0000-0000-0000-000000000001","#,
                r#""subject":"5511988887777@s.whatsapp.net","datacontenttype":"application/json","data":{"a":1.0}}"#
            )
        );
        assert_eq!(std::str::from_utf8(&body), Ok(golden.as_str()));
    }

    #[test]
    fn a_subject_is_left_out_rather_than_empty() {
        let mut event = event(EventKind::MessagesUpsert, "1");
        for chat in [None, Some(Chat { jid: "".into() }), Some(Chat { jid: "\u{1}\u{FFFF}\u{FDD0}".into() })] {
            event.chat = chat;
            let value: serde_json::Value = serde_json::from_slice(&body(&event, &sender())).unwrap();
            assert_eq!(value.get("subject"), None);
        }
    }

    #[test]
    fn attribute_names_are_lower_case_letters() {
        let value: serde_json::Value =
            serde_json::from_slice(&body(&event(EventKind::NewJwt, "{}"), &sender())).unwrap();
        for name in value.as_object().unwrap().keys() {
            assert!(name.bytes().all(|b| b.is_ascii_lowercase()), "{name}");
        }
    }
}
