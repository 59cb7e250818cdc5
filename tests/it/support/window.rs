//! How many arrivals fall into any window of time, on a machine that may be late itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

const SECOND: Duration = Duration::from_secs(1);
/// What the pace keeps in reserve for the way to the receiver: the period is held 2 % longer than promised.
pub const GUARD: Duration = Duration::from_millis(20);

/// Notes how late this machine serves the receiver: a pause of its presses arrivals together that were sent apart.
pub struct Lateness(Arc<AtomicU64>);

impl Lateness {
    pub fn watch() -> Self {
        let worst = Arc::new(AtomicU64::new(0));
        let noted = Arc::downgrade(&worst);
        tokio::spawn(async move {
            let step = Duration::from_millis(2);
            while let Some(noted) = noted.upgrade() {
                let begun = Instant::now();
                tokio::time::sleep(step).await;
                let late = begun.elapsed().saturating_sub(step).as_millis() as u64;
                noted.fetch_max(late, Ordering::Relaxed);
            }
        });
        Self(worst)
    }

    pub fn worst(&self) -> Duration {
        Duration::from_millis(self.0.load(Ordering::Relaxed))
    }

    /// A second as far as this machine can tell.
    pub fn second(&self) -> Duration {
        let late = self.worst();
        assert!(late < SECOND / 2, "this machine pauses for {late:?}: nothing can be measured");
        SECOND.saturating_sub(late.saturating_sub(GUARD / 2))
    }
}

/// The most arrivals in any window of this length.
pub fn most_in(window: Duration, arrivals: &[Instant]) -> usize {
    let mut first = 0;
    let count = |(last, at): (usize, &Instant)| {
        while *at - arrivals[first] >= window {
            first += 1;
        }
        last - first + 1
    };
    arrivals.iter().enumerate().map(count).max().unwrap_or_default()
}
