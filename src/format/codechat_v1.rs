//! The body of CodeChat API v1.3: the v2 envelope with v1.3's event names and its instance object. The header
//! `Resource-Owner` goes with it.

use super::codechat::envelope;
use super::json::{push, push_nullable, push_string};
use super::names::names;
use super::sender::Sender;
use crate::domain::{Connection, Event, Instance};

pub(super) fn body(event: &Event, sender: &Sender) -> Vec<u8> {
    envelope(names(event.kind).codechat_v1, sender.codechat_v1(), &event.data)
}

/// v1.3 knows two connection states; its `ownerJid` is null until the account is known.
pub(super) fn write_instance(out: &mut Vec<u8>, instance: &Instance) {
    let status = if instance.connection == Connection::Open { "ONLINE" } else { "OFFLINE" };
    push(out, &[r#"{"id":"#]);
    push_string(out, instance.id.as_str());
    push(out, &[r#","name":"#]);
    push_string(out, &instance.name);
    push(out, &[r#","connectionStatus":""#, status, r#"","ownerJid":"#]);
    let whatsapp = instance.whatsapp.as_ref();
    push_nullable(out, whatsapp.map(|whatsapp| whatsapp.remote_jid.as_str()));
    if let Some(name) = whatsapp.and_then(|whatsapp| whatsapp.push_name.as_deref()) {
        push(out, &[r#","profileName":"#]);
        push_string(out, name);
    }
    if let Some(url) = whatsapp.and_then(|whatsapp| whatsapp.picture_url.as_deref()) {
        push(out, &[r#","profilePictureUrl":"#]);
        push_string(out, url);
    }
    push(out, &["}"]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::EventKind;
    use crate::format::fixture::{event, sender, sender_without_whatsapp};

    #[test]
    fn the_body_is_that_of_v1_3() {
        let body = body(&event(EventKind::StateInstance, r#"{"state":"on"}"#), &sender());
        let golden = concat!(
            r#"{"event":"status.instance","instance":{"id":"loja-7","name":"Loja 7","connectionStatus":"ONLINE","#,
            r#""ownerJid":"5511999999999@s.whatsapp.net","profileName":"João"},"data":{"state":"on"}}"#
        );
        assert_eq!(std::str::from_utf8(&body), Ok(golden));
    }

    #[test]
    fn an_unknown_owner_is_null() {
        let body = body(&event(EventKind::QrcodeUpdate, "{}"), &sender_without_whatsapp());
        let golden = concat!(
            r#"{"event":"qrcode.updated","instance":{"id":"loja-7","name":"Loja 7","connectionStatus":"OFFLINE","#,
            r#""ownerJid":null},"data":{}}"#
        );
        assert_eq!(std::str::from_utf8(&body), Ok(golden));
    }
}
