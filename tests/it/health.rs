//! `pombo health`, which the image's health check runs: exit code 0 from an engine that takes events, 1 otherwise.

use std::time::Duration;

use crate::support::command;
use crate::support::deadline::until_true;
use crate::support::pombo::{Pombo, Setup};

/// Exit code and standard output of `pombo health` for the address that `pombo` listens on.
async fn health(pombo: &Pombo, more: &[&str]) -> (Option<i32>, String) {
    let mut command = command::pombo(&["health"]);
    command.args(more).env("POMBO_LISTEN", format!("127.0.0.1:{}", pombo.port()));
    let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
    (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
}

#[tokio::test]
async fn health_is_good_while_it_serves_and_bad_from_the_announcement_of_the_end_on() {
    let mut pombo = Setup::default().set("POMBO_SHUTDOWN_DELAY_S", "30").start().await;
    assert_eq!(health(&pombo, &[]).await, (Some(0), "ready\n".to_owned()));
    pombo.ask_to_stop();
    until_true("it says that it is not ready", Duration::from_secs(10), async || {
        let (code, told) = health(&pombo, &[]).await;
        (code == Some(1) && told.starts_with("not ready: 503"), told)
    })
    .await;
    assert_eq!(health(&pombo, &["--live"]).await, (Some(0), "alive\n".to_owned()));
    // Once more: it hurries.
    assert_eq!(pombo.terminate().await.code(), Some(0));
    assert_eq!(health(&pombo, &["--timeout", "2s"]).await.0, Some(1), "nothing listens");
}
