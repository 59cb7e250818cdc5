//! A node stands still for longer than its lease and goes on as if nothing had happened: by then its work is another's.

use std::time::Duration;

use super::producer::{FAILED, HANGS};
use super::scene::Scene;
use crate::support::deadline::until_true;
use crate::support::redis::Redis;

/// Longer than a lease of 5 s, and shorter than twice that, within which it is taken over.
const STANDS: Duration = Duration::from_secs(8);
const SOON: Duration = Duration::from_secs(20);
/// What the node had in flight, and what it had sent and not settled.
const REPEATS: usize = 32;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_stood_still_settles_nothing_stale_and_breaks_no_order() {
    let redis = Redis::start(&[]).await;
    let scene = Scene::on(&redis).await;
    let frozen = &scene.nodes[0];
    let stands = scene.fault("SIGSTOP", async {
        frozen.freeze();
        tokio::time::sleep(STANDS).await;
        frozen.thaw();
    });
    let fault = stands.await;
    until_true("it knows that its leases ended", SOON, async || {
        (frozen.stderr().contains("leases ended without renewal"), frozen.stderr())
    })
    .await;
    scene.resumes_after(&fault).await;
    scene.until_it_works().await;
    // Nobody answers for a process that stands still, nor takes its connections.
    let faults = [fault];
    let stood = |answer: &super::producer::Answered| answer.node == 0 && [FAILED, HANGS].contains(&answer.status);
    scene.ends_well_but(&faults, REPEATS, |_| false, stood).await;
}
