//! Which of the waiting goes first, and which goes no more.

use serde_json::{Value, json};

use super::{World, attempts, ok, steps};

#[tokio::test]
async fn only_the_latest_code_and_presence_are_sent_and_the_others_say_what_took_their_place() {
    let mut world = World::new(&json!({}), ok).await;
    world.post("/pause", &Value::Null).await;
    let codes = world.send_many("qrcode.updated", (0..5).map(|n| json!({ "code": n }))).await;
    let presence = |chat: &str, n: usize| json!({ "id": chat, "presences": n });
    let chats = ["a@s.whatsapp.net", "b@s.whatsapp.net"];
    let presences = world.send_many("presence.update", (0..6).map(|n| presence(chats[n % 2], n))).await;
    let message = world.send(json!({})).await;
    world.post("/resume", &Value::Null).await;
    world.until_settled().await;
    let mut came: Vec<_> = world.receiver.calls().into_iter().map(|call| call.id).collect();
    came.sort();
    let mut wanted = vec![codes[4].clone(), presences[4].clone(), presences[5].clone(), message];
    wanted.sort();
    assert_eq!(came, wanted);
    for id in codes[..4].iter().chain(&presences[..4]) {
        let timeline = world.until_status(id, "superseded").await;
        assert_eq!((attempts(&timeline).len(), *steps(&timeline).last().unwrap()), (0, "finished"), "{timeline}");
    }
    assert_eq!(world.api.deliveries(&world.hook, "superseded").await.len(), 8);
}

#[tokio::test]
async fn history_waits_for_live_events_and_yet_is_not_starved() {
    let mut world = World::new(&json!({ "concurrency": 1 }), ok).await;
    world.post("/pause", &Value::Null).await;
    world.send_many("messages.set", (0..60).map(|n| json!([{ "messageId": n }]))).await;
    world.send_many("messages.upsert", (0..120).map(|n| json!({ "messageId": n }))).await;
    let stats = world.api.stats(&world.hook).await;
    assert_eq!((&stats["pending"], &stats["pendingHistory"]), (&json!(120), &json!(60)));
    world.post("/resume", &Value::Null).await;
    world.until_settled().await;
    let kinds: Vec<_> = world.receiver.calls().iter().map(|call| call.json()["event"] == "messages.set").collect();
    assert_eq!(kinds.len(), 180);
    let among = |range: std::ops::Range<usize>| kinds[range].iter().filter(|is_history| **is_history).count();
    let early = among(0..100);
    assert!((3..=10).contains(&early), "{early} of history among the first 100");
    assert_eq!(among(140..180), 40, "the rest of it comes last");
}
