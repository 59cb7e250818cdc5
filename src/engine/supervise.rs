//! Runs an actor's future so that its panic ends the actor alone and is told to whoever must rebuild it.
//!
//! actix's own supervisor neither catches panics nor rebuilds state, hence this: state comes back from directory and store.

use std::panic::AssertUnwindSafe;
use std::time::{Duration, Instant};

use actix::{Actor, Addr, Context};
use futures_util::FutureExt as _;

/// How an actor ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Exit {
    /// It was told to.
    Stopped,
    Panicked,
}

/// Starts `actor` on the present thread; `on_exit` runs on it when the actor has ended.
pub(super) fn start<A: Actor<Context = Context<A>>>(actor: A, on_exit: impl FnOnce(Exit) + 'static) -> Addr<A> {
    let running = Context::new().into_future(actor);
    let address = running.address();
    actix::spawn(until_end(running, on_exit));
    address
}

/// Not an `async` function: that would keep room for the actor twice, as what it is given and as what it waits for.
fn until_end(running: impl Future<Output = ()>, on_exit: impl FnOnce(Exit)) -> impl Future<Output = ()> {
    AssertUnwindSafe(running)
        .catch_unwind()
        .map(|ended| on_exit(if ended.is_ok() { Exit::Stopped } else { Exit::Panicked }))
}

/// Runs a task that everything depends on: when it panics the process ends at once, because nothing in it could go on, and the
/// next start goes on from the store.
pub(super) async fn vital(name: &'static str, task: impl Future<Output = ()>) {
    if AssertUnwindSafe(task).catch_unwind().await.is_err() {
        tracing::error!(name, "a part that all deliveries depend on panicked; the process ends, the store is safe");
        std::process::abort();
    }
}

/// Starts an actor as [`vital`].
pub(super) fn start_vital<A: Actor<Context = Context<A>>>(name: &'static str, actor: A) -> Addr<A> {
    let running = Context::new().into_future(actor);
    let address = running.address();
    actix::spawn(vital(name, running));
    address
}

/// Restarts allowed within a span of time.
#[derive(Debug, Default)]
pub(super) struct RestartBudget {
    recent: Vec<Instant>,
}

impl RestartBudget {
    const MAX: usize = 5;
    const SPAN: Duration = Duration::from_mins(1);

    /// Takes one restart; `false` when there were too many lately.
    pub(super) fn take(&mut self, now: Instant) -> bool {
        self.recent.retain(|at| now.duration_since(*at) < Self::SPAN);
        self.recent.push(now);
        self.recent.len() <= Self::MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_actor_takes_its_room_once() {
        struct Large {
            _much: [u64; 500],
        }
        impl Actor for Large {
            type Context = Context<Self>;
        }
        let running = Context::new().into_future(Large { _much: [0; 500] });
        let alone = size_of_val(&running);
        assert!(size_of_val(&until_end(running, |_| ())) < alone + 64);
    }

    #[test]
    fn the_sixth_restart_in_a_minute_is_refused_and_one_a_minute_never() {
        let start = Instant::now();
        let mut budget = RestartBudget::default();
        assert!((0..5).all(|n| budget.take(start + Duration::from_secs(n))));
        assert!(!budget.take(start + Duration::from_secs(6)));
        let mut slow = RestartBudget::default();
        assert!((0..50).all(|n| slow.take(start + Duration::from_secs(60 * n))));
    }
}
