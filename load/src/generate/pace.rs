//! When requests are sent.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::time::Duration;

use rustix::time::{Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec};
use tokio::io::unix::AsyncFd;
use tokio::sync::Notify;

use super::window::Window;
use crate::clock;
use crate::plan::{Pace, Phase, Plan};

/// The pacer sleeps no shorter: this much of an open loop's latency may be its own.
const GRAIN: u64 = 100_000;

/// The time of one request.
#[derive(Clone, Copy)]
pub struct Turn {
    pub intended: u64,
    pub measured: bool,
}

pub enum Source {
    Open(Rc<Schedule>),
    Closed { until: u64, measured_from: u64, window: Rc<Window> },
    Fill { requests: Cell<u64> },
}

/// Turns that are due and wait for a connection.
pub struct Schedule {
    due: RefCell<VecDeque<Turn>>,
    news: Notify,
    over: Cell<bool>,
    late: Cell<u64>,
}

impl Source {
    pub fn start(plan: &Plan, begun: u64, measured_from: u64) -> anyhow::Result<Self> {
        Ok(match &plan.pace {
            Pace::Open(phases) => {
                let schedule = Rc::new(Schedule {
                    due: RefCell::default(),
                    news: Notify::new(),
                    over: Cell::new(false),
                    late: Cell::new(0),
                });
                let timer = Timer::new()?;
                let intended = Times::new(phases, plan.batch, begun);
                tokio::task::spawn_local(Rc::clone(&schedule).run(timer, intended, measured_from));
                Self::Open(schedule)
            }
            Pace::Closed { seconds, in_flight, fan_out, receiver } => Self::Closed {
                until: measured_from + (seconds * 1e9) as u64,
                measured_from,
                window: Window::start(*in_flight, *fan_out, *receiver),
            },
            Pace::Fill { events } => {
                Self::Fill { requests: Cell::new(events.div_ceil(plan.batch as u64) * plan.instances.len() as u64) }
            }
        })
    }

    /// `None`: it is over.
    pub async fn turn(&self, events: u64) -> Option<Turn> {
        match self {
            Self::Open(schedule) => schedule.turn().await,
            Self::Closed { until, measured_from, window } => {
                if clock::now() >= *until || !window.enter(events, *until).await {
                    return None;
                }
                let intended = clock::now();
                Some(Turn { intended, measured: intended >= *measured_from })
            }
            Self::Fill { requests } => {
                requests.set(requests.get().checked_sub(1)?);
                Some(Turn { intended: clock::now(), measured: true })
            }
        }
    }

    /// Events that were refused are not under way.
    pub fn refused(&self, events: u64) {
        if let Self::Closed { window, .. } = self {
            window.leave(events);
        }
    }

    /// A refused caller of a closed loop waits; the schedule of an open one does not care.
    pub const fn backs_off(&self) -> bool {
        !matches!(self, Self::Open(_))
    }

    pub fn late_requests(&self) -> u64 {
        if let Self::Open(schedule) = self { schedule.late.get() } else { 0 }
    }
}

impl Schedule {
    async fn run(self: Rc<Self>, timer: Timer, all: Times, measured_from: u64) {
        for intended in all {
            let now = clock::now();
            if intended > now && timer.wait_until(intended.max(now + GRAIN)).await.is_err() {
                break;
            }
            self.due.borrow_mut().push_back(Turn { intended, measured: intended >= measured_from });
            self.news.notify_one();
        }
        self.over.set(true);
        self.news.notify_waiters();
        self.news.notify_one();
    }

    async fn turn(&self) -> Option<Turn> {
        loop {
            if let Some(turn) = self.due.borrow_mut().pop_front() {
                self.late.set(self.late.get() + u64::from(clock::now() > turn.intended + 10 * GRAIN));
                return Some(turn);
            }
            if self.over.get() {
                self.news.notify_one();
                return None;
            }
            self.news.notified().await;
        }
    }
}

/// The times of all requests of the phases, evenly spaced in each.
struct Times {
    phases: VecDeque<Phase>,
    batch: f64,
    begin: f64,
    sent: u64,
}

impl Times {
    fn new(phases: &[Phase], batch: usize, begun: u64) -> Self {
        Self { phases: phases.iter().copied().collect(), batch: batch as f64, begin: begun as f64, sent: 0 }
    }
}

impl Iterator for Times {
    type Item = u64;

    fn next(&mut self) -> Option<u64> {
        loop {
            let phase = *self.phases.front()?;
            let after = self.sent as f64 * self.batch / phase.rate;
            if phase.rate > 0.0 && after < phase.seconds {
                self.sent += 1;
                return Some((self.begin + after * 1e9) as u64);
            }
            self.begin += phase.seconds * 1e9;
            self.sent = 0;
            self.phases.pop_front();
        }
    }
}

/// `tokio`'s timers are coarse, 1 ms: too coarse for latencies below one.
struct Timer(AsyncFd<OwnedFd>);

impl Timer {
    #[expect(
        deprecated,
        reason = "its successor is unsafe; an `OwnedFd` keeps its descriptor, which is what is asked for"
    )]
    fn new() -> anyhow::Result<Self> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        Ok(Self(AsyncFd::new(rustix::time::timerfd_create(TimerfdClockId::Monotonic, flags)?)?))
    }

    async fn wait_until(&self, at: u64) -> std::io::Result<()> {
        let (never, at) = (Duration::ZERO, Duration::from_nanos(at));
        let spec = |time: Duration| Timespec { tv_sec: time.as_secs() as i64, tv_nsec: time.subsec_nanos().into() };
        let once = Itimerspec { it_interval: spec(never), it_value: spec(at) };
        rustix::time::timerfd_settime(self.0.get_ref(), TimerfdTimerFlags::ABSTIME, &once)?;
        loop {
            let mut ready = self.0.readable().await?;
            let fired = ready.try_io(|timer| Ok(rustix::io::read(timer.get_ref(), &mut [0; 8])?));
            if let Ok(fired) = fired {
                return fired.map(|_| ());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_evenly_spaced_in_each_phase() {
        let phases =
            [Phase { seconds: 1.0, rate: 20.0 }, Phase { seconds: 1.0, rate: 0.0 }, Phase { seconds: 0.5, rate: 40.0 }];
        let times: Vec<u64> = Times::new(&phases, 10, 0).map(|time| time / 1_000_000).collect();
        assert_eq!(times, [0, 500, 2_000, 2_250]);
    }

    #[tokio::test(flavor = "current_thread")]
    async fn the_timer_fires_when_it_is_due_and_not_before() {
        let timer = Timer::new().expect("a timer");
        for _ in 0..3 {
            let at = clock::now() + 2_000_000;
            timer.wait_until(at).await.expect("fired");
            assert!(clock::now() >= at);
        }
    }
}
