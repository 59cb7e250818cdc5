//! The end of a delivery nobody took, and its repair.

use serde_json::{Value, json};

use super::{SOON, World, attempts, ok};
use crate::support::api::{Api, text};
use crate::support::deadline::until_true;
use crate::support::scripted::{Call, Reply};

#[tokio::test]
async fn a_spent_schedule_and_a_status_given_up_on_end_as_dead_letters_that_can_be_sent_again() {
    let more = json!({ "retry": { "scheduleSeconds": [0, 0], "giveUpStatus": [422] } });
    let script = |call: &Call| Reply::status(if call.json()["data"]["give"] == "up" { 422 } else { 500 });
    let mut world = World::new(&more, script).await;
    let exhausted = world.send(json!({ "give": "all" })).await;
    let given_up = world.send(json!({ "give": "up" })).await;
    let timeline = world.until_status(&exhausted, "dead").await;
    assert_eq!((&timeline["deadReason"], attempts(&timeline).len()), (&json!("exhausted"), 3));
    let timeline = world.until_status(&given_up, "dead").await;
    assert_eq!((&timeline["deadReason"], attempts(&timeline).len()), (&json!("gave_up"), 1));
    let dead = world.api.deliveries(&world.hook, "dead").await;
    assert_eq!(dead.iter().map(|one| text(one, "deliveryId")).collect::<Vec<_>>(), [&*given_up, &*exhausted]);
    assert_eq!(world.api.stats(&world.hook).await["dead"], 2);

    // One by hand, which fails its whole schedule again, then with the receiver mended.
    let before = world.receiver.calls_of(&exhausted).len();
    world.post(&format!("/deliveries/{exhausted}/retry"), &Value::Null).await;
    until_true("a new round has failed", SOON, async || {
        let calls = world.receiver.calls_of(&exhausted).len();
        (calls == before + 3, calls)
    })
    .await;
    world.until_status(&exhausted, "dead").await;
    world.receiver.play(ok);
    world.post(&format!("/deliveries/{exhausted}/retry"), &Value::Null).await;
    let timeline = world.until_status(&exhausted, "delivered").await;
    let all = attempts(&timeline);
    assert_eq!((&all.last().unwrap()["origin"], all.len()), (&json!("manual"), 7));
    assert_eq!(all.iter().map(|one| one["number"].as_u64().unwrap()).collect::<Vec<_>>(), (1..=7).collect::<Vec<_>>());

    // The rest by a replay; what was delivered is only sent again when it is asked for.
    let span = json!({ "from": "2020-01-01T00:00:00Z", "to": "2100-01-01T00:00:00Z" });
    assert_eq!(world.post("/replay", &span).await["replayed"], 1);
    let timeline = world.until_status(&given_up, "delivered").await;
    assert_eq!(attempts(&timeline).last().unwrap()["origin"], "replay");
    assert_eq!(world.post("/replay", &span).await["replayed"], 0);
    let mut delivered = span;
    delivered["status"] = json!(["delivered"]);
    let before = world.receiver.taken();
    assert_eq!(world.post("/replay", &delivered).await["replayed"], 2);
    world.until_taken(before + 2).await;
    let unknown = Api::path_of(&world.hook, "/deliveries/nonsense/retry");
    let answer = world.api.send("POST", &unknown, "application/json", "").await.unwrap();
    assert_eq!(answer.status, 404);
}

#[tokio::test]
async fn gone_disables_the_webhook_keeps_its_deliveries_and_resume_drains_them() {
    let more = json!({ "concurrency": 1 });
    let mut world = World::new(&more, |_| Reply::status(410)).await;
    let first = world.send(json!({ "n": 0 })).await;
    let timeline = world.until_status(&first, "dead").await;
    assert_eq!(timeline["deadReason"], "gone");
    let (api, path) = (&mut world.api, Api::path_of(&world.hook, ""));
    until_true("the webhook says why it is off", SOON, async || {
        let webhook = api.get(&path).await;
        (webhook["disabledReason"] == "gone", webhook)
    })
    .await;
    // It keeps collecting, and a restart does not wake it.
    let kept = world.send_many("messages.upsert", (1..=5).map(|n| json!({ "n": n }))).await;
    world.pombo.restart().await;
    world.api = world.pombo.api();
    assert_eq!(world.webhook().await["disabledReason"], "gone");
    assert_eq!(world.api.stats(&world.hook).await["pending"], 5);
    assert_eq!(world.receiver.len(), 1, "nothing more was sent");
    world.receiver.play(ok);
    let resumed = world.post("/resume", &Value::Null).await;
    assert_eq!((&resumed["disabledReason"], &resumed["enabled"]), (&Value::Null, &json!(true)));
    for id in &kept {
        world.until_status(id, "delivered").await;
    }
    assert_eq!(world.receiver.taken(), 5);
}
