//! Tokens: each opens its own doors.

use pombo::commands::http::Client;
use serde_json::json;

use super::{World, event, refusal};
use crate::support::api::{Api, text};

#[tokio::test]
async fn tokens_open_their_own_doors_only_and_tell_nothing_of_others() {
    let mut world = World::new().await;
    let business = world.api.business("other").await;
    let made = world.api.call("POST", &format!("/api/v2/business/{business}/instance"), &json!({})).await;
    let (other, jwt) = (text(&made, "instanceId"), text(&made["Auth"], "jwt"));
    let businesses = world.api.get("/api/v2/admin/business").await;
    let token = businesses.as_array().unwrap().iter().find(|one| one["businessId"] == business.as_str()).unwrap();
    let business_token = text(token, "businessToken");
    let url = world.pombo.url();

    for (name, token) in [("authorization", ""), ("authorization", "Bearer wrong"), ("authorization", "Basic abc")] {
        let headers = [(name, token), ("content-type", "application/json")];
        let mut client = Client::new(&url).unwrap();
        let body = event(&json!({})).to_string();
        let answer = client.send("POST", &world.events_path(), &headers, body.into()).await.unwrap();
        refusal(&answer, 401);
        assert_eq!(answer.headers["www-authenticate"], "Bearer");
    }

    let (hook, unknown) = (world.hook.id.clone(), uuid::Uuid::new_v4().to_string());
    for token in [&jwt, &business_token] {
        let mut stranger = Api::new(&url, token);
        for (method, below) in [
            ("GET", String::new()),
            ("GET", "/connection-state".into()),
            ("PATCH", "/deactivate".into()),
            ("GET", "/webhook".into()),
            ("POST", "/webhook".into()),
            ("POST", "/events".into()),
            ("GET", "/messages/M".into()),
            ("GET", format!("/webhook/{hook}")),
            ("PUT", format!("/webhook/{hook}")),
            ("DELETE", format!("/webhook/{hook}")),
            ("POST", format!("/webhook/{hook}/pause")),
            ("POST", format!("/webhook/{hook}/secret/rotate")),
            ("GET", format!("/webhook/{hook}/deliveries")),
            ("GET", format!("/webhook/{hook}/stats")),
        ] {
            let body = json!({ "name": "n", "url": "https://example.com", "event": "new.jwt", "data": 1 }).to_string();
            let mut ask = async |instance: &str| {
                let path = format!("/api/v2/instance/{instance}{below}");
                refusal(&stranger.send(method, &path, "application/json", body.clone()).await.unwrap(), 404)
            };
            // What is another's and what is nobody's look alike.
            assert_eq!(ask(&world.instance).await, ask("nobody").await, "{method} {below}");
        }
        // Another's webhook below one's own instance.
        for (instance, status) in [(&other, 404)] {
            for hook in [&hook, &unknown] {
                let path = format!("/api/v2/instance/{instance}/webhook/{hook}");
                let answer = stranger.send("GET", &path, "application/json", "").await.unwrap();
                assert_eq!(refusal(&answer, status), ["webhook not found"]);
            }
        }
        for (method, path) in [("POST", "/api/v2/admin/business"), ("GET", "/api/v2/admin/business")] {
            let answer = stranger.send(method, path, "application/json", r#"{"name":"n"}"#).await.unwrap();
            refusal(&answer, 403);
        }
        assert_eq!(stranger.get(&format!("/api/v2/instance/{other}")).await["instanceId"], other.as_str());
    }
    // A refreshed token is dead, and one that is signed with nothing never lived.
    let path = format!("/api/v2/instance/{other}/refresh-token");
    let refreshed = Api::new(&url, &jwt).call("PATCH", &path, &json!({ "oldToken": jwt })).await;
    let new = text(&refreshed, "newToken");
    let unsigned = format!("{}.", new.rsplit_once('.').unwrap().0);
    for token in [&jwt, &unsigned] {
        let path = format!("/api/v2/instance/{other}");
        refusal(&Api::new(&url, token).send("GET", &path, "application/json", "").await.unwrap(), 401);
    }
    Api::new(&url, &new).get(&format!("/api/v2/instance/{other}")).await;
    world.assert_nothing_stored().await;
}
