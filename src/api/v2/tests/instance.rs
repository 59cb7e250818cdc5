use std::sync::atomic::Ordering;

use serde_json::{Value, json};

use crate::api::testing::World;
use crate::domain::{Connection, EventKind, InstanceId};

#[actix_web::test]
async fn an_instance_has_exactly_the_vendors_fields() {
    let world = World::new().await;
    let (business, token) = world.business().await;
    let path = format!("/business/{business}/instance");
    let made = world.post(&path, &token, json!({"instanceName": "Vendas", "externalId": "loja-7"})).await;
    assert_eq!(made.status, 201);
    let mut names: Vec<_> = made.body.as_object().expect("an object").keys().map(String::as_str).collect();
    names.sort_unstable();
    let expected = [
        "Auth",
        "WhatsApp",
        "businessBusinessId",
        "connection",
        "createdAt",
        "deletedAt",
        "instanceId",
        "name",
        "state",
    ];
    assert_eq!(names, expected);
    assert_eq!((made.text("/instanceId"), made.text("/name")), ("loja-7".into(), "Vendas".into()));
    assert_eq!((made.text("/state"), made.text("/connection")), ("active".into(), "close".into()));
    assert_eq!(world.get("/instance/loja-7", &made.text("/Auth/jwt")).await.body, made.body);
}

#[actix_web::test]
async fn a_taken_id_or_name_is_a_conflict_and_a_missing_name_is_made() {
    let world = World::new().await;
    let (business, token) = world.business().await;
    let path = format!("/business/{business}/instance");
    for _ in 0..2 {
        assert!(world.post(&path, &token, Value::Null).await.text("/name").starts_with("instance-"));
    }
    let body = json!({"instanceName": "Vendas", "externalId": "loja-7"});
    assert_eq!(world.post(&path, &token, body).await.status, 201);
    assert_eq!(world.post(&path, &token, json!({"externalId": "loja-7"})).await.status, 409);
    assert_eq!(world.post(&path, &token, json!({"instanceName": "Vendas"})).await.status, 409);
    let wrong = world.post(&path, &token, json!({"instanceName": "", "externalId": "a/b"})).await;
    assert_eq!((wrong.status, wrong.problems().len()), (400, 2));
}

#[actix_web::test]
async fn a_connected_instance_is_deleted_by_force_only() {
    let world = World::new().await;
    let (business, token) = world.business().await;
    let (instance, jwt) = world.instance(&business).await;
    let id = InstanceId::new(&instance).expect("valid");
    let open = |instance: &mut crate::domain::Instance| instance.connection = Connection::Open;
    world.state.directory.update_instance(&id, open).await.expect("open");

    let online = world.get(&format!("/business/{business}/instance/connected"), &token).await;
    assert_eq!(online.body["Instances"][0]["instanceId"], instance);
    let state = world.get(&format!("/instance/{instance}/connection-state"), &jwt).await;
    assert_eq!(state.body, json!({"state": "open", "statusReason": 0}));

    let path = format!("/business/{business}/instance");
    assert!(world.delete(&path, &token).await.problems()[0].starts_with("instanceId is required"));
    let path = format!("{path}?instanceId={instance}");
    assert_eq!(world.delete(&path, &token).await.status, 403);
    assert_eq!(world.delete(&format!("{path}&force=true"), &token).await.status, 200);
    assert_eq!(world.delete(&path, &token).await.status, 404);
}

#[actix_web::test]
async fn a_search_pages_by_fifty_and_filters_by_every_field() {
    let world = World::new().await;
    let (business, token) = world.business().await;
    let path = format!("/business/{business}/instance");
    for n in 0..51 {
        let body = json!({"instanceName": format!("Loja {n}"), "externalId": format!("loja-{n}")});
        assert_eq!(world.post(&path, &token, body).await.status, 201);
    }
    let hook = json!({"name": "h", "url": "https://example.com"});
    assert_eq!(world.post("/instance/loja-50/webhook", &token, hook).await.status, 201);

    let search = format!("{path}/search");
    let first = world.post(&search, &token, Value::Null).await;
    assert_eq!((first.status, first.text("/businessToken")), (200, token.clone()));
    let page = &first.body["BusinessPage"];
    assert_eq!((&page["totalRecords"], &page["totalPages"], &page["currentPage"]), (&json!(51), &json!(2), &json!(1)));
    assert_eq!(page["records"].as_array().map(Vec::len), Some(50));
    let second = world.post(&format!("{search}?page=2"), &token, json!({})).await;
    assert_eq!(second.body["BusinessPage"]["records"][0]["Webhook"][0]["name"], "h");

    for (body, total) in [
        (json!({"name": "loja 7"}), 1),
        (json!({"name": "LOJA 1"}), 11),
        (json!({"instanceId": "loja-3"}), 1),
        (json!({"connection": "open"}), 0),
        (json!({"state": "active", "name": "Loja 50"}), 1),
    ] {
        let found = world.post(&search, &token, body.clone()).await;
        assert_eq!(found.body["BusinessPage"]["totalRecords"], total, "{body}");
    }
    let exact = world.post(&search, &token, json!({"name": "Loja 1"})).await;
    assert_eq!(exact.body["BusinessPage"]["records"][0]["name"], "Loja 1");
    let wrong = world.post(&format!("{search}?page=0"), &token, json!({"state": "on"})).await;
    assert_eq!(wrong.problems(), ["page must be an integer from 1 to 1000000"]);
    let wrong = world.post(&search, &token, json!({"state": "on", "connection": 7})).await;
    assert_eq!(wrong.problems().len(), 2);
}

#[actix_web::test]
async fn switching_and_refreshing_are_told_to_the_webhooks() {
    let world = World::new().await;
    let (business, _) = world.business().await;
    let (instance, jwt) = world.instance(&business).await;
    let path = format!("/instance/{instance}");
    let off = world.patch(&format!("{path}/deactivate"), &jwt, Value::Null).await;
    assert_eq!((off.status, off.text("/state")), (200, "inactive".into()));
    let on = world.patch(&format!("{path}/activate"), &jwt, Value::Null).await;
    assert_eq!((on.status, on.text("/state")), (200, "active".into()));
    let new = world.patch(&format!("{path}/refresh-token"), &jwt, json!({"oldToken": jwt})).await.text("/newToken");

    let told = world.engine.ingested.lock();
    let told: Vec<_> = told.iter().map(|(id, kind, data)| (id.as_str(), *kind, data)).collect();
    assert_eq!(told[0], (&*instance, EventKind::StateInstance, &json!({"state": "off"})));
    assert_eq!(told[1], (&*instance, EventKind::StateInstance, &json!({"state": "on"})));
    assert_eq!(told[2].1, EventKind::NewJwt);
    assert!(!told[2].2.to_string().contains(&new), "no token of ours travels to a receiver");
}

#[actix_web::test]
async fn a_new_token_is_answered_even_when_the_engine_is_busy() {
    let world = World::new().await;
    let (business, _) = world.business().await;
    let (instance, jwt) = world.instance(&business).await;
    world.engine.busy.store(true, Ordering::Relaxed);
    let path = format!("/instance/{instance}");
    let busy = world.patch(&format!("{path}/activate"), &jwt, Value::Null).await;
    assert_eq!(busy.status, 503);
    assert_eq!(busy.headers.get("retry-after").expect("header"), "3");
    let answer = world.patch(&format!("{path}/refresh-token"), &jwt, json!({"oldToken": jwt})).await;
    assert_eq!(world.get(&path, &answer.text("/newToken")).await.status, 200);
}
