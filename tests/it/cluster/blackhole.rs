//! The network between nodes and Redis swallows what is sent, for longer than a lease: for one node, then for both.

use std::time::Duration;

use super::scene::Scene;
use crate::support::pombo::Setup;
use crate::support::proxy::Weather;
use crate::support::redis::Redis;

const CUT: Duration = Duration::from_secs(7);
const REPEATS: usize = 64;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_network_that_swallows_or_delays_everything_costs_no_event_and_no_order() {
    let redis = Redis::start(&[]).await;
    let (one, other) = (redis.proxy().await, redis.proxy().await);
    let mut nodes = Vec::new();
    for proxy in [&one, &other] {
        nodes.push(Setup::default().set("POMBO_REDIS_URL", &proxy.url()).start().await);
    }
    let scene = Scene::of(nodes).await;
    let mut faults = Vec::new();
    let plan = [
        ("one node is cut off", Weather::BlackHole, vec![&one]),
        ("both nodes are cut off", Weather::BlackHole, vec![&one, &other]),
        ("all that one node says comes late", Weather::Stalled, vec![&one]),
    ];
    for (name, weather, proxies) in plan {
        let cut = async {
            let all = |weather| proxies.iter().map(|proxy| proxy.set(weather)).collect::<()>();
            all(weather);
            tokio::time::sleep(CUT).await;
            all(Weather::Fair);
        };
        let fault = scene.fault(name, cut).await;
        scene.resumes_after(&fault).await;
        faults.push(fault);
    }
    scene.ends_well(&faults, REPEATS, |_| false).await;
}
