//! Who is owed what, and what its body must say: written from the contract alone, apart from the code under test.

use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::events::Event;

pub const FORMATS: [&str; 5] = ["codechat", "legacy", "codechat-v1", "standard", "cloudevents"];

/// What a webhook is set to want.
#[derive(Clone, Debug, Default)]
pub struct Wants {
    pub format: &'static str,
    /// Wire names of kinds whose flags are off.
    pub without: Vec<&'static str>,
    pub ignore_groups: bool,
    pub only_chats: BTreeSet<String>,
    pub ignore_chats: BTreeSet<String>,
}

impl Wants {
    /// The fields of the API's `filter`.
    pub fn filter(&self) -> Value {
        json!({ "ignoreGroups": self.ignore_groups, "onlyChats": self.only_chats, "ignoreChats": self.ignore_chats })
    }

    /// Whether the event is owed.
    pub fn takes(&self, event: &Event) -> bool {
        let data: Value = serde_json::from_str(&event.data).expect("recorded data is JSON");
        if self.without.contains(&event.kind.as_str()) || (self.format == "legacy" && !legacy_takes(event, &data)) {
            return false;
        }
        let Some(chat) = chat(event, &data) else { return true };
        let ignored = (self.ignore_groups && chat.ends_with("@g.us")) || self.ignore_chats.contains(&chat);
        let chosen = self.only_chats.is_empty() || self.only_chats.contains(&chat);
        chosen && !ignored
    }
}

/// The legacy API has five webhooks: sent, received, status, connected, disconnected.
fn legacy_takes(event: &Event, data: &Value) -> bool {
    match event.kind.as_str() {
        "send.message" | "messages.upsert" => true,
        "messages.update" => {
            ["SERVER_ACK", "DELIVERY_ACK", "READ", "PLAYED"].iter().any(|state| data["status"] == *state)
        }
        "connection.update" => data["state"] == "open" || data["state"] == "close",
        _ => false,
    }
}

/// The chat that the event is about; of a list: the one that all its entries are about.
pub fn chat(event: &Event, data: &Value) -> Option<String> {
    let field = match event.kind.split('.').next().expect("split gives one part at least") {
        "messages" | "send" => "keyRemoteJid",
        "presence" | "group" => "id",
        "contacts" | "chats" => "remoteJid",
        _ => return None,
    };
    let jid = |of: &Value| of[field].as_str().map(str::to_owned);
    match data {
        Value::Array(entries) => {
            let first = jid(entries.first()?)?;
            entries.iter().all(|entry| jid(entry).as_ref() == Some(&first)).then_some(first)
        }
        one => jid(one),
    }
}

/// Only the newest of these is of use: an older one may be superseded.
pub fn may_be_superseded(kind: &str) -> bool {
    matches!(kind, "presence.update" | "qrcode.updated")
}

/// Checks a body against its event: names, and `data` to the byte where the format carries it.
pub fn check_body(format: &str, event: &Event, instance: &str, body: &[u8]) {
    #[derive(Deserialize)]
    struct Carrier<'a> {
        #[serde(borrow)]
        data: &'a RawValue,
    }
    let value: Value = serde_json::from_slice(body).expect("a body is JSON");
    let dotted = event.kind.replace(':', ".");
    let about = || format!("{format} {} {}", event.kind, event.id);
    match format {
        "codechat" => {
            assert_eq!(value["event"], event.kind, "{}", about());
            assert_eq!(value["instance"]["instanceId"], instance, "{}", about());
        }
        "codechat-v1" => {
            let name = match event.kind.as_str() {
                "state.instance" => "status.instance",
                "group.upsert" => "groups.upsert",
                "group.update" => "groups.update",
                "group.participants:update" => "group-participants.update",
                same => same,
            };
            assert_eq!(value["event"], name, "{}", about());
            assert_eq!(value["instance"]["id"], instance, "{}", about());
        }
        "standard" => assert_eq!(value["type"], dotted, "{}", about()),
        "cloudevents" => {
            assert_eq!(value["type"], format!("codechat.{dotted}"), "{}", about());
            assert_eq!(value["source"], format!("/instances/{instance}"), "{}", about());
        }
        _ => return check_legacy(event, instance, &value),
    }
    let carried: Carrier<'_> = serde_json::from_slice(body).expect("the body has data");
    assert!(carried.data.get() == event.data, "{}: data is not what was sent", about());
}

fn check_legacy(event: &Event, instance: &str, body: &Value) {
    let data: Value = serde_json::from_str(&event.data).expect("recorded data is JSON");
    let (message, word) = match event.kind.as_str() {
        "send.message" => {
            assert_eq!(body["message"], "Text sent successfully!");
            (&data["messageId"], None)
        }
        "messages.upsert" => (&data["messageId"], Some("Received")),
        "messages.update" => {
            let word = match data["status"].as_str() {
                Some("SERVER_ACK") => "Sent",
                Some("DELIVERY_ACK") => "Received",
                Some("READ") => "Read",
                _ => "Played",
            };
            (&data["messageMessageId"], Some(word))
        }
        _ => {
            let word = if data["state"] == "open" { "Connected" } else { "Disconnected" };
            assert_eq!(body["status"], word, "{}", event.id);
            (&Value::Null, Some(word))
        }
    };
    assert_eq!(body["messageId"], *message, "{}", event.id);
    if let Some(word) = word {
        assert_eq!(body["whatsappStatus"]["message"], word, "{}", event.id);
        assert_eq!(body["instanceId"], instance, "{}", event.id);
    }
}
