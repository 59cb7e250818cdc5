//! Hands the ends of attempts to the store in batches, in the order they happened.
//!
//! A settlement is never dropped: while the store refuses, the batch is kept and tried again, and [`Settler::has_room`] keeps new
//! attempts from starting, so that what a crash could repeat stays bounded (P3).

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot};

use crate::store::{Settle, Store, StoreError};
use crate::telemetry::names;

#[derive(Debug)]
enum Work {
    Settle(Vec<Settle>),
    /// Answered when all settlements before it are in the store.
    Barrier(oneshot::Sender<()>),
}

/// The sending side; cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Settler {
    work: mpsc::UnboundedSender<Work>,
    unsettled: Arc<AtomicUsize>,
    max_unsettled: usize,
}

/// The task behind [`Settler`].
#[derive(Debug)]
pub(super) struct SettlerTask {
    work: mpsc::UnboundedReceiver<Work>,
    unsettled: Arc<AtomicUsize>,
    store: Arc<dyn Store>,
    meters: SettleMeters,
}

#[derive(Debug)]
struct SettleMeters {
    seconds: metrics::Histogram,
    batch: metrics::Histogram,
    errors: metrics::Counter,
    fenced: metrics::Counter,
}

/// Settlements given to the store at once.
const MAX_BATCH: usize = 4_096;
/// Between tries while the store refuses.
const RETRY_AFTER: Duration = Duration::from_millis(250);

pub(super) fn settler(store: Arc<dyn Store>, max_unsettled: usize) -> (Settler, SettlerTask) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let unsettled = Arc::new(AtomicUsize::new(0));
    let settler = Settler { work: sender, unsettled: Arc::clone(&unsettled), max_unsettled };
    let meters = SettleMeters {
        seconds: metrics::histogram!(names::SETTLE_SECONDS),
        batch: metrics::histogram!(names::SETTLE_BATCH),
        errors: metrics::counter!(names::STORE_ERRORS, "operation" => "settle"),
        fenced: metrics::counter!(names::FENCED),
    };
    (settler, SettlerTask { work: receiver, unsettled, store, meters })
}

impl Settler {
    pub(super) fn settle(&self, batch: Vec<Settle>) {
        self.unsettled.fetch_add(batch.len(), Ordering::Relaxed);
        // The task ends after the last sender: a refused send means that the process is ending.
        if self.work.send(Work::Settle(batch)).is_err() {
            tracing::error!("settlements were handed in after the end; their attempts are repeated after a restart");
        }
    }

    /// Waits until everything handed in before is in the store.
    pub(super) async fn barrier(&self) {
        let (reply, settled) = oneshot::channel();
        if self.work.send(Work::Barrier(reply)).is_ok() {
            let _ended = settled.await;
        }
    }

    pub(super) fn unsettled(&self) -> usize {
        self.unsettled.load(Ordering::Relaxed)
    }

    /// Whether another attempt may start.
    pub(super) fn has_room(&self) -> bool {
        self.unsettled.load(Ordering::Relaxed) < self.max_unsettled
    }
}

impl SettlerTask {
    pub(super) async fn run(mut self) {
        while let Some(first) = self.work.recv().await {
            let mut batch = Vec::new();
            let mut barriers = Vec::new();
            let mut next = Some(first);
            while let Some(work) = next.take() {
                match work {
                    Work::Settle(mut settles) => batch.append(&mut settles),
                    Work::Barrier(reply) => barriers.push(reply),
                }
                if batch.len() < MAX_BATCH {
                    next = self.work.try_recv().ok();
                }
            }
            self.commit(batch).await;
            for barrier in barriers {
                let _nobody_waits = barrier.send(());
            }
        }
    }

    async fn commit(&self, batch: Vec<Settle>) {
        let count = batch.len();
        if count == 0 {
            return;
        }
        let (mut refused, started) = (0u32, Instant::now());
        while let Err(error) = self.store.settle(batch.clone()).await {
            if let StoreError::Fenced { shards } = error {
                self.meters.fenced.increment(1);
                // Another node delivers for them now: what ended here after the take-over is its to decide (P9).
                tracing::warn!(
                    shards = format!("{shards:#x}"),
                    "settlements of shards that are another node's now were refused"
                );
                break;
            }
            if refused == 0 {
                tracing::error!(%error, count, "the store refuses settlements; no new attempt starts until it takes them");
            }
            refused += 1;
            self.meters.errors.increment(1);
            tokio::time::sleep(RETRY_AFTER).await;
        }
        if refused > 0 {
            tracing::info!(count, refused, "the store takes settlements again");
        }
        self.meters.seconds.record(started.elapsed());
        self.meters.batch.record(count as f64);
        self.unsettled.fetch_sub(count, Ordering::Relaxed);
    }
}
