use actix_web::test::TestRequest;
use serde_json::json;

use super::super::world::{ADMIN, World};
use crate::api::legacy::webhook::LegacyKind;
use crate::domain::Webhook;
use crate::store::contract::fixtures;

fn put(kind: &str, token: &str, id: &str, body: &serde_json::Value) -> TestRequest {
    TestRequest::put()
        .uri(&format!("/api/config/{kind}"))
        .insert_header(("apiKey", token))
        .insert_header(("id", id))
        .set_json(body)
}

impl World {
    fn legacy(&self, kind: LegacyKind) -> Vec<Webhook> {
        let webhooks = self.directory.webhooks_of_instance(&fixtures::instance());
        webhooks.iter().filter(|webhook| kind.is(webhook)).map(|webhook| (**webhook).clone()).collect()
    }
}

#[actix_web::test]
async fn each_token_that_reaches_the_instance_sets_each_url_once() {
    let world = World::new().await;
    let tokens = [world.instance_token.clone(), "business-of-shop-1".to_owned(), ADMIN.to_owned()];
    for kind in LegacyKind::ALL {
        for (round, token) in tokens.iter().enumerate() {
            let url = format!("https://example.com/{}/{round}", kind.as_str());
            let reply = world.call(put(kind.as_str(), token, "shop-1", &json!({"URL": url}))).await;
            assert_eq!((reply.status, reply.json()), (200, json!({"success": "Webhook URL updated successfully!"})));
            let webhooks = world.legacy(kind);
            assert_eq!(webhooks.len(), 1, "{kind:?}");
            assert_eq!((webhooks[0].url.as_str(), webhooks[0].enabled), (url.as_str(), true));
        }
    }
}

#[actix_web::test]
async fn setting_a_url_again_wakes_a_webhook_that_was_switched_off() {
    let world = World::new().await;
    world
        .directory
        .update_webhook(world.webhook.id, |webhook| {
            webhook.enabled = false;
            webhook.disabled_reason = Some(crate::domain::DisabledReason::Gone);
            webhook.name = "renamed".into();
        })
        .await
        .unwrap();
    world.call(put("sent", ADMIN, "shop-1", &json!({"URL": "https://example.com/b"}))).await;
    let webhooks = world.legacy(LegacyKind::Sent);
    assert_eq!(webhooks.len(), 1);
    assert_eq!((webhooks[0].id, webhooks[0].name.as_str()), (world.webhook.id, "renamed"));
    assert!(webhooks[0].is_delivering());
}

#[actix_web::test]
async fn refusals_say_what_the_vendor_says_and_change_nothing() {
    let world = World::new().await;
    let good = json!({"URL": "https://example.com/c"});
    let own = world.instance_token.as_str();
    for (request, status, told) in [
        (put("sent", "wrong", "shop-1", &good), 401, "Invalid apiKey"),
        (put("sent", own, "nowhere", &good), 400, "Instance not found"),
        (put("sent", own, "shop-2", &good), 400, "Instance not found"),
        (put("sent", own, "shop-1", &json!({"url": 7})), 400, "URL"),
        (put("sent", own, "shop-1", &json!({"URL": "http://example.com"})), 400, "https"),
        (put("other", own, "shop-1", &good), 404, "Unknown"),
    ] {
        let reply = world.call(request).await;
        let body = reply.json();
        assert_eq!((reply.status, body.as_object().unwrap().len()), (status, 1), "{body}");
        assert!(body["error"].as_str().unwrap().contains(told), "{told}: {body}");
    }
    assert_eq!(world.legacy(LegacyKind::Sent)[0].url, world.webhook.url);
}

#[actix_web::test]
async fn a_legacy_url_is_a_webhook_of_the_v2_api() {
    let world = World::new().await;
    world.call(put("connected", ADMIN, "shop-1", &json!({"URL": "https://example.com/on"}))).await;
    let id = world.legacy(LegacyKind::Connected)[0].id;
    let path = format!("/api/v2/instance/shop-1/webhook/{id}");
    let shown = world.call(TestRequest::get().uri(&path)).await.json();
    assert_eq!((&shown["name"], &shown["format"]), (&"legacy-connected".into(), &"legacy".into()));
    assert_eq!(shown["filter"]["onlyConnections"], json!(["open"]));
    let change = json!({"name": "on and off", "filter": {"onlyConnections": ["open", "close"]}});
    let changed = world.call(TestRequest::put().uri(&path).set_json(change)).await.json();
    assert_eq!(changed["filter"]["onlyConnections"], json!(["open", "close"]));
    let wrong = json!({"name": "on and off", "filter": {"onlyConnections": ["up"]}});
    let refused = world.call(TestRequest::put().uri(&path).set_json(wrong)).await;
    assert_eq!((refused.status, refused.json()["message"].as_array().unwrap().len()), (400, 1));
}
