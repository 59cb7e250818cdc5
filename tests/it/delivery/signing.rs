//! Signatures, the change of a secret, and the test event.

use base64::Engine as _;
use pombo::domain::Secret;
use serde_json::{Value, json};

use super::{SECOND, World, ok};
use crate::support::api::text;
use crate::support::deadline::until;
use crate::support::nasty::dead_url;
use crate::support::scripted::{Call, Reply};

/// `v1,…` of a request under a secret, by the rule of Standard Webhooks.
pub(super) fn signature(secret: &Secret, call: &Call) -> String {
    let key = secret.reveal();
    let key = base64::engine::general_purpose::STANDARD.decode(key.trim_start_matches("whsec_")).unwrap();
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &key);
    let signed = [format!("{}.{}.", call.id, call.header("webhook-timestamp")).as_bytes(), &call.body].concat();
    format!("v1,{}", base64::engine::general_purpose::STANDARD.encode(ring::hmac::sign(&key, &signed)))
}

#[tokio::test]
async fn a_rotated_secret_signs_beside_the_old_one_until_the_overlap_ends() {
    let mut world = World::new(&json!({}), ok).await;
    let old = world.hook.secret.clone();
    let id = world.send(json!({})).await;
    world.until_status(&id, "delivered").await;
    let call = &world.receiver.calls_of(&id)[0];
    assert_eq!(call.header("webhook-signature"), signature(&old, call));
    let rotated = world.post("/secret/rotate", &json!({ "overlapSeconds": 3 })).await;
    let new = Secret::parse(&text(&rotated, "secret")).unwrap();
    assert_ne!(new.reveal(), old.reveal());
    let id = world.send(json!({})).await;
    world.until_status(&id, "delivered").await;
    let call = &world.receiver.calls_of(&id)[0];
    let mut both: Vec<_> = call.header("webhook-signature").split(' ').collect();
    let mut wanted = vec![signature(&new, call), signature(&old, call)];
    both.sort_unstable();
    wanted.sort();
    assert_eq!(both, wanted);
    until("the old one stops signing", SECOND * 15, async || {
        let id = world.send(json!({})).await;
        world.until_status(&id, "delivered").await;
        let call = &world.receiver.calls_of(&id)[0];
        let found = call.header("webhook-signature").to_owned();
        if found == signature(&new, call) { Ok(()) } else { Err(found) }
    })
    .await;
    assert!(world.webhook().await.get("secret").is_none(), "a secret is shown once");
}

#[tokio::test]
async fn a_test_event_is_sent_at_once_and_answers_with_what_the_receiver_said() {
    let script = |call: &Call| match call.json()["event"].as_str() {
        Some("messages.upsert") => Reply::status(418).body("short and stout"),
        _ => Reply::status(200),
    };
    let mut world = World::new(&json!({ "headers": { "x-key": "k" } }), script).await;
    world.post("/pause", &Value::Null).await;
    let report = world.post("/test", &Value::Null).await;
    let attempt = &report["attempt"];
    assert_eq!((&attempt["status"], &attempt["response"]), (&json!(418), &json!("short and stout")));
    assert_eq!((&attempt["origin"], &attempt["success"]), (&json!("test"), &json!(false)));
    let calls = world.receiver.calls();
    assert_eq!((calls.len(), &*calls[0].id, calls[0].header("x-key")), (1, &*text(&report, "eventId"), "k"));
    assert_eq!(calls[0].header("webhook-signature"), signature(&world.hook.secret, &calls[0]));
    assert_eq!(world.api.deliveries(&world.hook, "").await, Vec::<Value>::new(), "nothing is stored");
    // Nobody there: an answer all the same.
    let url = dead_url("/dead");
    world.put(json!({ "url": url })).await;
    let report = world.post("/test", &Value::Null).await;
    assert_eq!(report["attempt"]["failure"]["code"], "connect_failed");
}
