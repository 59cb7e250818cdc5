use actix_web::test::TestRequest;
use serde_json::json;

use super::super::world::World;
use crate::domain::{DeadReason, DeliveryStatus, MessageState, MessageStatus, Timestamp};
use crate::engine::OperateError;
use crate::store::contract::fixtures::{append, appended, at, event, event_id, settle};
use crate::store::{HeldBack, Next};

fn get(path: &str) -> TestRequest {
    TestRequest::get().uri(path)
}

#[actix_web::test]
async fn pages_go_from_newest_to_oldest_and_end() {
    let world = World::new().await;
    for number in 0..5 {
        appended(&*world.store, world.webhook.id, event_id(number, 0)).await;
    }
    let mut seen = Vec::new();
    let mut path = world.below_webhook("/deliveries?limit=2");
    let mut pages = 0;
    loop {
        let page = world.call(get(&path)).await.json();
        pages += 1;
        seen.extend(
            page["deliveries"].as_array().unwrap().iter().map(|d| d["deliveryId"].as_str().unwrap().to_owned()),
        );
        let Some(next) = page["next"].as_str() else { break };
        path = world.below_webhook(&format!("/deliveries?limit=2&before={next}"));
    }
    let expected: Vec<String> = (0..5).rev().map(|number| event_id(number, 0).to_string()).collect();
    assert_eq!((seen, pages), (expected, 3));
}

#[actix_web::test]
async fn filters_are_read_and_wrong_ones_are_all_named() {
    let world = World::new().await;
    let entry = appended(&*world.store, world.webhook.id, event_id(1, 0)).await;
    appended(&*world.store, world.webhook.id, event_id(2, 0)).await;
    world.store.settle(vec![settle(entry, Next::Dead(DeadReason::Exhausted))]).await.unwrap();
    let dead = world.call(get(&world.below_webhook("/deliveries?status=dead&event=messagesUpsert"))).await.json();
    assert_eq!(dead["deliveries"].as_array().unwrap().len(), 1);
    assert_eq!(dead["deliveries"][0]["deadReason"], "exhausted");
    let wrong = world.call(get(&world.below_webhook("/deliveries?status=x&event=y&before=z&limit=0"))).await;
    assert_eq!((wrong.status, wrong.json()["message"].as_array().unwrap().len()), (400, 4));
}

#[actix_web::test]
async fn a_delivery_is_explained_to_its_owner_only() {
    let world = World::new().await;
    let entry = appended(&*world.store, world.webhook.id, event_id(1, 0)).await;
    world.store.settle(vec![settle(entry, Next::Dead(DeadReason::GaveUp))]).await.unwrap();
    let path = world.below_webhook(&format!("/deliveries/{}", entry.event));
    let told = world.call(get(&path)).await.json();
    let steps: Vec<&str> = told["timeline"].as_array().unwrap().iter().map(|s| s["step"].as_str().unwrap()).collect();
    assert_eq!(steps, ["accepted", "attempted", "finished"]);
    assert_eq!(told["timeline"][1]["attempt"]["status"], 503);
    assert_eq!(told["timeline"][1]["attempt"]["failure"]["code"], "status");
    assert_eq!(told["timeline"][1]["attempt"]["response"], "ok");
    assert_eq!(told["gate"]["inFlight"], 3);
    let other = get(&path).insert_header(("apikey", world.other_token.clone()));
    assert_eq!(world.call(other).await.status, 404);
    for unknown in ["/deliveries/evt_00000000000000000000000000", "/deliveries/x"] {
        assert_eq!(world.call(get(&world.below_webhook(unknown))).await.status, 404);
    }
}

#[actix_web::test]
async fn an_event_held_back_names_the_rule() {
    let world = World::new().await;
    let id = event_id(1, 0);
    let mut held = append(event(id), &[]);
    held.held_back.push((world.webhook.id.as_u128(), HeldBack::IgnoreGroups));
    world.store.append(vec![held]).await.unwrap();
    let told = world.call(get(&world.below_webhook(&format!("/deliveries/{id}")))).await.json();
    assert_eq!(told["status"], "held_back");
    assert_eq!(told["timeline"][1]["rule"], "ignoreGroups");
}

#[actix_web::test]
async fn a_retry_is_queued_or_refused_with_its_reason() {
    let world = World::new().await;
    let path = world.below_webhook(&format!("/deliveries/{}/retry", event_id(1, 0)));
    assert_eq!(world.call(TestRequest::post().uri(&path)).await.status, 202);
    for (refusal, status) in [
        (OperateError::InFlight, 409),
        (OperateError::UnknownDelivery, 404),
        (OperateError::Refused("the webhook is disabled".into()), 422),
    ] {
        *world.engine.retry_refusal.lock() = Some(refusal);
        assert_eq!(world.call(TestRequest::post().uri(&path)).await.status, status);
    }
}

#[actix_web::test]
async fn a_replay_is_of_dead_letters_unless_told_otherwise() {
    let world = World::new().await;
    let path = world.below_webhook("/replay");
    let (from, to) = ("2024-01-01T00:00:00Z", "2024-01-02T00:00:00+01:00");
    for (body, statuses) in [
        (json!({"from": from, "to": to}), vec![DeliveryStatus::Dead]),
        (
            json!({"from": from, "to": to, "status": ["delivered", "cancelled"]}),
            vec![DeliveryStatus::Delivered, DeliveryStatus::Cancelled],
        ),
    ] {
        let reply = world.call(TestRequest::post().uri(&path).set_json(body)).await;
        assert_eq!((reply.status, reply.json()), (200, json!({"replayed": 7})));
        let asked = world.engine.replays.lock().pop().unwrap();
        let instants = [from, to].map(|text| Timestamp::parse_rfc3339(text).unwrap());
        assert_eq!(asked, (instants[0], instants[1], statuses));
    }
    let wrong = json!({"from": "x", "status": "pending"});
    let reply = world.call(TestRequest::post().uri(&path).set_json(wrong)).await;
    assert_eq!((reply.status, reply.json()["message"].as_array().unwrap().len()), (400, 3));
    let backwards = json!({"from": to, "to": from});
    assert_eq!(world.call(TestRequest::post().uri(&path).set_json(backwards)).await.status, 400);
    assert!(world.engine.replays.lock().is_empty());
}

#[actix_web::test]
async fn a_test_shows_what_the_receiver_answered() {
    let world = World::new().await;
    let reply = world.call(TestRequest::post().uri(&world.below_webhook("/test"))).await;
    assert_eq!((reply.status, &reply.json()["attempt"]["status"]), (200, &503.into()));
}

#[actix_web::test]
async fn stats_count_what_waits() {
    let world = World::new().await;
    appended(&*world.store, world.webhook.id, event_id(1, 0)).await;
    let stats = world.call(get(&world.below_webhook("/stats"))).await.json();
    assert_eq!((&stats["pending"], &stats["unfinished"], &stats["dead"]), (&1.into(), &1.into(), &0.into()));
}

#[actix_web::test]
async fn a_message_is_found_on_its_own_instance_in_both_apis() {
    let world = World::new().await;
    let mut told = append(event(event_id(1, 0)), &[]);
    told.messages.push(MessageStatus {
        message_id: "3EB0".into(),
        state: MessageState::Read,
        number: "5511".into(),
        updated_at: at(1),
    });
    world.store.append(vec![told]).await.unwrap();
    let found = world.call(get("/api/v2/instance/shop-1/messages/3EB0")).await.json();
    assert_eq!((&found["status"], &found["number"]), (&"READ".into(), &"5511".into()));
    assert_eq!(world.call(get("/api/v2/instance/shop-1/messages/nope")).await.status, 404);

    let legacy = |token: &str, id: &'static str, message: &str| {
        get(&format!("/api/message/{message}")).insert_header(("apiKey", token)).insert_header(("id", id))
    };
    let reply = world.call(legacy(&world.instance_token, "shop-1", "3EB0")).await;
    assert_eq!(reply.json()["success"]["status"], "Read");
    let reply = world.call(legacy(&world.other_token, "shop-2", "3EB0")).await;
    assert_eq!((reply.status, reply.json()), (404, json!({"error": "Message not found"})));
}
