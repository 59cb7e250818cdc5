//! The body of CodeChat API v2: `{"event", "instance", "data"}`. The default format.

use super::json::{push, push_nullable, push_string};
use super::names::names;
use super::sender::Sender;
use crate::domain::{Business, Event, Instance};

pub(super) fn body(event: &Event, sender: &Sender) -> Vec<u8> {
    envelope(names(event.kind).codechat, sender.codechat(), &event.data)
}

/// `{"event":"…","instance":…,"data":…}`, the envelope that v2 and v1.3 share.
pub(super) fn envelope(name: &str, instance: &str, data: &[u8]) -> Vec<u8> {
    const HEAD: &str = r#"{"event":""#;
    const INSTANCE: &str = r#"","instance":"#;
    const DATA: &str = r#","data":"#;
    let fixed = HEAD.len() + INSTANCE.len() + DATA.len() + 1;
    let mut out = Vec::with_capacity(fixed + name.len() + instance.len() + data.len());
    push(&mut out, &[HEAD, name, INSTANCE, instance, DATA]);
    out.extend_from_slice(data);
    out.push(b'}');
    out
}

pub(super) fn write_instance(out: &mut Vec<u8>, instance: &Instance, business: &Business) {
    push(out, &[r#"{"instanceId":"#]);
    push_string(out, instance.id.as_str());
    push(out, &[r#","name":"#]);
    push_string(out, &instance.name);
    push(out, &[r#","state":""#, instance.state.as_str(), r#"","connection":""#, instance.connection.as_str()]);
    push(out, &[r#"","createdAt":""#, &instance.created_at.to_rfc3339(), r#"","WhatsApp":"#]);
    if let Some(whatsapp) = &instance.whatsapp {
        push(out, &[r#"{"whatsappId":"#]);
        push_string(out, &whatsapp.whatsapp_id);
        push(out, &[r#","remoteJid":"#]);
        push_string(out, &whatsapp.remote_jid);
        push(out, &[r#","pictureUrl":"#]);
        push_nullable(out, whatsapp.picture_url.as_deref());
        push(out, &[r#","pushName":"#]);
        push_nullable(out, whatsapp.push_name.as_deref());
        push(out, &[r#","createdAt":""#, &whatsapp.created_at.to_rfc3339(), r#""}"#]);
    } else {
        push(out, &["null"]);
    }
    push(out, &[r#","Business":{"businessId":""#, &business.id.to_string(), r#"","name":"#]);
    push_string(out, &business.name);
    push(out, &["}}"]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::EventKind;
    use crate::format::fixture::{event, sender, sender_without_whatsapp};

    #[test]
    fn the_body_is_the_vendors() {
        let body = body(&event(EventKind::GroupParticipantsUpdate, r#"{"id" : 1e2}"#), &sender());
        let golden = concat!(
            r#"{"event":"group.participants:update","instance":{"instanceId":"loja-7","name":"Loja 7","state":"active","#,
            r#""connection":"open","createdAt":"2024-04-14T14:11:05.660Z","WhatsApp":{"whatsappId":"wa-1","#,
            r#""remoteJid":"5511999999999@s.whatsapp.net","pictureUrl":null,"pushName":"João","#,
            r#""createdAt":"2024-04-14T14:11:05.660Z"},"Business":{"businessId":"00000000-0000-0000-0000-000000000001","#,
            r#""name":"Acme \"SA\""}},"data":{"id" : 1e2}}"#
        );
        assert_eq!(std::str::from_utf8(&body), Ok(golden));
        assert_eq!(body.len(), body.capacity(), "the buffer is sized once");
    }

    #[test]
    fn an_unknown_whatsapp_account_is_null() {
        let body = body(&event(EventKind::QrcodeUpdate, "{}"), &sender_without_whatsapp());
        let value: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert!(value["instance"]["WhatsApp"].is_null());
        assert_eq!(value["instance"]["connection"], "close");
    }
}
