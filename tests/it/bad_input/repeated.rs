//! An event told again, by its id or by the header, at once or after a crash.

use std::time::Duration;

use serde_json::{Value, json};

use super::{World, event};
use crate::support::deadline::until_true;

#[tokio::test]
async fn a_repeated_id_is_stored_once_whichever_way_it_is_repeated() {
    let mut world = World::new().await;
    let one = |id: &str| format!(r#"{{"event":"messages.upsert","id":"{id}","data":{{"messageId":"{id}"}}}}"#);
    let batch = [one("a"), one("b"), one("a")].join("\n");
    let first = world.api.events(&world.instance, batch).await;
    assert_eq!((first.accepted, first.duplicates), (2, 1));
    assert_eq!(first.ids[0], first.ids[2]);
    let again = world.api.events(&world.instance, one("b")).await;
    assert_eq!((again.accepted, again.duplicates, &again.ids[0]), (0, 1, &first.ids[1]));
    let by_header = world.ingest(&[("idempotency-key", "a")], event(&json!({})).to_string()).await;
    let by_header: Value = serde_json::from_slice(&by_header.body).unwrap();
    assert_eq!((&by_header["duplicates"], &by_header["ids"][0]), (&json!(1), &json!(first.ids[0])));

    // Many at once: one of them wins.
    let tasks: Vec<_> = (0..16)
        .map(|_| {
            let (mut api, instance, body) = (world.pombo.api(), world.instance.clone(), one("race"));
            tokio::spawn(async move { api.events(&instance, body).await })
        })
        .collect();
    let (mut accepted, mut ids) = (0, std::collections::BTreeSet::new());
    for task in tasks {
        let answer = task.await.unwrap();
        accepted += answer.accepted;
        ids.extend(answer.ids);
    }
    assert_eq!((accepted, ids.len()), (1, 1));

    world.pombo.crash_and_restart().await;
    world.api = world.pombo.api();
    let after = world.api.events(&world.instance, [one("a"), one("race"), one("new")].join("\n")).await;
    assert_eq!((after.accepted, after.duplicates, &after.ids[0]), (1, 2, &first.ids[0]));
    // Another instance's ids are its own.
    let business = world.api.business("other").await;
    let other = world.api.instance(&business, "other").await;
    assert_eq!(world.api.events(&other, one("a")).await.accepted, 1);
    until_true("all have been delivered", Duration::from_secs(15), async || {
        let left = world.api.unfinished(&world.hook).await;
        (left == 0, left)
    })
    .await;
    assert_eq!(world.api.deliveries(&world.hook, "").await.len(), 4);
}
