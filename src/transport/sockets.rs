//! The sockets to receivers, counted over all webhooks: where there are more receivers than sockets, idle connections make
//! room, oldest first, and what finds none waits its turn. So store and API always find file descriptors left. An idle connection
//! takes some 26 KiB of buffers, so there is a bound on idle ones besides (P7).
//!
//! HTTP/2 connections are counted but not asked to make room: there is one for each webhook, and it goes when it is stale.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering};

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::AbortHandle;

const BUSY: u8 = 0;
const IDLE: u8 = 1;
const EVICTED: u8 = 2;

/// How many there may be, and which of them could make room.
#[derive(Debug)]
pub(super) struct Sockets {
    free: Arc<Semaphore>,
    max: usize,
    max_idle: usize,
    idle: AtomicUsize,
    waiting: AtomicUsize,
    made: AtomicU64,
    /// By age.
    kept: Mutex<BTreeMap<u64, Kept>>,
}

/// A connection that can be asked to make room.
#[derive(Debug)]
struct Kept {
    state: Arc<AtomicU8>,
    driver: AbortHandle,
}

/// The right to one open socket. Held by the task that drives the connection.
#[derive(Debug)]
pub(super) struct Socket {
    sockets: Arc<Sockets>,
    number: u64,
    _permit: OwnedSemaphorePermit,
}

/// Says whether a kept connection is in use. Its owner and whoever needs room agree by it on who has the connection.
#[derive(Debug)]
pub(super) struct Rest {
    sockets: Arc<Sockets>,
    state: Arc<AtomicU8>,
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
            kept: Mutex::default(),
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
        for kept in self.kept.lock().values() {
            if kept.state.compare_exchange(IDLE, EVICTED, Ordering::SeqCst, Ordering::SeqCst).is_ok() {
                self.idle.fetch_sub(1, Ordering::Relaxed);
                kept.driver.abort();
                return;
            }
        }
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
    pub(super) const fn number(&self) -> u64 {
        self.number
    }

    pub(super) fn sockets(&self) -> &Arc<Sockets> {
        &self.sockets
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        if let Some(kept) = self.sockets.kept.lock().remove(&self.number)
            && kept.state.swap(EVICTED, Ordering::SeqCst) == IDLE
        {
            self.sockets.idle.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl Rest {
    /// Enters connection `number`, which is in use and driven by `driver`.
    pub(super) fn new(sockets: Arc<Sockets>, number: u64, driver: AbortHandle) -> Self {
        let state = Arc::new(AtomicU8::new(BUSY));
        sockets.kept.lock().insert(number, Kept { state: Arc::clone(&state), driver });
        Self { sockets, state }
    }

    /// The connection is idle from now on; `false` when it is to be closed instead, for others wait for its socket.
    pub(super) fn begin(&self) -> bool {
        // One that has closed meanwhile is not to be kept either.
        if self.state.compare_exchange(BUSY, IDLE, Ordering::SeqCst, Ordering::SeqCst).is_err() {
            return false;
        }
        if self.sockets.idle.fetch_add(1, Ordering::Relaxed) >= self.sockets.max_idle {
            self.sockets.evict();
        }
        self.sockets.waiting.load(Ordering::SeqCst) == 0
    }

    /// The connection is in use again; `false` when it has made room in the meantime.
    pub(super) fn end(&self) -> bool {
        let is_ours = self.state.compare_exchange(IDLE, BUSY, Ordering::SeqCst, Ordering::SeqCst).is_ok();
        if is_ours {
            self.sockets.idle.fetch_sub(1, Ordering::Relaxed);
        }
        is_ours
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::pending;

    /// A connection's driver that holds its socket, and its rest.
    async fn connection(sockets: &Arc<Sockets>) -> (Rest, tokio::task::JoinHandle<()>) {
        let socket = sockets.open().await;
        let number = socket.number();
        let driver = tokio::spawn(async move {
            let _socket = socket;
            pending::<()>().await;
        });
        (Rest::new(Arc::clone(sockets), number, driver.abort_handle()), driver)
    }

    #[tokio::test]
    async fn the_oldest_idle_connection_makes_room_and_is_not_used_again() {
        let sockets = Sockets::new(2, 100);
        let ((first, first_driver), (second, _second_driver)) =
            (connection(&sockets).await, connection(&sockets).await);
        assert!(second.begin() && first.begin());
        let (_third, _) = connection(&sockets).await;
        assert!(first_driver.await.is_err_and(|error| error.is_cancelled()));
        assert!(!first.end(), "its owner must not use it");
        assert!(second.end(), "the younger one is left alone");
    }

    #[tokio::test]
    async fn of_too_many_idle_connections_the_oldest_is_closed() {
        let sockets = Sockets::new(9, 2);
        let made = [connection(&sockets).await, connection(&sockets).await, connection(&sockets).await];
        assert!(made.iter().all(|(rest, _)| rest.begin()));
        let [(first, first_driver), (second, _), (third, third_driver)] = made;
        assert!(first_driver.await.is_err_and(|error| error.is_cancelled()) && !first.end());
        assert!(second.end() && third.end());
        assert!(third.begin());
        third_driver.abort();
        assert!(third_driver.await.is_err());
        assert_eq!(sockets.idle.load(Ordering::SeqCst), 0, "one that is closed is not idle any more");
    }

    #[tokio::test]
    async fn with_all_in_use_the_next_waits_and_gets_the_first_that_is_given_up() {
        let sockets = Sockets::new(1, 100);
        let (only, driver) = connection(&sockets).await;
        let next = tokio::spawn({
            let sockets = Arc::clone(&sockets);
            async move { drop(sockets.open().await) }
        });
        while sockets.waiting.load(Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
        assert!(!next.is_finished());
        assert!(!only.begin(), "somebody waits: not to be kept");
        driver.abort();
        next.await.expect("it gets the socket");
        assert_eq!((sockets.free.available_permits(), sockets.kept.lock().len()), (1, 0));
    }

    #[tokio::test]
    async fn one_that_stops_waiting_is_forgotten() {
        let sockets = Sockets::new(1, 100);
        let (only, _driver) = connection(&sockets).await;
        tokio::select! {
            biased;
            _ = sockets.open() => panic!("there is none"),
            () = tokio::task::yield_now() => {}
        }
        assert!(only.begin(), "nobody waits any more");
    }
}
