//! The directory, settings, messages and events by id.

use std::collections::BTreeMap;

use serde_json::{Map, json};

use super::fixtures::{append, at, event, event_id, instance, webhook};
use super::{Ending, House};
use crate::domain::{
    Business, BusinessId, Connection, EventFlags, Filter, Format, Instance, InstanceState, MessageState, MessageStatus,
    Ordering, RateLimit, RetryPolicy, Secret, Secrets, Webhook, WebhookOwner,
};
use crate::store::DirectoryChange::{
    DeleteBusiness, DeleteInstance, DeleteWebhook, PutBusiness, PutInstance, PutWebhook,
};

fn a_business() -> Business {
    let mut attributes = Map::new();
    attributes.insert("plano".into(), json!({ "nível": 3 }));
    Business {
        id: BusinessId::from_u128(5),
        name: "Loja".into(),
        token: "secret".into(),
        attributes,
        created_at: at(0),
        updated_at: at(1),
    }
}

fn an_instance() -> Instance {
    Instance {
        id: instance(),
        business: BusinessId::from_u128(5),
        name: "balcão".into(),
        state: InstanceState::Active,
        connection: Connection::Open,
        status_reason: 200,
        auth_id: "auth".into(),
        jwt: "jwt".into(),
        auth_updated_at: at(0),
        whatsapp: None,
        created_at: at(0),
        updated_at: at(0),
    }
}

fn a_webhook() -> Webhook {
    let secret = |byte: u8| {
        use base64::Engine as _;
        let text = base64::engine::general_purpose::STANDARD.encode([byte; 32]);
        Secret::parse(&format!("whsec_{text}")).unwrap()
    };
    Webhook {
        id: webhook(1),
        owner: WebhookOwner::Instance(instance()),
        name: "crm".into(),
        url: "https://example.com/hook".into(),
        enabled: true,
        paused: false,
        disabled_reason: None,
        failing_since: None,
        events: EventFlags::default(),
        events_id: "e".into(),
        events_created_at: at(0),
        events_updated_at: at(0),
        headers: BTreeMap::from([("x-key".into(), "1".into())]),
        format: Format::Legacy,
        secrets: Secrets { current: secret(1), previous: Some((secret(2), at(9))) },
        rate_limit: Some(RateLimit { limit: 5, period_ms: 1_000, burst: 1 }),
        concurrency: 3,
        ordering: Ordering::Chat,
        timeout_ms: 900,
        retry: RetryPolicy::default(),
        filter: Filter { only_chats: vec!["a@s".into()], ..Filter::default() },
        created_at: at(0),
        updated_at: at(0),
    }
}

pub async fn directory_records_are_kept_whole(house: &dyn House) {
    let store = house.open().await;
    let (business, instance, webhook) = (a_business(), an_instance(), a_webhook());
    let put = |webhook: &Webhook| PutWebhook(Box::new(webhook.clone()));
    store
        .change_directory(vec![
            PutBusiness(Box::new(business.clone())),
            PutInstance(Box::new(instance.clone())),
            put(&webhook),
        ])
        .await
        .unwrap();
    let renamed = Webhook { name: "erp".into(), ..webhook.clone() };
    store.change_directory(vec![put(&renamed)]).await.unwrap();

    let store = house.reopen(store, Ending::Killed).await;
    let records = store.directory().await.unwrap();
    assert_eq!(records.businesses, [business]);
    assert_eq!(records.instances, std::slice::from_ref(&instance));
    assert_eq!(records.webhooks, std::slice::from_ref(&renamed));

    let gone = vec![DeleteWebhook(renamed.id), DeleteInstance(instance.id), DeleteBusiness(instance.business)];
    store.change_directory(gone).await.unwrap();
    let records = store.directory().await.unwrap();
    assert!(records.businesses.is_empty() && records.instances.is_empty() && records.webhooks.is_empty());
}

pub async fn settings_are_kept(house: &dyn House) {
    let store = house.open().await;
    assert_eq!(store.setting("key").await.unwrap(), None);
    store.put_setting("key", vec![1]).await.unwrap();
    store.put_setting("key", vec![2, 3]).await.unwrap();
    let store = house.reopen(store, Ending::Killed).await;
    assert_eq!(store.setting("key").await.unwrap(), Some(vec![2, 3]));
    assert_eq!(store.setting("ke").await.unwrap(), None);
}

pub async fn of_those_who_write_a_setting_first_all_use_the_same(house: &dyn House) {
    let store = house.open().await;
    let writers = (1..=8_u8).map(|value| store.put_setting_if_absent("first", vec![value]));
    let in_force = futures_util::future::try_join_all(writers).await.unwrap();
    assert!(in_force.iter().all(|value| *value == in_force[0] && value.len() == 1), "{in_force:?}");
    let store = house.reopen(store, Ending::Killed).await;
    assert_eq!(store.put_setting_if_absent("first", vec![9]).await.unwrap(), in_force[0]);
    assert_eq!(store.setting("first").await.unwrap().as_ref(), Some(&in_force[0]));
    store.put_setting("first", vec![7]).await.unwrap();
    assert_eq!(store.put_setting_if_absent("first", vec![9]).await.unwrap(), [7]);
}

pub async fn a_late_earlier_message_state_does_not_downgrade(house: &dyn House) {
    let store = house.open().await;
    let told = [(MessageState::ServerAck, "5511", 1), (MessageState::Read, "", 3), (MessageState::DeliveryAck, "", 9)];
    for (n, (state, number, millis)) in told.into_iter().enumerate() {
        let mut carries = append(event(event_id(millis, n as u128)), &[]);
        carries.messages.push(MessageStatus {
            message_id: "3EB0".into(),
            state,
            number: number.into(),
            updated_at: at(millis),
        });
        store.append(vec![carries]).await.unwrap();
    }
    let known = store.message(&instance(), "3EB0").await.unwrap().unwrap();
    assert_eq!((known.state, &*known.number, known.updated_at), (MessageState::Read, "5511", at(3)));
    assert_eq!(store.message(&instance(), "3EB").await.unwrap(), None);
    let elsewhere = crate::domain::InstanceId::new("other").unwrap();
    assert_eq!(store.message(&elsewhere, "3EB0").await.unwrap(), None);
}

pub async fn events_are_answered_in_the_order_asked_for(house: &dyn House) {
    let store = house.open().await;
    let mut full = event(event_id(2, 0));
    full.client_id = Some("c".into());
    full.occurred_at = Some(at(1));
    full.chat = Some(crate::domain::Chat { jid: "1@g.us".into() });
    full.traceparent = Some("00-1-2-01".into());
    let plain = event(event_id(1, 0));
    store.append(vec![append(plain.clone(), &[]), append(full.clone(), &[])]).await.unwrap();
    let events = store.events(vec![full.id, event_id(9, 9), plain.id, full.id]).await.unwrap();
    let events: Vec<_> = events.iter().map(Option::as_deref).collect();
    assert_eq!(events, [Some(&full), None, Some(&plain), Some(&full)]);
}
