//! Two nodes whose clocks are ten seconds apart: nothing is lost, sent twice or out of order, also when the work changes hands.

use std::collections::BTreeSet;

use super::producer::FAILED;
use super::scene::Scene;
use crate::support::pombo::{Pombo, Setup};
use crate::support::redis::Redis;

const APART_S: u64 = 10;
const REPEATS: usize = 32;

/// A node whose wall clock is off by so much, e.g. `+10s`; how long something takes is measured truly.
async fn node(redis: &Redis, offset: &str) -> Pombo {
    let library = faketime();
    let preload = format!("LD_PRELOAD={library}");
    let words = ["env", &preload, &format!("FAKETIME={offset}"), "FAKETIME_DONT_FAKE_MONOTONIC=1", "NO_FAKE_STAT=1"];
    Setup::default().set("POMBO_REDIS_URL", &redis.url()).through(&words).start().await
}

/// The library that shows a process another time, where Debian keeps it.
fn faketime() -> String {
    let multiarch = std::fs::read_dir("/usr/lib").into_iter().flatten().flatten().map(|entry| entry.path());
    let found = multiarch.map(|path| path.join("faketime/libfaketime.so.1")).find(|path| path.exists());
    let found = found.expect("this test needs faketime: make test installs it");
    found.display().to_string()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_whose_clocks_are_ten_seconds_apart_lose_nothing_and_keep_order() {
    let redis = Redis::start(&[]).await;
    let mut scene = Scene::of(vec![node(&redis, "+10s").await, redis.node().await]).await;
    scene.until_it_works().await;
    let receipts = scene.inbox.receipts();
    let ahead = |receipt: &&pombo::commands::listen::Receipt| {
        receipt.sent_at_seconds.expect("deliveries tell when they were signed") + 1 >= receipt.at.seconds() + APART_S
    };
    let (of_fast, all) = (receipts.iter().filter(ahead).count(), receipts.len());
    assert!(of_fast > 0 && of_fast < all, "both nodes deliver, one with a fast clock: {of_fast} of {all}");

    // The node with the fast clock goes: what it accepted, as of ten seconds from now, is the other's to deliver before what comes.
    let fault = scene.begins("the node with the fast clock is killed");
    scene.nodes[0].kill9().await;
    scene.nodes[0].start().await;
    let fault = fault.ends();
    scene.resumes_after(&fault).await;
    scene.until_it_works().await;
    let webhooks: BTreeSet<_> = scene.inbox.receipts().iter().map(|receipt| receipt.path.to_string()).collect();
    assert_eq!(webhooks.len(), 2 * super::scene::INSTANCES);
    scene.ends_well_but(&[fault], REPEATS, |_| false, |answer| answer.node == 0 && answer.status == FAILED).await;
}
