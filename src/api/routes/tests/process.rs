use actix_web::test::TestRequest;
use serde_json::json;

use super::super::world::World;

#[actix_web::test]
async fn readiness_follows_the_engine_and_the_store() {
    let world = World::new().await;
    let ask = || TestRequest::get().uri("/readyz");
    let reply = world.call(ask()).await;
    assert_eq!(
        (reply.status, reply.json()),
        (200, json!({"ready": true, "durability": "memory", "warnings": [], "reasons": []}))
    );
    *world.engine.accepting.lock() = false;
    assert_eq!(world.call(ask()).await.status, 503);
    *world.engine.accepting.lock() = true;
    world.store.close().await.unwrap();
    let reply = world.call(ask()).await;
    assert_eq!((reply.status, &reply.json()["reasons"]), (503, &json!(["the store is closed"])));
    assert_eq!(world.call(TestRequest::get().uri("/livez")).await.status, 200);
}

#[actix_web::test]
async fn the_reader_of_the_document_asks_no_other_host() {
    let world = World::new().await;
    let moved = world.call(TestRequest::get().uri("/docs")).await;
    assert_eq!(moved.headers.get("location").unwrap(), "/docs/");
    for page in ["/docs/", "/docs/index.html", "/docs/swagger-initializer.js", "/docs/index.css"] {
        let reply = world.call(TestRequest::get().uri(page)).await;
        assert_eq!(reply.status, 200, "{page}");
        let text = String::from_utf8_lossy(&reply.body);
        assert!(!text.contains("https://") && !text.contains("src=\"//"), "{page}");
    }
    let initializer = world.call(TestRequest::get().uri("/docs/swagger-initializer.js")).await;
    assert!(String::from_utf8_lossy(&initializer.body).contains("/openapi.json"));
    assert_eq!(world.call(TestRequest::get().uri("/openapi.json")).await.json()["info"]["title"], "Pombo");
}

#[actix_web::test]
async fn metrics_are_prometheus_text() {
    let world = World::new().await;
    let reply = world.call(TestRequest::get().uri("/metrics")).await;
    assert_eq!(reply.status, 200);
    assert!(reply.headers.get("content-type").unwrap().to_str().unwrap().starts_with("text/plain; version=0.0.4"));
}

#[actix_web::test]
async fn unknown_paths_and_methods_have_the_vendors_shape() {
    let world = World::new().await;
    for (request, status) in [
        (TestRequest::get().uri("/nowhere"), 404),
        (TestRequest::get().uri("/api/nowhere"), 404),
        (TestRequest::delete().uri("/livez"), 405),
        (TestRequest::get().uri("/api/config/sent"), 405),
        (TestRequest::get().uri(&world.below_webhook("/replay")), 405),
    ] {
        let reply = world.call(request).await;
        assert_eq!((reply.status, &reply.json()["statusCode"]), (status, &status.into()));
        assert_eq!(reply.headers.contains_key("allow"), status == 405);
    }
}
