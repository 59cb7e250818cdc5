//! The master is killed, and Sentinel makes a replica the master.

use std::time::Duration;

use super::scene::Scene;
use crate::support::pombo::Setup;
use crate::support::sentinel::Sentinel;

const REPEATS: usize = 64;
/// Replication does not wait: what was accepted just before the end of the master may be lost, as `durability` in the documentation says.
const UNREPLICATED: Duration = Duration::from_secs(1);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failover_to_a_replica_is_followed() {
    let mut sentinel = Sentinel::start().await;
    let mut nodes = Vec::new();
    for _ in 0..2 {
        nodes.push(Setup::default().set("POMBO_REDIS_URL", &sentinel.url()).start().await);
    }
    let scene = Scene::of(nodes).await;
    let fault = scene.fault("failover", sentinel.fail_over()).await;
    scene.resumes_after(&fault).await;
    scene.until_it_works().await;
    let killed = fault.begun;
    let may_be_lost = |answer: &super::producer::Answered| {
        answer.at <= killed.after(UNREPLICATED) && answer.at >= killed.before(UNREPLICATED)
    };
    scene.ends_well(&[fault], REPEATS, may_be_lost).await;
}
