use serde_json::{Value, json};

use crate::api::testing::{ADMIN, World};
use crate::domain::{DisabledReason, Timestamp, WebhookId};

async fn instance(world: &World) -> (String, String) {
    let (business, _) = world.business().await;
    let (instance, jwt) = world.instance(&business).await;
    (format!("/instance/{instance}/webhook"), jwt)
}

fn id(of: &Value) -> String {
    of["webhookId"].as_str().expect("an id").to_owned()
}

#[actix_web::test]
async fn the_smallest_body_gives_the_seeds_defaults() {
    let world = World::new().await;
    let (path, jwt) = instance(&world).await;
    let made = world.post(&path, &jwt, json!({"name": "n", "url": "https://example.com/h"})).await;
    assert_eq!(made.status, 201, "{}", made.body);
    assert_eq!((&made.body["enabled"], &made.body["url"]), (&json!(false), &json!("https://example.com/h")));
    assert!(path.contains(&made.text("/instanceInstanceId")));
    let flags = made.body["WebhookEvents"].as_object().expect("an object");
    let on = flags.values().filter(|flag| **flag == json!(true)).count();
    assert_eq!(on, 19, "the eighteen and chatsDelete");
    assert!(flags["webhookEventsId"].is_string() && flags["createdAt"].is_string() && flags["updatedAt"].is_string());
    assert_eq!(made.body["circuit"], "closed");
    assert_eq!((&made.body["disabledReason"], &made.body["rateLimit"]), (&Value::Null, &Value::Null));
    assert_eq!((&made.body["format"], &made.body["ordering"]), (&json!("codechat"), &json!("none")));

    let mut seen = world.get(&format!("{path}/{}", id(&made.body)), &jwt).await.body;
    assert!(seen.get("secret").is_none(), "shown only on creation and rotation");
    seen["secret"] = made.body["secret"].clone();
    assert_eq!(seen, made.body);
}

#[actix_web::test]
async fn all_problems_are_told_at_once_each_with_its_field() {
    let world = World::new().await;
    let (path, jwt) = instance(&world).await;
    let body = json!({
        "name": 7, "url": "http://example.com", "enabled": "true", "headers": {"Content-Length": "1", "X-A": 5},
        "format": "xml", "secret": "whsec_short", "rateLimit": {"limit": 5, "burst": 6}, "concurrency": 0,
        "ordering": "random", "timeoutMs": 99, "retry": {"scheduleSeconds": [604_801], "giveUpStatus": [200]},
        "filter": {"ignoreGroups": 1, "onlyChats": [""]}
    });
    let answer = world.post(&path, &jwt, body).await;
    assert_eq!(answer.status, 400);
    let problems = answer.problems();
    for field in [
        "name must",
        "url is not accepted",
        "enabled must",
        "headers.Content-Length: ",
        "headers.X-A must",
        "format must",
        "secret must",
        "rateLimit.burst must be an integer from 1 to 5",
        "concurrency must",
        "ordering must",
        "timeoutMs must",
        "retry.scheduleSeconds must",
        "retry.giveUpStatus must",
        "filter.ignoreGroups must",
        "filter.onlyChats must",
    ] {
        assert_eq!(problems.iter().filter(|problem| problem.starts_with(field)).count(), 1, "{field}: {problems:#?}");
    }
    assert_eq!(problems.len(), 15, "{problems:#?}");
    assert_eq!(world.get(&path, &jwt).await.body, json!([]), "nothing was stored");
}

#[actix_web::test]
async fn a_private_or_plain_http_receiver_is_refused() {
    let world = World::new().await;
    let (path, jwt) = instance(&world).await;
    for url in ["http://example.com", "https://127.0.0.1/x", "https://user:pw@example.com", "nonsense", ""] {
        let answer = world.post(&path, &jwt, json!({"name": "n", "url": url})).await;
        assert_eq!(answer.status, 400, "{url}");
        assert!(answer.problems()[0].starts_with("url "), "{url}");
    }
}

#[actix_web::test]
async fn put_changes_only_what_is_given_and_null_is_the_default() {
    let world = World::new().await;
    let (path, jwt) = instance(&world).await;
    let body = json!({
        "name": "n", "url": "https://example.com/h", "enabled": true, "headers": {"X-Tenant": "7"}, "format": "standard",
        "rateLimit": {"limit": 10, "periodMs": 1000, "burst": 2}, "concurrency": 4, "ordering": "chat",
        "timeoutMs": 5000, "retry": {"scheduleSeconds": [1], "giveUpStatus": [404]}, "filter": {"ignoreGroups": true}
    });
    let made = world.post(&path, &jwt, body.clone()).await;
    let one = format!("{path}/{}", id(&made.body));
    let renamed = world.put(&one, &jwt, json!({"name": "other", "retry": {"giveUpStatus": []}})).await;
    assert_eq!((renamed.status, &renamed.body["name"]), (201, &json!("other")));
    assert_eq!(renamed.body["retry"], json!({"scheduleSeconds": [1], "giveUpStatus": []}));
    for field in ["url", "enabled", "headers", "format", "rateLimit", "concurrency", "ordering", "timeoutMs"] {
        assert_eq!(renamed.body[field], body[field], "{field}");
    }
    let reset =
        json!({"name": "other", "rateLimit": null, "retry": null, "filter": null, "format": null, "headers": null});
    let reset = world.put(&one, &jwt, reset).await.body;
    assert_eq!(
        (&reset["rateLimit"], &reset["format"], &reset["headers"]),
        (&Value::Null, &json!("codechat"), &json!({}))
    );
    assert_eq!(reset["retry"]["scheduleSeconds"].as_array().map(Vec::len), Some(9));
    assert_eq!((&reset["filter"]["ignoreGroups"], &reset["enabled"]), (&json!(false), &json!(true)));
    assert!(world.put(&one, &jwt, json!({"enabled": true})).await.problems()[0].starts_with("name is required"));
}

#[actix_web::test]
async fn several_webhooks_with_one_url_up_to_the_limit() {
    let world = World::new().await;
    let (path, jwt) = instance(&world).await;
    let body = json!({"name": "n", "url": "https://example.com"});
    for _ in 0..3 {
        assert_eq!(world.post(&path, &jwt, body.clone()).await.status, 201);
    }
    assert_eq!(world.post(&path, &jwt, body.clone()).await.status, 422);
    let listed = world.get(&path, &jwt).await.body;
    assert_eq!(listed.as_array().map(Vec::len), Some(3));
    let gone = format!("{path}/{}", id(&listed[0]));
    assert_eq!(world.delete(&gone, &jwt).await.status, 200);
    assert_eq!((world.get(&gone, &jwt).await.status, world.delete(&gone, &jwt).await.status), (404, 404));
    assert_eq!(world.post(&path, &jwt, body).await.status, 201);
}

#[actix_web::test]
async fn flags_change_one_by_one_and_status_instance_is_an_alias() {
    let world = World::new().await;
    let (path, jwt) = instance(&world).await;
    let made = world.post(&path, &jwt, json!({"name": "n", "url": "https://example.com"})).await;
    let events = format!("{path}/{}/events", id(&made.body));
    let answer = world.patch(&events, &jwt, json!({"statusInstance": false, "chatsDelete": false, "unknown": 5})).await;
    assert_eq!(answer.status, 200);
    let flags = &answer.body["WebhookEvents"];
    assert_eq!(
        (&flags["stateInstance"], &flags["chatsDelete"], &flags["newJwt"]),
        (&json!(false), &json!(false), &json!(true))
    );
    let wrong = world.patch(&events, &jwt, json!({"newJwt": "no", "messagesSet": 0})).await;
    assert_eq!(wrong.problems().len(), 2);
}

#[actix_web::test]
async fn pause_and_resume_also_lift_what_the_engine_disabled() {
    let world = World::new().await;
    let (path, jwt) = instance(&world).await;
    let made = world.post(&path, &jwt, json!({"name": "n", "url": "https://example.com", "enabled": true})).await;
    let one = format!("{path}/{}", id(&made.body));
    let paused = world.post(&format!("{one}/pause"), &jwt, Value::Null).await;
    assert_eq!((paused.status, &paused.body["paused"]), (200, &json!(true)));
    let webhook: WebhookId = id(&made.body).parse().expect("a UUID");
    let disable = |webhook: &mut crate::domain::Webhook| webhook.disabled_reason = Some(DisabledReason::Gone);
    world.state.directory.update_webhook(webhook, disable).await.expect("open");
    assert_eq!(world.get(&one, &jwt).await.body["disabledReason"], "gone");
    let resumed = world.post(&format!("{one}/resume"), &jwt, Value::Null).await.body;
    assert_eq!((&resumed["paused"], &resumed["disabledReason"]), (&json!(false), &Value::Null));
    world.state.directory.update_webhook(webhook, disable).await.expect("open");
    let on = world.put(&one, &jwt, json!({"name": "n", "enabled": true})).await;
    assert_eq!(on.body["disabledReason"], Value::Null);
}

#[actix_web::test]
async fn a_rotation_keeps_the_old_secret_for_the_overlap() {
    let world = World::new().await;
    let (path, jwt) = instance(&world).await;
    let own = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    let made = world.post(&path, &jwt, json!({"name": "n", "url": "https://example.com", "secret": own})).await;
    assert_eq!(made.text("/secret"), own);
    let rotate = format!("{path}/{}/secret/rotate", id(&made.body));
    let webhook = || world.state.directory.webhook(id(&made.body).parse().expect("a UUID")).expect("there");

    let rotated = world.post(&rotate, &jwt, Value::Null).await;
    assert_eq!(rotated.status, 200);
    assert_ne!(rotated.text("/secret"), own);
    let (secrets, now) = (webhook().secrets.clone(), Timestamp::now());
    assert_eq!(secrets.current.reveal(), rotated.text("/secret"));
    assert_eq!(secrets.signing(now).map(crate::domain::Secret::reveal).nth(1).as_deref(), Some(own));

    assert_eq!(world.post(&rotate, &jwt, json!({"overlapSeconds": 0})).await.status, 200);
    assert!(webhook().secrets.previous.is_none());
    assert_eq!(world.post(&rotate, &jwt, json!({"overlapSeconds": -1})).await.status, 400);
}

#[actix_web::test]
async fn a_webhook_is_reached_below_its_own_instance_only() {
    let world = World::new().await;
    let (path, jwt) = instance(&world).await;
    let (other, _) = instance(&world).await;
    let made = world.post(&path, &jwt, json!({"name": "n", "url": "https://example.com"})).await;
    assert_eq!(world.get(&format!("{other}/{}", id(&made.body)), ADMIN).await.status, 404);
    let wrong = world.get(&format!("{path}/seven"), ADMIN).await;
    assert_eq!(wrong.problems(), ["webhookId in the path: must be a UUID"]);
}
