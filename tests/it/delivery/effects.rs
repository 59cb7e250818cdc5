//! What events tell of the instance and of messages.

use serde_json::json;

use super::{SOON, World, ok};
use crate::support::deadline::until_true;

#[tokio::test]
async fn connection_and_state_events_move_the_instance_and_message_states_only_go_forward() {
    let mut world = World::new(&json!({}), ok).await;
    let path = format!("/api/v2/instance/{}", world.instance);
    for (state, reason) in [("connecting", 0), ("open", 200), ("close", 428)] {
        let data = json!({ "state": state, "statusReason": reason });
        world.api.event(&world.instance, "connection.update", None, &data).await;
        let (api, url) = (&mut world.api, format!("{path}/connection-state"));
        until_true("the connection moves", SOON, async || {
            let seen = api.get(&url).await;
            (seen == json!({ "state": state, "statusReason": reason }), seen)
        })
        .await;
        assert_eq!(world.api.get(&path).await["connection"], state);
    }
    for (told, state) in [("off", "inactive"), ("on", "active")] {
        world.api.event(&world.instance, "state.instance", None, &json!({ "state": told })).await;
        let (api, url) = (&mut world.api, path.clone());
        until_true("the state moves", SOON, async || {
            let seen = api.get(&url).await["state"].clone();
            (seen == state, seen)
        })
        .await;
    }
    let status = format!("{path}/messages/M1");
    assert_eq!(world.api.send("GET", &status, "application/json", "").await.unwrap().status, 404);
    let sent = json!({ "messageId": "M1", "keyId": "K1", "keyRemoteJid": "5511@s.whatsapp.net" });
    world.api.event(&world.instance, "send.message", None, &sent).await;
    let seen = world.api.get(&status).await;
    assert_eq!((&seen["status"], &seen["number"]), (&json!("SERVER_ACK"), &json!("5511")));
    for (told, kept) in [("READ", "READ"), ("DELIVERY_ACK", "READ"), ("PENDING", "READ"), ("PLAYED", "PLAYED")] {
        let data = json!({ "messageMessageId": "M1", "status": told });
        world.api.event(&world.instance, "messages.update", None, &data).await;
        let seen = world.api.get(&status).await;
        assert_eq!((&seen["status"], &seen["number"]), (&json!(kept), &json!("5511")), "after {told}");
    }
    world.pombo.restart().await;
    world.api = world.pombo.api();
    assert_eq!(world.api.get(&status).await["status"], "PLAYED");
    let seen = world.api.get(&path).await;
    assert_eq!((&seen["connection"], &seen["state"]), (&json!("close"), &json!("active")));
}
