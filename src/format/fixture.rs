//! A sender and events that the tests of this module share.

use super::Sender;
use crate::domain::{
    Business, Connection, Event, EventKind, Format, Instance, InstanceId, InstanceState, Secret, Secrets, Timestamp,
    Webhook, WebhookId, WebhookOwner,
};
use crate::domain::{BusinessId, Chat, EventFlags, Ordering, RetryPolicy, WhatsApp};
use bytes::Bytes;
use std::sync::Arc;

pub(super) const AT: Timestamp = Timestamp::from_millis(1_713_103_865_660);
pub(super) const EVENT_ID: &str = "evt_01HVEGAC7W0000000000000007";

pub(super) fn business() -> Business {
    Business {
        id: BusinessId::from_u128(1),
        name: "Acme \"SA\"".into(),
        token: "business-token".into(),
        attributes: serde_json::Map::new(),
        created_at: AT,
        updated_at: AT,
    }
}

pub(super) fn instance() -> Instance {
    Instance {
        id: InstanceId::new("loja-7").unwrap(),
        business: BusinessId::from_u128(1),
        name: "Loja 7".into(),
        state: InstanceState::Active,
        connection: Connection::Open,
        status_reason: 200,
        auth_id: "auth".into(),
        jwt: "instance-token".into(),
        auth_updated_at: AT,
        whatsapp: Some(WhatsApp {
            whatsapp_id: "wa-1".into(),
            remote_jid: "5511999999999@s.whatsapp.net".into(),
            picture_url: None,
            push_name: Some("João".into()),
            created_at: AT,
        }),
        created_at: AT,
        updated_at: AT,
    }
}

pub(super) fn sender() -> Sender {
    Sender::new(Arc::new(instance()), Arc::new(business()))
}

pub(super) fn sender_without_whatsapp() -> Sender {
    Sender::new(Arc::new(Instance { whatsapp: None, connection: Connection::Close, ..instance() }), business().into())
}

pub(super) fn event(kind: EventKind, data: &str) -> Event {
    Event {
        id: EVENT_ID.parse().unwrap(),
        instance: instance().id,
        kind,
        data: Bytes::copy_from_slice(data.as_bytes()),
        client_id: None,
        accepted_at: AT,
        occurred_at: None,
        chat: Some(Chat { jid: "5511988887777@s.whatsapp.net".into() }),
        traceparent: None,
    }
}

pub(super) fn webhook(format: Format) -> Webhook {
    Webhook {
        id: WebhookId::from_u128(2),
        owner: WebhookOwner::Instance(instance().id),
        name: "crm".into(),
        url: "https://crm.example/hook".into(),
        enabled: true,
        paused: false,
        disabled_reason: None,
        failing_since: None,
        events: EventFlags::ALL,
        events_id: "flags".into(),
        events_created_at: AT,
        events_updated_at: AT,
        headers: [("X-Shop".to_owned(), "7".to_owned())].into(),
        format,
        secrets: Secrets::new(Secret::random().unwrap()),
        rate_limit: None,
        concurrency: Webhook::DEFAULT_CONCURRENCY,
        ordering: Ordering::None,
        timeout_ms: Webhook::DEFAULT_TIMEOUT_MS,
        retry: RetryPolicy::default(),
        filter: crate::domain::Filter::default(),
        created_at: AT,
        updated_at: AT,
    }
}

/// The events of `tests/data/events.jsonl`, with `data` exactly as the line spells it.
pub(super) fn recorded_events() -> Vec<Event> {
    #[derive(serde::Deserialize)]
    struct Line<'a> {
        event: &'a str,
        #[serde(borrow)]
        data: &'a serde_json::value::RawValue,
    }
    let lines = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/events.jsonl")).unwrap();
    let read = |line| {
        let line: Line<'_> = serde_json::from_str(line).unwrap();
        event(EventKind::parse(line.event).unwrap(), line.data.get())
    };
    lines.lines().map(read).collect()
}
