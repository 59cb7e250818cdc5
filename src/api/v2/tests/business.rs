use serde_json::{Value, json};

use crate::api::testing::{ADMIN, World};

#[actix_web::test]
async fn a_business_is_made_seen_and_changed_field_by_field() {
    let world = World::new().await;
    let made =
        world.post("/admin/business", ADMIN, json!({"name": "Loja", "attributes": {"plan": [1, null]}, "x": 1})).await;
    assert_eq!(made.status, 201);
    let (id, token) = (made.text("/businessId"), made.text("/businessToken"));
    assert_eq!(made.body["deletedAt"], Value::Null);
    assert_eq!(made.text("/createdAt").len(), "2024-04-14T14:11:05.660Z".len());

    let path = format!("/business/{id}");
    assert_eq!(world.get(&path, &token).await.body, made.body);
    let renamed = world.put(&path, &token, json!({"name": "Casa"})).await;
    assert_eq!((renamed.status, &renamed.body["name"]), (200, &json!("Casa")));
    assert_eq!(renamed.body["attributes"], json!({"plan": [1, null]}), "not given, not changed");
    let cleared = world.put(&format!("/admin{path}"), ADMIN, json!({"attributes": null})).await;
    assert_eq!((&cleared.body["name"], &cleared.body["attributes"]), (&json!("Casa"), &json!({})));
    assert_eq!(world.get("/admin/business", ADMIN).await.body, json!([cleared.body]));
}

#[actix_web::test]
async fn a_business_with_instances_is_deleted_by_force_only() {
    let world = World::new().await;
    let (id, token) = world.business().await;
    let (instance, _) = world.instance(&id).await;
    let path = format!("/admin/business/{id}");
    let refused = world.delete(&path, ADMIN).await;
    assert_eq!(refused.status, 409);
    assert!(refused.problems()[0].contains("?force=true"));
    assert_eq!(world.delete(&format!("{path}?force=maybe"), ADMIN).await.problems(), ["force must be true or false"]);
    assert_eq!(world.delete(&format!("{path}?force=true"), ADMIN).await.status, 200);
    assert_eq!(world.get(&format!("/instance/{instance}"), ADMIN).await.status, 404);
    assert_eq!(world.get(&format!("/business/{id}"), &token).await.status, 401);
}

#[actix_web::test]
async fn the_business_webhook_is_one_made_then_changed_then_deleted() {
    let world = World::new().await;
    let (id, token) = world.business().await;
    let path = format!("/business/{id}/webhook");
    assert_eq!(world.get(&path, &token).await.status, 404);
    let without_url = world.put(&path, &token, json!({"name": "all"})).await;
    assert!(without_url.problems()[0].starts_with("url is required"));

    let body = json!({"name": "all", "url": "https://example.com/a", "enabled": true, "WebhookEvents": {"presenceUpdate": false}});
    let made = world.put(&path, &token, body).await;
    assert_eq!((made.status, &made.body["businessBusinessId"]), (201, &json!(id)));
    assert!(made.text("/secret").starts_with("whsec_") && made.body.get("instanceInstanceId").is_none());
    assert_eq!(made.body["WebhookEvents"]["presenceUpdate"], false);

    let changed = world.put(&path, &token, json!({"name": "every", "enabled": false})).await;
    assert_eq!((changed.status, &changed.body["url"]), (200, &json!("https://example.com/a")));
    assert_eq!(changed.body["webhookId"], made.body["webhookId"]);
    assert!(changed.body.get("secret").is_none());
    assert_eq!(world.delete(&path, &token).await.status, 200);
    assert_eq!(world.get(&path, &token).await.status, 404);
}
