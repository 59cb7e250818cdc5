//! The schedule: who is tried again, when, and with what code.

use std::time::Instant;

use serde_json::{Value, json};

use super::{SECOND, World, attempts, failing, steps};
use crate::support::nasty::dead_url;
use crate::support::pombo::Setup;
use crate::support::scripted::{Call, Reply};

#[tokio::test]
async fn retries_follow_the_schedule_and_the_timeline_tells_each_attempt() {
    let more = json!({ "retry": { "scheduleSeconds": [1, 2] } });
    let script = |call: &Call| match call.attempt {
        1 => Reply::status(500).body("no room at the inn"),
        2 => Reply::status(404),
        _ => Reply::status(204),
    };
    let mut world = World::new(&more, script).await;
    let id = world.send(json!({ "messageId": "1" })).await;
    let waiting = world.until_status(&id, "retrying").await;
    assert!(waiting["nextAttemptAt"].is_string() && *steps(&waiting).last().unwrap() == "next_attempt");
    let timeline = world.until_status(&id, "delivered").await;
    let calls = world.receiver.calls();
    assert_eq!(calls.iter().map(|call| call.attempt).collect::<Vec<_>>(), [1, 2, 3]);
    for (pause, wanted) in calls.windows(2).map(|two| two[1].at - two[0].at).zip([SECOND, SECOND * 2]) {
        // Never early; late as far as the machine is.
        assert!(pause >= wanted.mul_f64(0.98) && pause < wanted + SECOND * 2, "{pause:?} instead of {wanted:?}");
    }
    assert!(calls.iter().all(|call| call.id == id && call.body == calls[0].body), "the same event each time");
    assert_eq!(steps(&timeline), ["accepted", "attempted", "attempted", "attempted", "finished"]);
    let [first, second, third] = attempts(&timeline)[..] else { panic!("{timeline}") };
    assert_eq!((&first["status"], &second["status"], &third["status"]), (&json!(500), &json!(404), &json!(204)));
    assert_eq!(first["response"], "no room at the inn");
    assert_eq!(
        (&first["origin"], &second["origin"], &third["origin"]),
        (&json!("first"), &json!("retry"), &json!("retry"))
    );
    assert_eq!((&first["failure"]["code"], &third["failure"]), (&json!("status"), &Value::Null));
    assert!(first["phases"]["totalMs"].as_f64().unwrap() > 0.0 && first["phases"]["connectMs"].is_number());
    assert_eq!(first["phases"]["connectionReused"], false);
    assert_eq!(
        (&third["number"], &third["success"], &timeline["nextAttemptAt"]),
        (&json!(3), &json!(true), &Value::Null)
    );
}

#[tokio::test]
async fn retry_after_is_obeyed_on_429_and_503_up_to_the_cap_and_nowhere_else() {
    let setup = Setup::default().set("POMBO_RETRY_AFTER_CAP_S", "4");
    let more = json!({ "retry": { "scheduleSeconds": [1, 1, 1] } });
    let script = |call: &Call| {
        let (status, after) = match call.json()["data"]["case"].as_str().unwrap() {
            "429" => (429, "3"),
            "503" => (503, "3"),
            "capped" => (503, "86400"),
            "500" => (500, "3"),
            _ => (429, "0"),
        };
        if call.attempt == 1 { Reply::status(status).header("retry-after", after) } else { Reply::status(200) }
    };
    let mut world = World::with(setup, &more, script).await;
    let mut waits = Vec::new();
    for case in ["429", "503", "capped", "500", "sooner"] {
        waits.push((case, world.send(json!({ "case": case })).await));
    }
    world.until_taken(5).await;
    world.until_settled().await;
    for (case, id) in waits {
        let calls = world.receiver.calls_of(&id);
        let pause = calls[1].at - calls[0].at;
        let (least, most) = match case {
            "429" | "503" => (SECOND * 3, SECOND * 5),
            "capped" => (SECOND * 4, SECOND * 7),
            _ => (SECOND, SECOND * 3),
        };
        assert!((least.mul_f64(0.98)..most).contains(&pause), "{case}: {pause:?}");
        let timeline = world.api.timeline(&world.hook, &id).await;
        let asked = &attempts(&timeline)[0]["retryAfterSeconds"];
        assert_eq!(asked.is_number(), case != "500", "{case}: {asked}");
    }
}

#[tokio::test]
async fn a_retry_by_hand_does_not_wait_for_the_schedule() {
    let more = json!({ "retry": { "scheduleSeconds": [3_600] } });
    let mut world = World::new(&more, failing(1, 500)).await;
    let id = world.send(json!({})).await;
    world.until_status(&id, "retrying").await;
    world.post(&format!("/deliveries/{id}/retry"), &Value::Null).await;
    let timeline = world.until_status(&id, "delivered").await;
    assert_eq!(attempts(&timeline)[1]["origin"], "manual");
}

#[tokio::test]
async fn redirects_timeouts_and_dead_ports_are_failures_with_their_own_codes() {
    let more = json!({ "timeoutMs": 400, "retry": { "scheduleSeconds": [] } });
    let script = |call: &Call| match call.path.as_str() {
        "/hook" => Reply::status(302).header("location", "/elsewhere"),
        "/slow" => Reply::status(200).after(SECOND * 30),
        _ => Reply::status(200),
    };
    let mut world = World::new(&more, script).await;
    let mut codes = vec![(world.hook.clone(), "redirect")];
    let slow = world.receiver.url("/slow");
    codes.push((world.api.webhook(&world.instance, &slow, &more).await, "timeout"));
    let dead = dead_url("/dead");
    codes.push((world.api.webhook(&world.instance, &dead, &more).await, "connect_failed"));
    let id = world.send(json!({})).await;
    for (hook, code) in codes {
        world.hook = hook;
        let timeline = world.until_status(&id, "dead").await;
        let attempt = attempts(&timeline)[0];
        assert_eq!((&attempt["failure"]["code"], &timeline["deadReason"]), (&json!(code), &json!("exhausted")));
        assert_eq!(attempt["status"], if code == "redirect" { json!(302) } else { Value::Null });
        let took = attempt["phases"]["totalMs"].as_f64().unwrap();
        assert!(code != "timeout" || (390.0..3_000.0).contains(&took), "{took} ms");
        assert!(attempt["failure"]["text"].as_str().is_some_and(|text| text.len() > 20));
    }
    assert_eq!(world.receiver.calls_to("/elsewhere").len(), 0, "a redirect is not followed");
}

#[tokio::test]
async fn deliveries_waiting_for_a_retry_survive_a_crash_and_are_not_early() {
    let more = json!({ "retry": { "scheduleSeconds": [4] } });
    let mut world = World::new(&more, failing(1, 500)).await;
    let id = world.send(json!({})).await;
    world.until_status(&id, "retrying").await;
    let begun = Instant::now();
    world.pombo.crash_and_restart().await;
    world.api = world.pombo.api();
    let timeline = world.until_status(&id, "delivered").await;
    let calls = world.receiver.calls_of(&id);
    assert!(calls[1].at - calls[0].at >= SECOND.mul_f64(3.9), "{:?} after the start", begun.elapsed());
    assert_eq!((calls.len(), attempts(&timeline).len()), (2, 2));
}
