//! The connections an endpoint keeps: idle HTTP/1.1 ones, last used first, and one HTTP/2 connection for all.
//!
//! A lease gives its connection back only when it says so. One that is dropped (a deadline, a broken exchange, a body
//! left unread) closes the HTTP/1.1 connection, and lets no new request onto the HTTP/2 connection.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Duration;

use hyper::client::conn::http2;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::connection::{Body, Connection, Http1, OpenCount};
use super::sockets::Berth;
use super::watch::Watch;

#[derive(Debug)]
pub(super) struct Pool {
    keep_alive: Duration,
    pub(super) open: OpenCount,
    pub(super) idle: RefCell<Vec<Idle>>,
    pub(super) watch: Watch,
    multiplexed: RefCell<Option<Multiplexed>>,
    /// Whether a new connection may turn out to be HTTP/2: then one attempt makes it and the others wait.
    may_multiplex: Cell<bool>,
    dialing: Cell<bool>,
    dialed: Notify,
    closed: Cell<bool>,
    made: Cell<u64>,
}

/// An HTTP/1.1 connection that is kept for the next request. It is closed when this is dropped.
#[derive(Debug)]
pub(super) struct Idle {
    pub(super) berth: Arc<Berth>,
    since: Instant,
}

impl Drop for Idle {
    fn drop(&mut self) {
        drop(self.berth.take());
    }
}

#[derive(Debug)]
struct Multiplexed {
    sender: http2::SendRequest<Body>,
    number: u64,
    streams: Rc<()>,
    used: Instant,
}

/// The right to send one request.
#[derive(Debug)]
pub(super) enum Lease {
    Http1(Http1Lease),
    Http2(Http2Lease),
}

/// Dropping it closes the connection.
#[derive(Debug)]
pub(super) struct Http1Lease {
    pool: Rc<Pool>,
    pub(super) connection: Box<Http1>,
}

#[derive(Debug)]
pub(super) struct Http2Lease {
    pool: Rc<Pool>,
    pub(super) sender: http2::SendRequest<Body>,
    number: u64,
    healthy: bool,
    _stream: Rc<()>,
}

impl Pool {
    pub(super) fn new(keep_alive: Duration, may_multiplex: bool) -> Self {
        Self {
            keep_alive,
            open: OpenCount::default(),
            idle: RefCell::default(),
            watch: Watch::default(),
            multiplexed: RefCell::default(),
            may_multiplex: Cell::new(may_multiplex),
            dialing: Cell::new(false),
            dialed: Notify::new(),
            closed: Cell::new(false),
            made: Cell::new(0),
        }
    }

    /// A connection that is ready for a request.
    pub(super) fn reuse(self: &Rc<Self>, now: Instant) -> Option<Lease> {
        if let Some(lease) = self.stream() {
            return Some(Lease::Http2(lease));
        }
        loop {
            let idle = self.idle.borrow_mut().pop()?;
            if now.saturating_duration_since(idle.since) >= self.keep_alive {
                continue;
            }
            // It may have made room, or its receiver may have closed it, and the watch not have seen to it yet.
            if let Some(mut connection) = idle.berth.take()
                && connection.stream.poll_stirred(&mut Context::from_waker(Waker::noop())).is_pending()
            {
                return Some(self.lease(connection));
            }
        }
    }

    fn lease(self: &Rc<Self>, connection: Box<Http1>) -> Lease {
        Lease::Http1(Http1Lease { pool: Rc::clone(self), connection })
    }

    /// Whether an attempt will most likely find a connection that is there already.
    pub(super) fn is_likely_to_have_one(&self) -> bool {
        self.multiplexed.borrow().as_ref().is_some_and(|kept| !kept.sender.is_closed())
            || self.idle.borrow().iter().any(|idle| idle.berth.is_occupied())
    }

    /// A stream of the HTTP/2 connection, where there is one.
    pub(super) fn stream(self: &Rc<Self>) -> Option<Http2Lease> {
        let mut slot = self.multiplexed.borrow_mut();
        let multiplexed = slot.as_mut()?;
        if multiplexed.sender.is_closed() {
            *slot = None;
            return None;
        }
        multiplexed.used = Instant::now();
        Some(Http2Lease {
            pool: Rc::clone(self),
            sender: multiplexed.sender.clone(),
            number: multiplexed.number,
            healthy: false,
            _stream: Rc::clone(&multiplexed.streams),
        })
    }

    /// Waits while another attempt makes a connection that this one may be able to share. Whoever has waited once makes
    /// its own if there is still none, so that a dial that hangs does not hold up the rest.
    pub(super) async fn wait_for_dial(&self) -> bool {
        if !(self.may_multiplex.get() && self.dialing.get()) {
            return false;
        }
        self.dialed.notified().await;
        true
    }

    pub(super) fn dialing(&self) -> Dialing<'_> {
        self.dialing.set(true);
        Dialing(self)
    }

    /// Leases a connection that was just made.
    pub(super) fn adopt(self: &Rc<Self>, connection: Connection) -> Lease {
        match connection {
            Connection::Http1(connection) => {
                self.may_multiplex.set(false);
                self.lease(connection)
            }
            Connection::Http2(sender) => {
                self.may_multiplex.set(true);
                let number = self.made.get() + 1;
                self.made.set(number);
                let streams = Rc::new(());
                let stream = Rc::clone(&streams);
                if !self.closed.get() {
                    let kept = Multiplexed { sender: sender.clone(), number, streams, used: Instant::now() };
                    self.multiplexed.replace(Some(kept));
                }
                Lease::Http2(Http2Lease { pool: Rc::clone(self), sender, number, healthy: false, _stream: stream })
            }
        }
    }

    /// Closes what is idle for too long; answers how many connections are open.
    pub(super) fn sweep(&self) -> usize {
        let keep_alive = self.keep_alive;
        self.idle.borrow_mut().retain(|idle| idle.berth.is_occupied() && idle.since.elapsed() < keep_alive);
        let mut closing = 0;
        self.multiplexed.borrow_mut().take_if(|kept| {
            let unused = Rc::strong_count(&kept.streams) == 1;
            let (open, stale) = (!kept.sender.is_closed(), unused && kept.used.elapsed() >= keep_alive);
            closing += usize::from(open && stale);
            !open || stale
        });
        // The driver of an HTTP/2 connection leaves the count when it next runs.
        self.open.get().saturating_sub(closing)
    }

    /// Closes what is idle and keeps nothing from now on. Requests in flight finish.
    pub(super) fn close(&self) {
        self.closed.set(true);
        self.idle.borrow_mut().clear();
        self.multiplexed.borrow_mut().take();
    }

    /// Keeps a connection on which nothing is under way since then, while it stays open.
    fn keep(self: &Rc<Self>, mut connection: Box<Http1>, since: Instant) {
        if self.closed.get() || self.watch.stirs(&mut connection) {
            return;
        }
        let berth = Arc::clone(&connection.berth);
        if berth.rest(connection) {
            self.idle.borrow_mut().push(Idle { berth, since });
            self.watch.start(self);
        }
    }

    /// Takes no new request onto the HTTP/2 connection `number`.
    fn retire(&self, number: u64) {
        self.multiplexed.borrow_mut().take_if(|kept| kept.number == number);
    }
}

/// Says that a connection is being made, until it is dropped.
#[derive(Debug)]
pub(super) struct Dialing<'a>(&'a Pool);

impl Drop for Dialing<'_> {
    fn drop(&mut self) {
        self.0.dialing.set(false);
        self.0.dialed.notify_waiters();
    }
}

impl Http1Lease {
    /// The exchange ended then, and the connection is fit for another.
    pub(super) fn give_back(self, at: Instant) {
        self.pool.keep(self.connection, at);
    }
}

impl Http2Lease {
    /// The connection is sound, whatever became of this request.
    pub(super) fn release(mut self) {
        self.healthy = true;
    }
}

impl Drop for Http2Lease {
    fn drop(&mut self) {
        if !self.healthy {
            self.pool.retire(self.number);
        }
    }
}
