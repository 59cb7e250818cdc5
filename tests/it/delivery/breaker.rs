//! The breaker opens, lets a probe through, and closes.

use serde_json::json;

use super::{SECOND, SOON, World, ok};
use crate::support::deadline::until_true;
use crate::support::pombo::Setup;
use crate::support::scripted::Reply;

#[tokio::test]
async fn the_breaker_opens_probes_and_closes_before_everybodys_eyes() {
    let setup = Setup::default().set("POMBO_BREAKER_FAILURES", "3").set("POMBO_BREAKER_OPEN_S", "1");
    let more = json!({ "retry": { "scheduleSeconds": vec![1; 32] }, "concurrency": 4 });
    let mut world = World::with(setup, &more, |_| Reply::status(500)).await;
    world.send_many("messages.upsert", (0..20).map(|n| json!({ "n": n }))).await;
    let circuit = async |world: &mut World, state: &str| {
        until_true(&format!("the circuit is {state}"), SOON, async || {
            let webhook = world.webhook().await;
            (webhook["circuit"] == state, webhook["circuit"].clone())
        })
        .await;
    };
    circuit(&mut world, "open").await;
    assert_eq!(world.api.stats(&world.hook).await["gate"]["circuit"], "open");
    world.receiver.play(|_| Reply::status(500).after(SECOND));
    circuit(&mut world, "probing").await;
    let in_flight = world.api.stats(&world.hook).await["gate"]["inFlight"].as_u64().unwrap();
    assert!(in_flight <= 1, "{in_flight} in flight while probing");
    circuit(&mut world, "open").await;
    world.receiver.play(ok);
    circuit(&mut world, "closed").await;
    world.until_settled().await;
    let delivered = world.api.deliveries(&world.hook, "delivered").await;
    assert_eq!(delivered.len(), 20);
    assert!(delivered.iter().any(|one| one["lastAttempt"]["waitedFor"] == "circuit_open"));
    // At most the three that opened it and those in flight with them, then one probe at a time until it was mended.
    let failed: Vec<_> = world.receiver.calls().into_iter().filter(|call| !call.is_taken()).collect();
    let opened = failed.iter().take(3 + 4).map(|call| call.at).max().unwrap();
    assert!(failed.iter().filter(|call| call.at > opened).count() <= 6, "{}", failed.len());
}
