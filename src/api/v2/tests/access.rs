use actix_web::test::TestRequest;
use serde_json::{Value, json};

use crate::api::testing::{ADMIN, World};

#[actix_web::test]
async fn a_missing_or_wrong_token_is_401_before_anything_else() {
    let world = World::new().await;
    let (business, _) = world.business().await;
    for token in ["", "wrong", "a.b.c"] {
        for path in [format!("/business/{business}"), "/business/not-a-uuid".into(), "/instance/none/webhook".into()] {
            let answer = world.get(&path, token).await;
            assert_eq!(answer.status, 401, "{path}");
            assert_eq!(answer.problems().len(), 1);
            assert_eq!(answer.headers.get("www-authenticate").expect("header"), "Bearer");
        }
    }
}

#[actix_web::test]
async fn apikey_is_the_same_as_bearer() {
    let world = World::new().await;
    for header in [("apikey", ADMIN.to_owned()), ("authorization", format!("bearer {ADMIN}"))] {
        let request = TestRequest::get().uri("/api/v2/admin/business").insert_header(header);
        assert_eq!(world.send(request).await.status, 200);
    }
    let basic =
        TestRequest::get().uri("/api/v2/admin/business").insert_header(("authorization", format!("Basic {ADMIN}")));
    assert_eq!(world.send(basic).await.status, 401);
}

#[actix_web::test]
async fn another_tenant_looks_like_nobody() {
    let world = World::new().await;
    let (first, first_token) = world.business().await;
    let (second, _) = world.business().await;
    let (theirs, _) = world.instance(&second).await;
    let (own, own_token) = world.instance(&first).await;

    let there = world.get(&format!("/business/{second}"), &first_token).await;
    let nowhere = world.get("/business/00000000-0000-4000-8000-000000000000", &first_token).await;
    assert_eq!((there.status, &there.body), (nowhere.status, &nowhere.body));
    assert_eq!(there.status, 404);

    for token in [&first_token, &own_token] {
        let there = world.get(&format!("/instance/{theirs}"), token).await;
        let nowhere = world.get("/instance/nowhere", token).await;
        assert_eq!((there.status, &there.body), (404, &nowhere.body));
    }
    for token in [&first_token, &own_token, ADMIN] {
        assert_eq!(world.get(&format!("/instance/{own}"), token).await.status, 200);
    }
}

#[actix_web::test]
async fn each_level_reaches_its_own_routes_only() {
    let world = World::new().await;
    let (business, token) = world.business().await;
    let (_, jwt) = world.instance(&business).await;
    for token in [&token, &jwt] {
        assert_eq!(world.get("/admin/business", token).await.status, 403);
        assert_eq!(world.post("/admin/business", token, json!({"name": 1})).await.status, 403, "no word on the body");
    }
    assert_eq!(world.get(&format!("/business/{business}"), &jwt).await.status, 403);
    assert_eq!(world.get("/business/00000000-0000-4000-8000-000000000000", &jwt).await.status, 403);
}

#[actix_web::test]
async fn a_refreshed_token_is_revoked_at_once() {
    let world = World::new().await;
    let (business, token) = world.business().await;
    let (instance, jwt) = world.instance(&business).await;

    let path = format!("/instance/{instance}/refresh-token");
    let refused = world.patch(&path, &jwt, json!({"oldToken": "guess"})).await;
    assert_eq!(refused.status, 400);
    assert!(refused.problems()[0].starts_with("oldToken "));
    let answer = world.patch(&path, &jwt, json!({"oldToken": jwt})).await;
    assert_eq!(answer.status, 200);
    let new = answer.text("/newToken");
    assert_ne!(new, jwt);
    assert_eq!(world.get(&format!("/instance/{instance}"), &jwt).await.status, 401);
    assert_eq!(world.get(&format!("/instance/{instance}"), &new).await.status, 200);

    let path = format!("/admin/business/{business}/refresh-token");
    let answer = world.patch(&path, ADMIN, json!({"oldToken": token})).await;
    let new = answer.text("/newToken");
    assert_eq!(world.get(&format!("/business/{business}"), &token).await.status, 401);
    assert_eq!(world.get(&format!("/business/{business}"), &new).await.status, 200);
}

#[actix_web::test]
async fn the_token_of_a_deleted_instance_is_known_no_more() {
    let world = World::new().await;
    let (business, _) = world.business().await;
    let (instance, jwt) = world.instance(&business).await;
    let gone = world.delete(&format!("/business/{business}/instance?instanceId={instance}"), ADMIN).await;
    assert_eq!(gone.status, 200);
    assert!(gone.body["deletedAt"].is_string());
    assert_eq!(world.get(&format!("/instance/{instance}"), &jwt).await.status, 401);
}

#[actix_web::test]
async fn instance_tokens_outlive_a_restart_and_forged_ones_do_not_pass() {
    let world = World::new().await;
    let (business, _) = world.business().await;
    let (instance, jwt) = world.instance(&business).await;
    let auth =
        crate::api::auth::Auth::load(&*world.store, crate::api::auth::digest("another admin")).await.expect("a key");
    assert!(auth.identify(&jwt, &world.state.directory).is_some());

    let payload = jwt.split('.').nth(1).expect("three parts");
    // {"alg":"none","typ":"JWT"}
    let unsigned = format!("eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.{payload}.");
    let id = crate::domain::InstanceId::new(&instance).expect("valid");
    let other_key = crate::api::auth::Auth::new(crate::api::auth::digest(ADMIN), b"another key")
        .issue(&id, crate::domain::Timestamp::now());
    for forged in [unsigned, other_key.expect("signed")] {
        assert_eq!(world.get(&format!("/instance/{instance}"), &forged).await.status, 401);
    }
    assert_eq!(
        world.call(actix_web::http::Method::GET, &format!("/instance/{instance}"), &jwt, Value::Null).await.status,
        200
    );
}
