//! Paths and methods that are not there.

use serde_json::json;

use super::{World, event, refusal};
use crate::support::api::Api;

#[tokio::test]
async fn unknown_paths_are_404_and_unknown_methods_405_with_the_known_ones() {
    let mut world = World::new().await;
    for path in ["/", "/api", "/api/v2", "/api/v2/nothing", "/api/v3/instance/shop", "/api/v2/instance/shop/events/x"] {
        refusal(&world.api.send("GET", path, "application/json", "").await.unwrap(), 404);
    }
    let hook = Api::path_of(&world.hook, "");
    for (method, path, allow) in [
        ("DELETE", "/api/v2/admin/business", "GET, POST"),
        ("GET", &*world.events_path(), "POST"),
        ("PATCH", &*hook, "DELETE, GET, PUT"),
        ("POST", "/livez", "GET"),
        ("DELETE", "/openapi.json", "GET"),
        ("PUT", &*format!("{hook}/pause"), "POST"),
        ("TRACE", &*hook, "DELETE, GET, PUT"),
        ("BREW", &*hook, "DELETE, GET, PUT"),
    ] {
        let answer = world.api.send(method, path, "application/json", "").await.unwrap();
        let messages = refusal(&answer, 405);
        let mut known: Vec<_> = answer.headers["allow"].to_str().unwrap().split(", ").collect();
        known.sort_unstable();
        assert_eq!(known.join(", "), allow, "{method} {path}: {messages:?}");
    }
    let events = world.events_path().replace("shop", "nobody");
    let answer = world.api.send("POST", &events, "application/json", event(&json!({})).to_string()).await.unwrap();
    assert_eq!(refusal(&answer, 404), ["instance not found"]);
    world.assert_nothing_stored().await;
}
