//! The master is killed, and Sentinel makes a replica the master.

use super::scene::Scene;
use crate::support::pombo::Setup;
use crate::support::sentinel::Sentinel;

const REPEATS: usize = 64;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failover_to_a_replica_is_followed() {
    let mut sentinel = Sentinel::start().await;
    let mut nodes = Vec::new();
    for _ in 0..2 {
        // Without it the last moment before the end of the master is lost.
        let setup = Setup::default().set("POMBO_REDIS_URL", &sentinel.url()).set("POMBO_STORE_WAIT_REPLICAS", "1");
        nodes.push(setup.start().await);
    }
    let scene = Scene::of(nodes).await;
    let fault = scene.fault("failover", sentinel.fail_over()).await;
    scene.resumes_after(&fault).await;
    scene.until_it_works().await;
    scene.ends_well(&[fault], REPEATS, |_| false).await;
}
