//! What is not sent, or not yet: a webhook that is paused or off, its flags, its filters.

use serde_json::{Value, json};

use super::{SOON, World, attempts, ok, steps};
use crate::support::deadline::until_true;

#[tokio::test]
async fn a_paused_webhook_is_sent_nothing_and_loses_nothing() {
    let mut world = World::new(&json!({}), ok).await;
    let url = world.receiver.url("/other");
    let other = world.api.webhook(&world.instance, &url, &json!({})).await;
    assert_eq!(world.post("/pause", &Value::Null).await["paused"], true);
    let ids = world.send_many("messages.upsert", (0..30).map(|n| json!({ "n": n }))).await;
    let (api, hook) = (&mut world.api, &other);
    until_true("its neighbour has all", SOON, async || (api.unfinished(hook).await == 0, ())).await;
    world.pombo.restart().await;
    world.api = world.pombo.api();
    let more = world.send_many("messages.upsert", (30..40).map(|n| json!({ "n": n }))).await;
    until_true("its neighbour has all", SOON, async || {
        let came = world.receiver.calls_to("/other").len();
        (came == 40, came)
    })
    .await;
    assert_eq!(world.receiver.calls_to("/hook").len(), 0);
    assert_eq!(world.api.stats(&world.hook).await["pending"], 40);
    assert_eq!(world.post("/resume", &Value::Null).await["paused"], false);
    let timeline = world.until_status(&ids[0], "delivered").await;
    assert_eq!(attempts(&timeline)[0]["waitedFor"], "paused", "{timeline}");
    for id in ids.iter().chain(&more) {
        world.until_status(id, "delivered").await;
    }
    assert_eq!(world.receiver.calls_to("/hook").len(), 40);
}

#[tokio::test]
async fn a_webhook_is_not_owed_what_came_while_it_was_switched_off() {
    let mut world = World::new(&json!({}), ok).await;
    world.put(json!({ "enabled": false })).await;
    let missed = world.send(json!({ "n": 1 })).await;
    let timeline = world.until_status(&missed, "held_back").await;
    assert_eq!(
        (steps(&timeline), &timeline["timeline"][1]["rule"]),
        (vec!["accepted", "held_back"], &json!("disabled"))
    );
    world.put(json!({ "enabled": true })).await;
    let owed = world.send(json!({ "n": 2 })).await;
    world.until_status(&owed, "delivered").await;
    assert_eq!(world.receiver.calls().iter().map(|call| &*call.id).collect::<Vec<_>>(), [&*owed]);
}

#[tokio::test]
async fn filters_and_flags_hold_back_what_they_name_and_say_so() {
    let mut world = World::new(&json!({}), ok).await;
    let (person, group) = ("55@s.whatsapp.net", "120@g.us");
    let (status, newsletter) = ("status@broadcast", "9@newsletter");
    let all = [person, group, status, newsletter];
    let filters = [
        (json!({ "filter": { "ignoreGroups": true } }), "ignoreGroups", vec![group]),
        (json!({ "filter": { "ignoreStatus": true } }), "ignoreStatus", vec![status]),
        (json!({ "filter": { "ignoreNewsletters": true } }), "ignoreNewsletters", vec![newsletter]),
        (json!({ "filter": { "ignoreChats": [person] } }), "ignoreChats", vec![person]),
        (json!({ "filter": { "onlyChats": [person] } }), "onlyChats", vec![group, status, newsletter]),
        (json!({ "WebhookEvents": { "messagesUpsert": false } }), "flag", all.to_vec()),
    ];
    let mut hooks = Vec::new();
    for (more, rule, held) in filters {
        let url = world.receiver.url(&format!("/{rule}"));
        hooks.push((world.api.webhook(&world.instance, &url, &more).await, rule, held));
    }
    let mut ids = Vec::new();
    for chat in all {
        ids.push((chat, world.send(json!({ "keyRemoteJid": chat })).await));
    }
    for (hook, rule, held) in hooks {
        world.hook = hook;
        for (chat, id) in &ids {
            let wanted = if held.contains(chat) { "held_back" } else { "delivered" };
            let timeline = world.until_status(id, wanted).await;
            let told = &timeline["timeline"][1]["rule"];
            assert_eq!(*told, if wanted == "held_back" { json!(rule) } else { Value::Null }, "{rule} {chat}");
        }
        assert_eq!(world.receiver.calls_to(&format!("/{rule}")).len(), all.len() - held.len(), "{rule}");
    }
}
