//! The sockets to receivers, counted over all webhooks: where there are more receivers than sockets, idle connections make
//! room, oldest first, and what finds none waits its turn. So store and API always find file descriptors left. There is a bound on
//! idle ones besides.
//!
//! An idle connection lies in a [`Berth`], which its webhook and whoever needs room both know: who takes it out has it.
//! HTTP/2 connections are counted but not asked to make room: there is one for each webhook, and it goes when it is stale.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::connection::Http1;

/// How many there may be, and which of them could make room.
#[derive(Debug)]
pub(super) struct Sockets {
    free: Arc<Semaphore>,
    max: usize,
    max_idle: usize,
    idle: AtomicUsize,
    waiting: AtomicUsize,
    made: AtomicU64,
    /// Of the connections that can be asked to make room, by age.
    berths: Mutex<BTreeMap<u64, Arc<Berth>>>,
}

/// The right to one open socket. Lives as long as its connection.
#[derive(Debug)]
pub(super) struct Socket {
    sockets: Arc<Sockets>,
    number: u64,
    _permit: OwnedSemaphorePermit,
}

/// Where a connection lies while it is idle.
#[derive(Debug)]
pub(super) struct Berth {
    sockets: Arc<Sockets>,
    resting: Mutex<Option<Box<Http1>>>,
}

impl Sockets {
    pub(super) fn new(max: usize, max_idle: usize) -> Arc<Self> {
        let max = max.min(Semaphore::MAX_PERMITS);
        Arc::new(Self {
            free: Arc::new(Semaphore::new(max)),
            max,
            max_idle,
            idle: AtomicUsize::new(0),
            waiting: AtomicUsize::new(0),
            made: AtomicU64::new(0),
            berths: Mutex::default(),
        })
    }

    /// How many are open or being opened, and how many may be.
    pub(super) fn used(&self) -> (usize, usize) {
        (self.max.saturating_sub(self.free.available_permits()), self.max)
    }

    /// Waits, when all are in use, for one that has become idle or closed.
    pub(super) async fn open(self: &Arc<Self>) -> Socket {
        let free = Arc::clone(&self.free);
        let permit = if let Ok(permit) = Arc::clone(&free).try_acquire_owned() {
            permit
        } else {
            // Told before looking: a connection that becomes idle after the look sees that somebody waits.
            let _waiting = Waiting::new(self);
            self.evict();
            free.acquire_owned().await.expect("the semaphore is never closed")
        };
        Socket { sockets: Arc::clone(self), number: self.made.fetch_add(1, Ordering::Relaxed), _permit: permit }
    }

    /// Closes the oldest connection that is idle.
    fn evict(&self) {
        // Closed after the lock is given up: its socket leaves the same map.
        let evicted = self.berths.lock().values().find_map(|berth| berth.take());
        drop(evicted);
    }
}

struct Waiting<'a>(&'a Sockets);

impl<'a> Waiting<'a> {
    fn new(sockets: &'a Sockets) -> Self {
        sockets.waiting.fetch_add(1, Ordering::SeqCst);
        Self(sockets)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Socket {
    /// A place for the connection over this socket to be idle in.
    pub(super) fn berth(&self) -> Arc<Berth> {
        let berth = Arc::new(Berth { sockets: Arc::clone(&self.sockets), resting: Mutex::default() });
        self.sockets.berths.lock().insert(self.number, Arc::clone(&berth));
        berth
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.sockets.berths.lock().remove(&self.number);
    }
}

impl Berth {
    /// The connection is idle from now on, unless others wait for its socket: then it is closed.
    pub(super) fn rest(&self, connection: Box<Http1>) -> bool {
        *self.resting.lock() = Some(connection);
        if self.sockets.idle.fetch_add(1, Ordering::SeqCst) >= self.sockets.max_idle {
            self.sockets.evict();
        }
        if self.sockets.waiting.load(Ordering::SeqCst) > 0 {
            drop(self.take());
        }
        self.is_occupied()
    }

    /// The connection, unless it has made room in the meantime.
    pub(super) fn take(&self) -> Option<Box<Http1>> {
        self.take_if(|_| true)
    }

    /// The connection, if it is here and `wanted`.
    pub(super) fn take_if(&self, wanted: impl FnOnce(&mut Box<Http1>) -> bool) -> Option<Box<Http1>> {
        let taken = self.resting.lock().take_if(wanted);
        if taken.is_some() {
            self.sockets.idle.fetch_sub(1, Ordering::SeqCst);
        }
        taken
    }

    pub(super) fn is_occupied(&self) -> bool {
        self.resting.lock().is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::connection::OpenCount;
    use crate::transport::http1::Stream;

    /// A connection that is in use, and its berth.
    async fn connection(sockets: &Arc<Sockets>, open: &OpenCount) -> Box<Http1> {
        let socket = sockets.open().await;
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = tokio::net::TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        Box::new(Http1::new(Stream::Plain(stream), open, socket))
    }

    fn rest(connection: Box<Http1>) -> Arc<Berth> {
        let berth = Arc::clone(&connection.berth);
        berth.rest(connection);
        berth
    }

    #[tokio::test]
    async fn the_oldest_idle_connection_makes_room_and_is_not_used_again() {
        let (sockets, open) = (Sockets::new(2, 100), OpenCount::default());
        let (first, second) = (connection(&sockets, &open).await, connection(&sockets, &open).await);
        let (second, first) = (rest(second), rest(first));
        assert!(first.is_occupied() && second.is_occupied());
        let _third = connection(&sockets, &open).await;
        assert!(first.take().is_none(), "its owner must not use it");
        assert!(second.take().is_some(), "the younger one is left alone");
        assert_eq!(open.get(), 1, "the third: the others are closed");
    }

    #[tokio::test]
    async fn of_too_many_idle_connections_the_oldest_is_closed() {
        let (sockets, open) = (Sockets::new(9, 2), OpenCount::default());
        let made =
            [connection(&sockets, &open).await, connection(&sockets, &open).await, connection(&sockets, &open).await];
        let [first, second, third] = made.map(rest);
        assert!(!first.is_occupied());
        assert!(second.take().is_some() && third.is_occupied());
        assert_eq!(sockets.idle.load(Ordering::SeqCst), 1);
        drop(third.take());
        assert_eq!((sockets.idle.load(Ordering::SeqCst), open.get(), sockets.berths.lock().len()), (0, 0, 0));
    }

    #[tokio::test]
    async fn with_all_in_use_the_next_waits_and_gets_the_first_that_is_given_up() {
        let (sockets, open) = (Sockets::new(1, 100), OpenCount::default());
        let only = connection(&sockets, &open).await;
        let next = tokio::spawn({
            let sockets = Arc::clone(&sockets);
            async move { drop(sockets.open().await) }
        });
        while sockets.waiting.load(Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
        assert!(!next.is_finished());
        assert!(!rest(only).is_occupied(), "somebody waits: not to be kept");
        next.await.expect("it gets the socket");
        assert_eq!((sockets.free.available_permits(), sockets.berths.lock().len()), (1, 0));
    }

    #[tokio::test]
    async fn one_that_stops_waiting_is_forgotten() {
        let (sockets, open) = (Sockets::new(1, 100), OpenCount::default());
        let only = connection(&sockets, &open).await;
        tokio::select! {
            biased;
            _ = sockets.open() => panic!("there is none"),
            () = tokio::task::yield_now() => {}
        }
        assert!(rest(only).is_occupied(), "nobody waits any more");
    }
}
