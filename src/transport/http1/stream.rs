//! The bytes below HTTP/1.1: a plain socket, or one inside TLS.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

#[derive(Debug)]
pub(in crate::transport) enum Stream {
    Plain(TcpStream),
    /// Apart, for it is large: idle plain connections are to take little.
    Tls(Box<TlsStream<TcpStream>>),
}

impl Stream {
    /// Ready when the receiver has closed a connection on which nothing is under way, or has spoken out of turn; else `cx` is
    /// told when it may have. Costs no system call while nothing has come: the runtime knows.
    pub(in crate::transport) fn poll_stirred(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut byte = [0];
        // What TLS has to say to itself (a session ticket) is taken in here and is no news.
        self.poll_read(cx, &mut ReadBuf::new(&mut byte)).map(drop)
    }

    pub(super) fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_read(cx, buf),
        }
    }

    pub(super) fn poll_write(&mut self, cx: &mut Context<'_>, bufs: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        match self {
            Self::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_write_vectored(cx, bufs),
        }
    }

    /// TLS keeps records that the socket did not take.
    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(_) => Poll::Ready(Ok(())),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_flush(cx),
        }
    }
}
