//! Notices that a receiver has closed a connection that is kept, so that neither its socket stays nor a request is sent on it.
//! One task for all idle connections of a webhook, which runs when something has come on one of them.

use std::cell::RefCell;
use std::future::poll_fn;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll, Waker};

use tokio::task::AbortHandle;

use super::connection::Http1;
use super::pool::Pool;

#[derive(Debug, Default)]
pub(super) struct Watch {
    /// None while nothing is idle.
    task: RefCell<Option<AbortHandle>>,
    /// Of the task, once it has run.
    waker: RefCell<Option<Waker>>,
}

impl Watch {
    /// Whether something has come on a connection that is about to be kept; else the watch is told when it does.
    pub(super) fn stirs(&self, connection: &mut Http1) -> bool {
        let waker = self.waker.borrow();
        let waker = waker.as_ref().unwrap_or(Waker::noop());
        connection.stream.poll_stirred(&mut Context::from_waker(waker)).is_ready()
    }

    /// Runs while `pool` keeps connections.
    pub(super) fn start(&self, pool: &Rc<Pool>) {
        let mut task = self.task.borrow_mut();
        if task.is_none() {
            let pool = Rc::downgrade(pool);
            let watching = tokio::task::spawn_local(poll_fn(move |cx| poll(&pool, cx)));
            *task = Some(watching.abort_handle());
        }
    }

    fn end(&self) {
        self.task.take();
        self.waker.take();
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if let Some(task) = self.task.get_mut() {
            task.abort();
        }
    }
}

fn poll(pool: &Weak<Pool>, cx: &mut Context<'_>) -> Poll<()> {
    let Some(pool) = pool.upgrade() else { return Poll::Ready(()) };
    pool.watch.waker.replace(Some(cx.waker().clone()));
    let mut idle = pool.idle.borrow_mut();
    idle.retain(|idle| {
        drop(idle.berth.take_if(|connection| connection.stream.poll_stirred(cx).is_ready()));
        idle.berth.is_occupied()
    });
    if idle.is_empty() {
        idle.shrink_to_fit();
        drop(idle);
        pool.watch.end();
        return Poll::Ready(());
    }
    Poll::Pending
}
