//! A rate limit holds in every sliding window at the receiver, loses nothing, and follows a change at run time (P6).

use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::api::{Api, Hook};
use crate::support::deadline::until_true;
use crate::support::pombo::Pombo;
use crate::support::scripted::{Reply, Scripted};
use crate::support::window::{GUARD, Lateness, most_in};

const SECOND: Duration = Duration::from_secs(1);
struct World {
    _pombo: Pombo,
    receiver: Scripted,
    api: Api,
    instance: String,
    hook: Hook,
    lateness: Lateness,
}

impl World {
    async fn new(limit: u32, burst: u32) -> Self {
        let (pombo, receiver) = (Pombo::new().await, Scripted::start(|_| Reply::status(200)).await);
        let mut api = pombo.api();
        let instance = api.tenant("shop").await;
        let more = json!({ "rateLimit": { "limit": limit, "burst": burst }, "concurrency": 64 });
        let hook = api.webhook(&instance, &receiver.url("/hook"), &more).await;
        Self { _pombo: pombo, receiver, api, instance, hook, lateness: Lateness::watch() }
    }

    async fn send(&mut self, events: usize) {
        let line = json!({ "event": "messages.upsert", "data": { "content": { "text": "oi" } } }).to_string();
        self.api.events(&self.instance, vec![line; events].join("\n")).await;
    }

    async fn until_arrived(&self, events: usize, within: Duration) {
        until_true("all arrive", within, async || (self.receiver.len() >= events, self.receiver.len())).await;
    }

    fn arrivals(&self) -> Vec<Instant> {
        let mut all: Vec<_> = self.receiver.calls().iter().map(|call| call.at).collect();
        all.sort();
        all
    }

    async fn limit(&mut self, limit: u32) {
        let body = json!({ "name": "n", "rateLimit": { "limit": limit } });
        self.api.call("PUT", &Api::path_of(&self.hook, ""), &body).await;
    }

    /// Every event once.
    async fn assert_complete(&mut self, events: usize) {
        let ids: std::collections::BTreeSet<_> = self.receiver.calls().into_iter().map(|call| call.id).collect();
        assert_eq!((ids.len(), self.receiver.len()), (events, events));
        until_true("all is settled", Duration::from_secs(10), async || {
            let left = self.api.unfinished(&self.hook).await;
            (left == 0, left)
        })
        .await;
    }
}

#[tokio::test]
async fn fifty_a_second_hold_in_every_window_and_nothing_is_lost() {
    let mut world = World::new(50, 50).await;
    world.send(150).await;
    world.until_arrived(60, Duration::from_secs(10)).await;
    world.send(150).await;
    world.until_arrived(300, Duration::from_secs(30)).await;
    let arrivals = world.arrivals();
    let most = most_in(world.lateness.second(), &arrivals);
    assert!(most <= 50, "{most} in a second");
    // Throttled, not stopped: the limit is used.
    let took = *arrivals.last().unwrap() - arrivals[0];
    assert!((SECOND * 5..SECOND * 9).contains(&took), "{took:?}");
    world.assert_complete(300).await;
    let waited = world.api.deliveries(&world.hook, "delivered").await;
    assert!(waited.iter().any(|delivery| delivery["lastAttempt"]["waitedFor"] == "throttled"));
}

#[tokio::test]
async fn a_burst_comes_at_once_and_the_rest_evenly() {
    let mut world = World::new(50, 10).await;
    world.send(160).await;
    world.until_arrived(160, Duration::from_secs(30)).await;
    let arrivals = world.arrivals();
    let (most, at_once) = (most_in(world.lateness.second(), &arrivals), most_in(GUARD * 5, &arrivals));
    assert!(most <= 50, "{most} in a second");
    // A tenth of a second: the burst and what the limit adds meanwhile.
    let late = SECOND.saturating_sub(world.lateness.second());
    let bound = 10 + (50.0 * (GUARD * 5 + late).as_secs_f64()).ceil() as usize + 1;
    assert!((8..=bound).contains(&at_once), "{at_once} in 100 ms, {late:?} late");
    world.assert_complete(160).await;
}

#[tokio::test]
async fn a_changed_limit_holds_from_the_change_on_and_never_opens_a_second_window() {
    let mut world = World::new(20, 20).await;
    world.send(240).await;
    world.until_arrived(30, Duration::from_secs(10)).await;
    let raised = Instant::now();
    world.limit(100).await;
    world.until_arrived(150, Duration::from_secs(15)).await;
    let quick = raised.elapsed();
    assert!(quick < SECOND * 5, "the higher limit is used: {quick:?}");
    world.limit(20).await;
    let lowered = Instant::now();
    world.until_arrived(240, Duration::from_secs(30)).await;
    let (arrivals, second) = (world.arrivals(), world.lateness.second());
    let part = |keep: &dyn Fn(&Instant) -> bool| arrivals.iter().copied().filter(|at| keep(at)).collect::<Vec<_>>();
    let slow = most_in(second, &part(&|at| *at < raised));
    assert!(slow <= 20, "{slow} in a second before the change");
    let all = most_in(second, &arrivals);
    assert!(all <= 100, "{all} in a second");
    let slow = most_in(second, &part(&|at| *at > lowered + SECOND / 10));
    assert!(slow <= 20, "{slow} in a second after the limit was lowered");
    world.assert_complete(240).await;
}

#[test]
fn windows_are_counted_at_every_place() {
    let begun = Instant::now();
    let arrivals: Vec<_> = [0, 900, 950, 1_000, 1_899].map(|ms| begun + Duration::from_millis(ms)).to_vec();
    assert_eq!(most_in(SECOND, &arrivals), 4);
}
