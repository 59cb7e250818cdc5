use actix_web::test::TestRequest;
use serde_json::{Value, json};

use crate::api::testing::{ADMIN, Answer, World};
use crate::store::Store as _;

async fn post(world: &World, body: impl Into<Vec<u8>>, headers: &[(&'static str, &str)]) -> Answer {
    let mut request = TestRequest::post().uri("/api/v2/admin/business").insert_header(("apikey", ADMIN));
    for header in headers {
        request = request.insert_header(*header);
    }
    world.send(request.set_payload(body.into())).await
}

fn gzip(text: &str) -> Vec<u8> {
    use std::io::Write as _;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(text.as_bytes()).expect("in memory");
    encoder.finish().expect("in memory")
}

#[actix_web::test]
async fn unknown_paths_and_methods_have_the_vendors_shape() {
    let world = World::new().await;
    let lost = world.get("/nothing/here", ADMIN).await;
    assert_eq!((lost.status, &lost.body["error"]), (404, &json!("Not Found")));
    lost.problems();
    let wrong = world.patch("/admin/business", ADMIN, Value::Null).await;
    assert_eq!((wrong.status, wrong.headers.get("allow").expect("header").as_bytes()), (405, &b"GET, POST"[..]));
    wrong.problems();
}

#[actix_web::test]
async fn bodies_that_are_not_a_json_object_are_refused_with_the_reason() {
    let world = World::new().await;
    for (body, word) in [
        (&b"{\"name\": \"x\", }"[..], "line 1"),
        (b"", "not valid JSON"),
        (b"[1]", "must be a JSON object"),
        (b"{\"name\": \"\xff\"}", "not UTF-8: wrong byte at offset 10"),
    ] {
        let answer = post(&world, body, &[("content-type", "application/json")]).await;
        assert_eq!(answer.status, 400);
        assert!(answer.problems()[0].contains(word), "{:?}", answer.body);
    }
}

#[actix_web::test]
async fn the_size_is_bounded_before_and_after_decompression() {
    let world = World::new().await;
    let large = json!({"name": "n", "attributes": {"a": "x".repeat(5_000)}}).to_string();
    let plain = post(&world, large.clone(), &[]).await;
    assert_eq!(plain.status, 413);
    plain.problems();
    let packed = gzip(&large);
    assert!(packed.len() < 200);
    assert_eq!(post(&world, packed, &[("content-encoding", "gzip")]).await.status, 413);
    let small = gzip(&json!({"name": "n"}).to_string());
    assert_eq!(post(&world, small, &[("content-encoding", "gzip")]).await.status, 201);
    let broken = post(&world, "not gzip", &[("content-encoding", "gzip")]).await;
    assert_eq!(broken.status, 400);
    broken.problems();
}

#[actix_web::test]
async fn other_media_types_and_encodings_are_415() {
    let world = World::new().await;
    for header in [("content-type", "application/x-www-form-urlencoded"), ("content-encoding", "br")] {
        let answer = post(&world, "{\"name\": \"n\"}", &[header]).await;
        assert_eq!(answer.status, 415, "{header:?}");
        answer.problems();
    }
    for kind in ["application/json; charset=utf-8", "application/vnd.api+json"] {
        assert_eq!(post(&world, "{\"name\": \"n\"}", &[("content-type", kind)]).await.status, 201);
    }
    assert_eq!(post(&world, "{\"name\": \"n\"}", &[]).await.status, 201, "a client that names no type means JSON");
}

#[actix_web::test]
async fn a_store_that_is_closed_is_503_with_retry_after() {
    let world = World::new().await;
    world.store.close().await.expect("closed");
    let answer = world.post("/admin/business", ADMIN, json!({"name": "n"})).await;
    assert_eq!(answer.status, 503);
    assert!(answer.headers.contains_key("retry-after"));
    answer.problems();
    assert_eq!(world.get("/admin/business", ADMIN).await.body, json!([]), "not visible either");
}
