//! A connection that speaks HTTP, and what counts it.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};

use super::http1::Stream;
use super::sockets::{Berth, Socket};

/// A list of a response's headers is at most this large.
const MAX_HEAD_BYTES: u32 = 64 * 1024;
/// A silent HTTP/2 connection with requests on it is asked for a sign of life, and given up without one.
const PING_EVERY: Duration = Duration::from_secs(10);
const PING_TIMEOUT: Duration = Duration::from_secs(10);

pub(super) type Body = Full<Bytes>;

#[derive(Debug)]
pub(super) enum Connection {
    Http1(Box<Http1>),
    Http2(http2::SendRequest<Body>),
}

/// One request at a time. Dropping it closes the connection, whatever is under way on it.
#[derive(Debug)]
pub(super) struct Http1 {
    pub(super) stream: Stream,
    /// Where it lies while it is idle.
    pub(super) berth: Arc<Berth>,
    _open: Open,
}

impl Http1 {
    pub(super) fn new(stream: Stream, open: &OpenCount, socket: Socket) -> Self {
        Self { stream, berth: socket.berth(), _open: open.enter(socket) }
    }
}

/// Counts the sockets of an endpoint that are open.
#[derive(Clone, Debug, Default)]
pub(super) struct OpenCount(Arc<AtomicUsize>);

impl OpenCount {
    pub(super) fn get(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    fn enter(&self, socket: Socket) -> Open {
        self.0.fetch_add(1, Ordering::Relaxed);
        Open { count: self.clone(), _socket: socket }
    }
}

/// An open socket, of which it is the right.
#[derive(Debug)]
struct Open {
    count: OpenCount,
    _socket: Socket,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.count.0.fetch_sub(1, Ordering::Relaxed);
    }
}

pub(super) async fn http2<S>(stream: S, open: &OpenCount, socket: Socket) -> hyper::Result<Connection>
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let (sender, connection) = http2::Builder::new(OnThisThread)
        .timer(TokioTimer::new())
        .keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PING_TIMEOUT)
        .max_header_list_size(MAX_HEAD_BYTES)
        .handshake(TokioIo::new(stream))
        .await?;
    let open = open.enter(socket);
    tokio::task::spawn_local(async move {
        let _open = open;
        // An attempt that was under way has the error already; between attempts a closed connection is no news.
        if let Err(error) = connection.await {
            tracing::trace!(%error, "connection closed");
        }
    });
    Ok(Connection::Http2(sender))
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
