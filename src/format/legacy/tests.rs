use super::*;
use crate::format::fixture::{event, recorded_events, sender};
use serde_json::{Value, json};

fn rendered(kind: EventKind, data: &str) -> Option<String> {
    body(&event(kind, data), &sender()).map(|body| String::from_utf8(body).unwrap())
}

fn value(kind: EventKind, data: &Value) -> Value {
    serde_json::from_str(&rendered(kind, &data.to_string()).expect("a body")).expect("a body is JSON")
}

fn received(content_type: &str, content: &Value) -> Value {
    value(EventKind::MessagesUpsert, &json!({"contentType": content_type, "content": content}))
}

#[test]
fn sent_is_as_the_vendor_documents_it() {
    let data = r#"{"messageId":"M1","keyRemoteJid":"5511@s.whatsapp.net","contentType":"conversation","content":{"text":"Ol\u00e1 \"a\""}}"#;
    let golden =
        r#"{"message":"Text sent successfully!","messageSent":"Ol\u00e1 \"a\"","number":"5511","messageId":"M1"}"#;
    assert_eq!(rendered(EventKind::SendMessage, data).as_deref(), Some(golden));
}

#[test]
fn received_is_as_the_vendor_documents_it() {
    let data = r#"{"messageId":"M1","keyRemoteJid":"5511@s.whatsapp.net","pushName":"Ana","contentType":"conversation","content":{"text":"oi"}}"#;
    let golden = concat!(
        r#"{"messageId":"M1","message":"oi","number":"5511","photo":null,"video":null,"senderName":"Ana","#,
        r#""instanceName":"Loja 7","instanceId":"loja-7","whatsappStatus":{"message":"Received","description":"oi","#,
        r#""title":null,"url":null,"groupInvite":null}}"#
    );
    assert_eq!(rendered(EventKind::MessagesUpsert, data).as_deref(), Some(golden));
}

#[test]
fn connected_and_disconnected_are_as_the_vendor_documents_them() {
    for (state, word) in [("open", "Connected"), ("close", "Disconnected")] {
        let golden = format!(
            r#"{{"instanceName":"Loja 7","instanceId":"loja-7","status":"{word}","whatsappStatus":{{"message":"{word}"}}}}"#
        );
        let data = format!(r#"{{"state":"{state}","statusReason":200}}"#);
        assert_eq!(rendered(EventKind::ConnectionUpdate, &data), Some(golden));
    }
}

#[test]
fn a_connection_in_between_has_no_body() {
    for data in [r#"{"state":"connecting"}"#, r#"{"state":"refused"}"#, r#"{"state":1}"#, "{}", "[]"] {
        assert_eq!(rendered(EventKind::ConnectionUpdate, data), None, "{data}");
    }
}

#[test]
fn status_uses_the_vendors_words() {
    let golden = concat!(
        r#"{"messageId":"M","number":"","status":"Read","instanceName":"Loja 7","instanceId":"loja-7","#,
        r#""whatsappStatus":{"message":"Read"}}"#
    );
    let data = r#"{"status":"READ","messageMessageId":"M"}"#;
    assert_eq!(rendered(EventKind::MessagesUpdate, data).as_deref(), Some(golden));
    let word = |state: &str| {
        let data = json!({"status": state, "messageMessageId": "M", "keyRemoteJid": "5511@s.whatsapp.net"});
        let body = rendered(EventKind::MessagesUpdate, &data.to_string())?;
        let body: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(body["number"], "5511");
        Some(body["whatsappStatus"]["message"].as_str().unwrap().to_owned())
    };
    let words = ["SERVER_ACK", "DELIVERY_ACK", "READ", "PLAYED", "DELETED"].map(|state| word(state).unwrap());
    assert_eq!(words, ["Sent", "Received", "Read", "Played", "Deleted"]);
    for wordless in ["PENDING", "ERROR", "SEEN"] {
        assert_eq!(word(wordless), None, "{wordless}");
    }
}

#[test]
fn media_are_photo_or_video_by_url_or_thumbnail() {
    let image = received("imageMessage", &json!({"caption": "vista", "jpegThumbnail": "/9j/", "url": ""}));
    assert_eq!((&image["photo"], &image["video"], &image["message"]), (&json!("/9j/"), &Value::Null, &json!("vista")));
    assert_eq!(image["whatsappStatus"]["url"], Value::Null);

    let video = received("videoMessage", &json!({"url": "https://m/1", "jpegThumbnail": "/9j/"}));
    assert_eq!(
        (&video["photo"], &video["video"], &video["message"]),
        (&Value::Null, &json!("https://m/1"), &json!(""))
    );
    assert_eq!(video["whatsappStatus"]["url"], Value::Null, "where a medium lies is not a link");

    let nested = received("imageMessage", &json!({"imageMessage": {"caption": "c", "url": "https://m/2"}}));
    assert_eq!((&nested["photo"], &nested["message"]), (&json!("https://m/2"), &json!("c")));
}

#[test]
fn links_and_invites_fill_the_whatsapp_status() {
    let link = received("extendedTextMessage", &json!({"text": "veja", "title": "T", "matchedText": "https://x"}));
    let status = &link["whatsappStatus"];
    assert_eq!((&status["title"], &status["url"]), (&json!("T"), &json!("https://x")));
    assert_eq!(status["description"], "veja");
    let invite = received("groupInviteMessage", &json!({"inviteCode": "AbC", "caption": "entre"}));
    assert_eq!(invite["whatsappStatus"]["groupInvite"], "AbC");
}

#[test]
fn a_message_of_an_odd_shape_still_has_every_field() {
    for data in ["{}", r#"{"content":7,"pushName":"","keyRemoteJid":null}"#, r#"{"content":[1e400]}"#] {
        let body: Value = serde_json::from_str(&rendered(EventKind::MessagesUpsert, data).unwrap()).unwrap();
        assert_eq!(body["senderName"], "Unknown");
        assert_eq!((&body["message"], &body["number"], &body["messageId"]), (&json!(""), &json!(""), &json!("")));
        assert_eq!(body.as_object().unwrap().len(), 9);
        assert_eq!(body["whatsappStatus"].as_object().unwrap().len(), 5);
    }
    assert_eq!(received("conversation", &json!("só texto"))["message"], "só texto");
    assert_eq!(received("conversation", &json!({"conversation": "oi"}))["message"], "oi");
    assert_eq!(received("text", &json!({"text": "oi"}))["message"], "oi", "a kind that is also a field's name");
    assert_eq!(rendered(EventKind::MessagesUpsert, "[]"), None);
}

#[test]
fn every_recorded_message_has_its_text() {
    let mut texts = 0;
    for event in recorded_events().into_iter().filter(|event| event.kind == EventKind::MessagesUpsert) {
        let data: Value = serde_json::from_slice(&event.data).unwrap();
        let body: Value = serde_json::from_slice(&body(&event, &sender()).unwrap()).unwrap();
        let content = &data["content"];
        let text = content.get("text").or(content.get("caption")).and_then(Value::as_str).unwrap_or("");
        assert_eq!(body["message"], text);
        assert_eq!(body["messageId"], data["messageId"]);
        assert_eq!(body["photo"].is_null(), data["contentType"] != "imageMessage");
        texts += usize::from(!text.is_empty());
    }
    assert!(texts > 1_000);
}
