//! One event through the whole house.

use std::time::Duration;

use serde_json::json;

use crate::support::deadline::until_true;
use crate::support::pombo::Pombo;
use crate::support::receiver::Inbox;

#[tokio::test]
async fn an_event_sent_to_the_real_binary_arrives_and_its_delivery_can_be_seen() {
    let (mut pombo, inbox) = (Pombo::new().await, Inbox::open().await);
    let mut api = pombo.api();
    let instance = api.tenant("shop").await;
    let hook = api.webhook(&instance, &inbox.url("/hook"), &json!({})).await;
    inbox.receiver.trust(&hook.path, &hook.secret);
    let id = api.event(&instance, "messages.upsert", Some("1"), &json!({ "messageId": "1" })).await;
    until_true("the event arrives", Duration::from_secs(10), async || (inbox.len() == 1, inbox.len())).await;
    let receipt = &inbox.receipts()[0];
    assert_eq!((&*receipt.path, &*receipt.webhook_id, receipt.status), ("/hook", id.as_str(), 200));
    assert_eq!(inbox.receiver.counts().bad_signatures, 0);
    until_true("the delivery is settled", Duration::from_secs(10), async || {
        let timeline = api.timeline(&hook, &id).await;
        (timeline["status"] == "delivered", timeline)
    })
    .await;
    assert!(pombo.terminate().await.success());
}
