//! One clock for all processes of a run.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

fn read(clock: ClockId) -> u64 {
    let time = clock_gettime(clock);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// Nanoseconds of `CLOCK_MONOTONIC`: the same for every process of the machine, and no clock step moves it.
pub fn now() -> u64 {
    read(ClockId::Monotonic)
}

/// Waits: for what tells nobody when it changes, a counter of another process or its end.
#[expect(clippy::disallowed_methods, reason = "the measuring process has no runtime that this could hold up")]
pub fn pause(time: Duration) {
    std::thread::sleep(time);
}

/// CPU time of the calling thread, user and system.
pub fn thread_cpu() -> Duration {
    Duration::from_nanos(read(ClockId::ThreadCPUTime))
}
