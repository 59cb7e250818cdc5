//! The end of the process, in named phases. A second signal ends the waiting, not the phases.
//!
//! `serving → not ready → refusing → draining → flushing → closed`: load balancers look away, callers are told to go elsewhere,
//! attempts in flight finish within the grace period, what they came to is made durable, and the process exits with 0 (P10).

use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

/// Asks for the end, from a signal or from code.
#[derive(Clone, Debug)]
pub struct Stop {
    asked: watch::Sender<u32>,
}

impl Default for Stop {
    fn default() -> Self {
        Self { asked: watch::Sender::new(0) }
    }
}

impl Stop {
    /// Asks once more: the first time to end, the second to hurry.
    pub fn ask(&self) {
        self.asked.send_modify(|times| *times += 1);
    }

    /// Waits until the end is asked for.
    pub async fn asked(&self) {
        self.asked_times(1).await;
    }

    /// Waits until somebody is in a hurry.
    pub async fn hurried(&self) {
        self.asked_times(2).await;
    }

    async fn asked_times(&self, times: u32) {
        let mut asked = self.asked.subscribe();
        // The sender lives in `self`: the wait cannot fail.
        let _sender_is_here = asked.wait_for(|asked| *asked >= times).await;
    }

    /// Sleeps for `duration`, less when somebody is in a hurry.
    pub async fn patiently(&self, duration: Duration) {
        tokio::select! {
            () = tokio::time::sleep(duration) => {}
            () = self.hurried() => {}
        }
    }
}

/// Turns SIGTERM and SIGINT into [`Stop::ask`].
///
/// # Errors
/// When the signals cannot be caught.
pub async fn listen_for_signals(stop: Stop) -> std::io::Result<()> {
    let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let next = async |signal: &mut Signal| signal.recv().await;
    loop {
        let name = tokio::select! {
            _ = next(&mut term) => "SIGTERM",
            _ = next(&mut int) => "SIGINT",
        };
        tracing::info!(signal = name, "asked to end; once more to hurry");
        stop.ask();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_second_asking_ends_a_patient_wait() {
        let stop = Stop::default();
        stop.ask();
        stop.asked().await;
        let started = tokio::time::Instant::now();
        let waiting = tokio::spawn({
            let stop = stop.clone();
            async move { stop.patiently(Duration::from_hours(1)).await }
        });
        stop.ask();
        waiting.await.expect("no panic");
        assert!(started.elapsed() < Duration::from_secs(1));
    }
}
