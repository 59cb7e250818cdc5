use serde_json::{Value, json};
use utoipa::OpenApi as _;

use crate::api::testing::{ADMIN, World};
use crate::api::v2::ManagementDoc;

fn document() -> Value {
    serde_json::to_value(ManagementDoc::openapi()).expect("JSON")
}

/// Every `$ref` of the document.
fn references(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            found.extend(fields.get("$ref").and_then(Value::as_str).map(str::to_owned));
            fields.values().for_each(|field| references(field, found));
        }
        Value::Array(items) => items.iter().for_each(|item| references(item, found)),
        _ => {}
    }
}

#[test]
fn every_reference_of_the_document_is_defined() {
    let document = document();
    let mut found = Vec::new();
    references(&document, &mut found);
    assert!(found.len() > 30);
    for reference in found {
        let pointer = reference.strip_prefix('#').expect("a local reference");
        assert!(document.pointer(pointer).is_some(), "{reference}");
    }
}

#[actix_web::test]
async fn every_documented_route_exists_and_asks_for_a_token() {
    let world = World::new().await;
    let document = document();
    let paths = document["paths"].as_object().expect("paths");
    let mut count = 0;
    for (path, methods) in paths {
        let uri = path.strip_prefix("/api/v2").expect("below /api/v2").replace(['{', '}'], "");
        for (method, operation) in methods.as_object().expect("methods") {
            let method = method.to_uppercase().parse().expect("a method");
            assert_eq!(world.call(method, &uri, "", Value::Null).await.status, 401, "{path}");
            assert_eq!(operation["security"], json!([{"bearer": []}, {"apikey": []}]), "{path}");
            assert!(operation["responses"]["401"].is_object() && operation["summary"].is_string(), "{path}");
            count += 1;
        }
    }
    assert_eq!(count, 30);
}

#[actix_web::test]
async fn the_documented_webhook_is_the_one_that_is_answered() {
    let world = World::new().await;
    let (business, _) = world.business().await;
    let (instance, _) = world.instance(&business).await;
    let body = json!({"name": "n", "url": "https://example.com"});
    let made = world.post(&format!("/instance/{instance}/webhook"), ADMIN, body).await;
    let document = document();
    let documented =
        document.pointer("/components/schemas/Webhook/properties").and_then(Value::as_object).expect("schema");
    for name in made.body.as_object().expect("an object").keys() {
        assert!(documented.contains_key(name), "{name}");
    }
}

#[test]
fn one_flag_alone_is_a_documented_body() {
    let document = document();
    for name in ["EventsInput", "RetryInput", "FilterInput"] {
        let schema = document.pointer(&format!("/components/schemas/{name}")).expect("defined");
        assert!(schema.get("required").is_none(), "{name}: {schema}");
    }
    assert_eq!(document.pointer("/components/schemas/RateLimitInput/required"), Some(&json!(["limit"])));
}
