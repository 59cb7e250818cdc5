//! Redis is restarted, crashes, or comes back with nothing.

use std::time::Duration;

use super::scene::{MOST_LINES, Scene};
use crate::support::deadline::until_true;
use crate::support::redis::Redis;

const SOON: Duration = Duration::from_secs(20);
/// Redis is away for so long: longer than what asks it has patience, shorter than a lease.
const AWAY: Duration = Duration::from_secs(3);
/// Deliveries of which the result was not stored when a lease ended, at the pace of these producers.
const REPEATS: usize = 32;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_is_restarted_with_its_data_costs_nothing() {
    let mut redis = Redis::start(&[]).await;
    let scene = Scene::on(&redis).await;
    let fault = scene
        .fault("restart", async {
            redis.stop().await;
            tokio::time::sleep(AWAY).await;
            redis.revive().await;
        })
        .await;
    scene.resumes_after(&fault).await;
    scene.ends_well(&[fault], REPEATS, |_| false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_crashes_and_syncs_always_loses_nothing_that_was_accepted() {
    let mut redis = Redis::start(&["--appendfsync", "always"]).await;
    let scene = Scene::on(&redis).await;
    let mut faults = Vec::new();
    // The second time for longer than a lease.
    for away in [AWAY, Duration::from_secs(7)] {
        let crash = async {
            redis.kill();
            tokio::time::sleep(away).await;
            redis.revive().await;
        };
        let fault = scene.fault("crash", crash).await;
        scene.resumes_after(&fault).await;
        faults.push(fault);
    }
    scene.ends_well(&faults, REPEATS, |_| false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_lost_its_data_is_told_of_once_and_filled_anew() {
    let mut redis = Redis::start(&[]).await;
    let mut scene = Scene::on(&redis).await;
    let mut faults = Vec::new();
    // Before the nodes count as gone, and after.
    for away in [Duration::ZERO, Duration::from_secs(6)] {
        scene.stop_producing().await;
        let empties = async {
            redis.kill();
            redis.forget();
            tokio::time::sleep(away).await;
            redis.revive().await;
        };
        let fault = scene.fault("emptied", empties).await;
        let told = |lines: &[String]| lines.iter().filter(|line| line.contains("Redis has lost its data")).count();
        until_true("the nodes know that nothing is left", SOON, async || {
            let lines = scene.complaints(&fault);
            (lines.iter().all(|lines| told(lines) > 0), lines)
        })
        .await;
        scene.until_divided().await;
        scene.furnish().await;
        scene.produce();
        scene.until_it_works().await;
        for lines in scene.complaints(&fault) {
            assert!(told(&lines) == 1 && lines.len() <= MOST_LINES, "{}", lines.join("\n"));
        }
        faults.push(fault);
    }
    let over = faults[1].over;
    scene.ends_well(&faults, REPEATS, |answer| answer.asked_at < over).await;
}
