//! Redis forgets its scripts, throws its clients out, and stands still for five seconds; all under load.

use std::time::{Duration, Instant};

use super::scene::Scene;
use crate::support::redis::Redis;

const PAUSE: Duration = Duration::from_secs(5);
const REPEATS: usize = 32;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forgotten_scripts_lost_connections_and_a_pause_cost_nothing() {
    let redis = Redis::start(&[]).await;
    let scene = Scene::on(&redis).await;
    let mut faults = Vec::new();
    let forgets = scene.fault("SCRIPT FLUSH", async {
        for _ in 0..20 {
            redis.ask::<()>("SCRIPT FLUSH").await;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    faults.push(forgets.await);
    for kind in ["CLIENT KILL TYPE normal", "CLIENT KILL TYPE pubsub"] {
        let fault = scene
            .fault(kind, async {
                redis.ask::<u64>(kind).await;
            })
            .await;
        scene.resumes_after(&fault).await;
        faults.push(fault);
    }
    let pauses = scene.fault("CLIENT PAUSE", async {
        let begun = Instant::now();
        redis.ask::<()>(&format!("CLIENT PAUSE {}", PAUSE.as_millis())).await;
        tokio::time::sleep(PAUSE.saturating_sub(begun.elapsed())).await;
    });
    let fault = pauses.await;
    scene.resumes_after(&fault).await;
    faults.push(fault);
    scene.ends_well(&faults, REPEATS, |_| false).await;
}
