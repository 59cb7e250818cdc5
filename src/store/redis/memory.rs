//! How full Redis is, looked at now and then: a bound that is near is worth an alert before events are refused.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use redis::cmd;

use super::answer::bytes;
use super::shared::Shared;

const LOOK_EVERY: Duration = Duration::from_secs(10);

/// What Redis said of its memory, looked at now and then.
#[derive(Debug, Default)]
pub struct Memory {
    used: AtomicU64,
    limit: AtomicU64,
    looked_at: Mutex<Option<Instant>>,
}

impl Memory {
    /// Bytes used, and the most there may be; 0: no bound.
    pub fn told(&self) -> (u64, u64) {
        (self.used.load(Relaxed), self.limit.load(Relaxed))
    }

    fn is_due(&self) -> bool {
        let mut looked_at = self.looked_at.lock();
        let is_due = looked_at.is_none_or(|at| at.elapsed() >= LOOK_EVERY);
        if is_due {
            *looked_at = Some(Instant::now());
        }
        is_due
    }
}

/// Takes note of Redis's memory when the last look is old; one that does not tell is left alone.
pub async fn look(shared: &Shared) {
    if !shared.memory.is_due() {
        return;
    }
    let mut ask = cmd("INFO");
    ask.arg("memory");
    let Ok(answer) = shared.link.run(&ask).await else { return };
    let Ok(Some(info)) = bytes(answer) else { return };
    let info = String::from_utf8_lossy(&info);
    let field =
        |name: &str| info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')?.trim().parse().ok());
    shared.memory.used.store(field("used_memory").unwrap_or(0), Relaxed);
    shared.memory.limit.store(field("maxmemory").unwrap_or(0), Relaxed);
}
