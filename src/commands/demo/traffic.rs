//! Events of every kind, paced, through a few connections; each acceptance is written down for the count.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior};

use crate::commands::emit::line::{Destination, Entry, parse};
use crate::commands::emit::{Batch, Batches, Sender, Sent};
use crate::domain::EventId;

/// A trimmed recording of all kinds, without ids and instances.
const EVENTS: &str = include_str!("events.jsonl");
const TICK: Duration = Duration::from_millis(20);
const MAX_BATCH_EVENTS: usize = 500;
const MAX_BATCH_BYTES: usize = 4 << 20;

/// What the engine has accepted.
#[derive(Debug, Default)]
pub struct Accepted {
    pub events: Mutex<Vec<(Arc<str>, EventId)>>,
    pub count: AtomicU64,
    pub refused: AtomicU64,
}

/// The recording.
pub fn recording() -> Vec<Entry<'static>> {
    let anywhere = Destination::Fixed(String::new());
    let entry = |line| parse(line, &anywhere).map(|(_, entry)| entry);
    EVENTS.lines().map(entry).collect::<Result<_, _>>().expect("the recording is part of the program: a test reads it")
}

/// Sends `rate` events a second for `time`, round robin over `instances`.
///
/// # Errors
/// When the engine cannot be reached any more.
pub async fn run(
    senders: Vec<Sender>,
    instances: &[String],
    rate: u32,
    time: Duration,
    accepted: &Arc<Accepted>,
) -> anyhow::Result<()> {
    let mut tasks = JoinSet::new();
    let mut lanes = Vec::with_capacity(senders.len());
    for sender in senders {
        let (lane, batches) = mpsc::channel(4);
        tasks.spawn(connection(sender, batches, Arc::clone(accepted)));
        lanes.push(lane);
    }
    generate(&lanes, instances, rate, time).await;
    drop(lanes);
    while let Some(ended) = tasks.join_next().await {
        ended??;
    }
    Ok(())
}

async fn generate(lanes: &[mpsc::Sender<Batch>], instances: &[String], rate: u32, time: Duration) {
    let recording = recording();
    let mut batches = Batches::new(MAX_BATCH_EVENTS, MAX_BATCH_BYTES);
    let mut tick = tokio::time::interval(TICK);
    // An engine that is slower than the rate is not flooded to catch up.
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (begun, mut owed, mut number) = (Instant::now(), 0.0, 0_usize);
    while begun.elapsed() < time {
        tick.tick().await;
        owed += f64::from(rate) * TICK.as_secs_f64();
        let mut ready = Vec::new();
        while owed >= 1.0 {
            owed -= 1.0;
            let template = &recording[number % recording.len()];
            let entry = Entry {
                event: template.event.clone(),
                id: Some(format!("demo-{number}").into()),
                occurred_at: None,
                data: template.data,
            };
            ready.extend(batches.add(&instances[number % instances.len()], &entry));
            number += 1;
        }
        ready.extend(batches.finish());
        for batch in ready {
            let lane = instances.iter().position(|name| **name == *batch.instance).unwrap_or_default() % lanes.len();
            if lanes[lane].send(batch).await.is_err() {
                // The connection has failed and tells why itself.
                return;
            }
        }
    }
}

async fn connection(
    mut sender: Sender,
    mut batches: mpsc::Receiver<Batch>,
    accepted: Arc<Accepted>,
) -> anyhow::Result<()> {
    while let Some(batch) = batches.recv().await {
        match sender.send(&batch).await? {
            Sent::Accepted { ids, .. } => {
                accepted.count.fetch_add(ids.len() as u64, Ordering::Relaxed);
                accepted.events.lock().extend(ids.into_iter().map(|id| (Arc::clone(&batch.instance), id)));
            }
            Sent::Refused { reason } => {
                accepted.refused.fetch_add(batch.len() as u64, Ordering::Relaxed);
                tracing::error!(instance = &*batch.instance, "a batch was refused: {reason}");
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::EventKind;

    #[test]
    fn the_recording_has_every_kind_and_stays_small() {
        let kinds: std::collections::HashSet<_> =
            recording().iter().filter_map(|entry| EventKind::parse(&entry.event)).collect();
        assert_eq!(kinds.len(), EventKind::ALL.len());
        assert!(EVENTS.len() <= 200 << 10);
    }
}
