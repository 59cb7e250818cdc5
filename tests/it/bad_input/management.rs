//! Wrong bodies of the management API, and of the legacy one: every field is named, nothing is made.

use bytes::Bytes;
use pombo::commands::http::Client;
use serde_json::{Value, json};

use super::{World, refusal};
use crate::support::pombo::TOKEN;

#[tokio::test]
async fn a_wrong_body_of_the_management_api_names_every_field_at_once() {
    let mut world = World::new().await;
    let path = format!("/api/v2/instance/{}/webhook", world.instance);
    let wrong = json!({
        "url": 7, "enabled": "yes", "WebhookEvents": {"messagesUpsert": "on"}, "headers": {"x-a": 1}, "format": "xml",
        "rateLimit": {"limit": 0, "burst": "x"}, "concurrency": -1, "ordering": "alphabet", "timeoutMs": 1.5,
        "retry": {"scheduleSeconds": [-1], "giveUpStatus": [200]}, "filter": {"ignoreGroups": 1, "onlyChats": [1]},
        "secret": "whsec_short"
    });
    let answer = world.api.send("POST", &path, "application/json", wrong.to_string()).await.unwrap();
    let messages = refusal(&answer, 400);
    for field in [
        "name",
        "url",
        "enabled",
        "WebhookEvents.messagesUpsert",
        "headers.x-a",
        "format",
        "rateLimit.limit",
        "rateLimit.burst",
        "concurrency",
        "ordering",
        "timeoutMs",
        "retry.scheduleSeconds",
        "retry.giveUpStatus",
        "filter.ignoreGroups",
        "filter.onlyChats",
        "secret",
    ] {
        assert!(messages.iter().any(|message| message.starts_with(&format!("{field} "))), "{field}: {messages:?}");
    }
    let deep = format!(r#"{{"name":"n","attributes":{}{}}}"#, "{\"a\":".repeat(50_000), "}".repeat(50_000));
    for (body, status) in [("{", 400), ("[]", 400), ("\u{feff}{}", 400), ("null", 400), (deep.as_str(), 400)] {
        let answer =
            world.api.send("POST", "/api/v2/admin/business", "application/json", body.to_owned()).await.unwrap();
        refusal(&answer, status);
    }
    let bad = Bytes::from_static(b"{\"name\":\"\xc3\x28\"}");
    let answer = world.api.send("POST", "/api/v2/admin/business", "application/json", bad).await.unwrap();
    assert!(refusal(&answer, 400)[0].contains("UTF-8"));
    let answer = world.api.send("POST", "/api/v2/admin/business", "text/plain", r#"{"name":"n"}"#).await.unwrap();
    refusal(&answer, 415);
    assert_eq!(world.api.get(&path).await.as_array().map(Vec::len), Some(1), "nothing was made");
    assert_eq!(world.api.get("/api/v2/admin/business").await.as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn the_legacy_api_refuses_in_its_own_shape() {
    let mut world = World::new().await;
    let mut client = Client::new(&world.pombo.url()).unwrap();
    let fine = r#"{"URL":"https://example.com/sent"}"#;
    for (method, path, key, id, body, status) in [
        ("PUT", "/api/config/sent", "wrong", "shop", fine, 401),
        ("PUT", "/api/config/sent", "", "shop", fine, 401),
        ("PUT", "/api/config/sent", TOKEN, "nobody", fine, 400),
        ("PUT", "/api/config/sent", TOKEN, "", fine, 400),
        ("PUT", "/api/config/else", TOKEN, "shop", fine, 404),
        ("PUT", "/api/config/sent", TOKEN, "shop", "{", 400),
        ("PUT", "/api/config/sent", TOKEN, "shop", "{}", 400),
        ("PUT", "/api/config/sent", TOKEN, "shop", r#"{"URL":7}"#, 400),
        ("PUT", "/api/config/sent", TOKEN, "shop", r#"{"URL":"https://10.0.0.1/"}"#, 400),
        ("PUT", "/api/config/sent", TOKEN, "shop", r#"{"URL":"gopher://example.com/"}"#, 400),
        ("GET", "/api/message/M", "wrong", "shop", "", 401),
        ("GET", "/api/message/M", TOKEN, "nobody", "", 400),
        ("GET", "/api/message/M", TOKEN, "shop", "", 404),
    ] {
        let headers = [("apiKey", key), ("id", id), ("content-type", "application/json")];
        let answer = client.send(method, path, &headers, Bytes::from_static(body.as_bytes())).await.unwrap();
        let shown: Value = serde_json::from_slice(&answer.body).unwrap();
        assert_eq!(answer.status.as_u16(), status, "{method} {path} {body}: {shown}");
        assert_eq!(shown.as_object().unwrap().keys().collect::<Vec<_>>(), ["error"]);
        assert!(shown["error"].as_str().is_some_and(|text| text.len() > 5), "{shown}");
        if id == "nobody" {
            assert_eq!(shown["error"], "Instance not found");
        }
    }
    let answer = client.send("DELETE", "/api/config/sent", &[], Bytes::new()).await.unwrap();
    assert_eq!((answer.status.as_u16(), &answer.headers["allow"]), (405, &"PUT".parse().unwrap()));
    let hooks = world.api.get("/api/v2/instance/shop/webhook").await;
    assert_eq!(hooks.as_array().map(Vec::len), Some(1), "nothing was made");
    world.assert_nothing_stored().await;
}
