//! A connection that speaks HTTP: its sender, and the task that drives it on the same thread.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::sockets::{Rest, Socket};
use super::wire::{LastWrite, Wire};

/// A response's head, and so the read buffer, is at most this large.
const MAX_HEAD_BYTES: usize = 64 * 1024;
/// A silent HTTP/2 connection with requests on it is asked for a sign of life, and given up without one.
const PING_EVERY: Duration = Duration::from_secs(10);
const PING_TIMEOUT: Duration = Duration::from_secs(10);

pub(super) type Body = Full<Bytes>;

#[derive(Debug)]
pub(super) enum Connection {
    Http1(Http1),
    Http2(http2::SendRequest<Body>),
}

/// One request at a time. Dropping it closes the connection as soon as its request is done.
#[derive(Debug)]
pub(super) struct Http1 {
    pub(super) sender: http1::SendRequest<Body>,
    pub(super) last_write: LastWrite,
    pub(super) rest: Rest,
    driver: AbortHandle,
}

impl Http1 {
    /// Closes the connection at once, whatever is under way on it.
    pub(super) fn abort(self) {
        self.driver.abort();
    }
}

/// An HTTP/1.1 connection that is kept for the next request.
#[derive(Debug)]
pub(super) struct Idle {
    pub(super) connection: Http1,
    pub(super) since: Instant,
}

/// Counts the sockets of an endpoint that are open, and knows the connections it keeps.
#[derive(Clone, Debug, Default)]
pub(super) struct OpenCount {
    count: Rc<Cell<usize>>,
    kept: Weak<RefCell<Vec<Idle>>>,
}

impl OpenCount {
    pub(super) fn new(kept: &Rc<RefCell<Vec<Idle>>>) -> Self {
        Self { count: Rc::default(), kept: Rc::downgrade(kept) }
    }

    pub(super) fn get(&self) -> usize {
        self.count.get()
    }

    fn enter(&self, socket: Socket) -> OpenGuard {
        self.count.set(self.count.get() + 1);
        OpenGuard { open: self.clone(), _socket: socket }
    }
}

/// Leaves the count, lets go of what is kept of closed connections (buffers of 9 KiB each), and gives the socket up.
struct OpenGuard {
    open: OpenCount,
    _socket: Socket,
}

impl Drop for OpenGuard {
    fn drop(&mut self) {
        self.open.count.set(self.open.count.get() - 1);
        if let Some(kept) = self.open.kept.upgrade()
            && let Ok(mut kept) = kept.try_borrow_mut()
        {
            kept.retain(|idle| !idle.connection.sender.is_closed());
            if kept.is_empty() {
                kept.shrink_to_fit();
            }
        }
    }
}

pub(super) async fn http1<S>(stream: S, open: &OpenCount, socket: Socket) -> hyper::Result<Connection>
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let last_write = LastWrite::default();
    let io = TokioIo::new(Wire::new(stream, Rc::clone(&last_write)));
    let (sender, connection) = http1::Builder::new().max_buf_size(MAX_HEAD_BYTES).handshake(io).await?;
    let (sockets, number) = (Arc::clone(socket.sockets()), socket.number());
    let driver = drive(connection, open, socket);
    let rest = Rest::new(sockets, number, driver.clone());
    Ok(Connection::Http1(Http1 { sender, last_write, rest, driver }))
}

pub(super) async fn http2<S>(stream: S, open: &OpenCount, socket: Socket) -> hyper::Result<Connection>
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let (sender, connection) = http2::Builder::new(OnThisThread)
        .timer(TokioTimer::new())
        .keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PING_TIMEOUT)
        .max_header_list_size(MAX_HEAD_BYTES as u32)
        .handshake(TokioIo::new(stream))
        .await?;
    drive(connection, open, socket);
    Ok(Connection::Http2(sender))
}

fn drive(
    connection: impl Future<Output = hyper::Result<()>> + 'static,
    open: &OpenCount,
    socket: Socket,
) -> AbortHandle {
    let guard = open.enter(socket);
    let driver = tokio::task::spawn_local(async move {
        let _guard = guard;
        // An attempt that was under way has the error already; between attempts a closed connection is no news.
        if let Err(error) = connection.await {
            tracing::trace!(%error, "connection closed");
        }
    });
    driver.abort_handle()
}

/// HTTP/2's inner tasks stay on the connection's thread.
#[derive(Clone, Copy, Debug)]
pub(super) struct OnThisThread;

impl<F> hyper::rt::Executor<F> for OnThisThread
where
    F: Future + 'static,
    F::Output: 'static,
{
    fn execute(&self, future: F) {
        tokio::task::spawn_local(future);
    }
}
