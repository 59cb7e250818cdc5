//! The webhook of a business.

use pombo::domain::Secret;
use serde_json::json;

use super::signing::signature;
use super::{SOON, World, ok};
use crate::support::api::text;
use crate::support::deadline::until_true;

#[tokio::test]
async fn a_business_webhook_receives_the_events_of_all_its_instances_and_of_no_other() {
    let mut world = World::new(&json!({}), ok).await;
    let business = world.api.business("chain").await;
    let (one, two) = (world.api.instance(&business, "one").await, world.api.instance(&business, "two").await);
    let body = json!({ "name": "all", "url": world.receiver.url("/all"), "enabled": true });
    let made = world.api.call("PUT", &format!("/api/v2/business/{business}/webhook"), &body).await;
    let secret = Secret::parse(&text(&made, "secret")).unwrap();
    let mut wanted = Vec::new();
    for instance in [&one, &two, &one] {
        wanted.push((world.api.event(instance, "messages.upsert", None, &json!({})).await, instance.clone()));
    }
    let foreign = world.send(json!({})).await;
    world.until_status(&foreign, "delivered").await;
    until_true("all three come", SOON, async || {
        let came = world.receiver.calls_to("/all").len();
        (came >= 3, came)
    })
    .await;
    let mut came: Vec<_> = world
        .receiver
        .calls_to("/all")
        .iter()
        .map(|call| {
            assert_eq!(call.header("webhook-signature"), signature(&secret, call));
            assert_eq!(
                (call.header("x-businessid"), &call.json()["instance"]["instanceId"]),
                (&*business, &json!(call.header("x-instanceid")))
            );
            (call.id.clone(), call.header("x-instanceid").to_owned())
        })
        .collect();
    came.sort();
    wanted.sort();
    assert_eq!(came, wanted);
}
