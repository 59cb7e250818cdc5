//! Rate limit of a webhook: governor's GCRA spaces starts out, a log of the last `limit` starts holds the exact window.
//!
//! GCRA alone lets `burst` + `limit` starts into some windows; the log alone lets `limit` of them go back to back. Together, in
//! every sliding window of the period there are at most `limit` starts, of which at most `burst` in one go.
//!
//! A receiver counts at arrival, where the network may have pressed starts closer together. Hence [`GUARD`]: the period is kept
//! 2 % longer than promised, so a limit of 50 a second paces at 49 a second.

use std::cell::Cell;
use std::collections::VecDeque;
use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use governor::clock::Clock;
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};

use crate::domain::RateLimit;

/// The period is lengthened by this factor, as numerator and denominator.
pub const GUARD: (u64, u64) = (102, 100);
/// Timers ring by the millisecond, and late on a busy machine: what is due within this time may go back to back, else a large
/// limit could not be reached. The log holds the window all the same.
const TICK_NANOS: u64 = 10_000_000;
/// The log of a larger limit keeps every k-th start only, with k such that it holds this many.
const MAX_LOGGED: u32 = 4_096;

/// `None` inside: no limit. Small, and allocates only as far as starts are really taken.
#[derive(Debug, Default)]
pub struct Pace(Option<Box<Limited>>);

impl Pace {
    #[must_use]
    pub fn new(limit: Option<RateLimit>, now: Instant) -> Self {
        Self(limit.map(|limit| Box::new(Limited::new(limit, now))))
    }

    /// As if all starts of a period had been taken at `at`: the truth is not known, so the worst is taken for it.
    #[must_use]
    pub fn spent(limit: Option<RateLimit>, at: Instant) -> Self {
        let limited = |limit| {
            let mut limited = Limited::new(limit, at);
            limited.taken = limited.limit;
            limited.last = Start { number: limited.limit - 1, at: 0 };
            limited.log.push_back(limited.last);
            Box::new(limited)
        };
        Self(limit.map(limited))
    }

    /// Applies a changed limit. Starts already taken stay in the log, so a change does not open a second window's worth; after
    /// a rise that can hold starts back for up to one period.
    pub fn set_limit(&mut self, limit: Option<RateLimit>, now: Instant) {
        match (&mut self.0, limit) {
            (Some(limited), Some(limit)) => limited.set_limit(limit, now),
            _ => *self = Self::new(limit, now),
        }
    }

    /// Takes a start now, or tells when one may be taken.
    pub fn take(&mut self, now: Instant) -> Result<(), Instant> {
        self.0.as_mut().map_or(Ok(()), |limited| limited.take(now))
    }
}

/// Time as governor sees it: the instant of the call, in nanoseconds since `epoch`.
#[derive(Debug, Default)]
struct Injected(Cell<u64>);

impl Clock for Injected {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        Nanos::new(self.0.get())
    }
}

type Spacing = RateLimiter<NotKeyed, InMemoryState, Injected, NoOpMiddleware<Nanos>>;

#[derive(Clone, Copy, Debug)]
struct Start {
    /// Counts from 0.
    number: u64,
    /// Nanoseconds since `epoch`.
    at: u64,
}

#[derive(Debug)]
struct Limited {
    epoch: Instant,
    limit: u64,
    /// Nanoseconds, guard included.
    period: u64,
    /// Every how many starts one is logged.
    stride: u64,
    log: VecDeque<Start>,
    last: Start,
    taken: u64,
    spacing: Spacing,
}

impl Limited {
    fn new(limit: RateLimit, now: Instant) -> Self {
        let count = limit.limit.max(1);
        let period = guarded_period(limit);
        Self {
            epoch: now,
            limit: count.into(),
            period,
            stride: stride(count),
            log: VecDeque::new(),
            last: Start { number: 0, at: 0 },
            taken: 0,
            spacing: spacing(limit, period, 0),
        }
    }

    fn set_limit(&mut self, limit: RateLimit, now: Instant) {
        let count = limit.limit.max(1);
        self.limit = count.into();
        self.period = guarded_period(limit);
        self.stride = stride(count);
        self.spacing = spacing(limit, self.period, self.nanos(now));
    }

    fn nanos(&self, now: Instant) -> u64 {
        let nanos = u64::try_from(now.saturating_duration_since(self.epoch).as_nanos()).unwrap_or(u64::MAX);
        nanos.max(self.last.at)
    }

    fn instant(&self, nanos: u64) -> Instant {
        self.epoch + Duration::from_nanos(nanos)
    }

    fn take(&mut self, now: Instant) -> Result<(), Instant> {
        let at = self.nanos(now);
        if let Some(free_at) = self.window_free_at()
            && free_at > at
        {
            return Err(self.instant(free_at));
        }
        // Last, for it is what consumes.
        self.spacing.clock().0.set(at);
        if let Err(not_yet) = self.spacing.check() {
            return Err(self.instant(not_yet.earliest_possible().into()));
        }
        self.last = Start { number: self.taken, at };
        if self.taken.is_multiple_of(self.stride) {
            self.log.push_back(self.last);
        }
        self.taken += 1;
        Ok(())
    }

    /// When the start `limit` before the next one leaves the window; `None` while there were fewer.
    fn window_free_at(&mut self) -> Option<u64> {
        let leaving = self.taken.checked_sub(self.limit)?;
        while self.log.front().is_some_and(|start| start.number < leaving) {
            self.log.pop_front();
        }
        // Where that very start is not in the log, a later one stands for it: it leaves no earlier, so the bound holds. The
        // price is at most `stride` - 1 starts a period, under one in 4 096.
        let stand_in = self.log.front().unwrap_or(&self.last);
        Some(stand_in.at.saturating_add(self.period))
    }
}

fn guarded_period(limit: RateLimit) -> u64 {
    limit.period_ms.max(1).saturating_mul(1_000_000 / GUARD.1).saturating_mul(GUARD.0)
}

fn stride(limit: u32) -> u64 {
    limit.div_ceil(MAX_LOGGED).into()
}

fn spacing(limit: RateLimit, period: u64, start: u64) -> Spacing {
    let count = limit.limit.max(1);
    let in_a_tick = u64::from(count) * TICK_NANOS / period.max(1);
    let burst = u64::from(limit.burst.max(1)).max(in_a_tick).min(u64::from(count));
    let burst = NonZeroU32::new(burst as u32).expect("at least 1: so are the burst and the count");
    let gap = Duration::from_nanos((period / u64::from(count)).max(1));
    let quota = Quota::with_period(gap).expect("the gap is at least 1 ns").allow_burst(burst);
    RateLimiter::direct_with_clock(quota, Injected(Cell::new(start)))
}

#[cfg(test)]
#[path = "pace_tests.rs"]
mod tests;
