//! HTTP/1.1 on a connection that belongs to one webhook: one request at a time, driven by the attempt itself.
//!
//! A general client gives each connection a task, a channel and buffers. Here a kept connection is its socket and nothing more,
//! and an exchange is one write, one wait and one read: head and body go out in one vectored write, and the usual answer is parsed
//! and judged where it was read to, in a buffer that all connections of a thread share.

mod exchange;
mod framing;
mod head;
mod outgoing;
mod stream;

use std::io;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use tokio::time::Instant;

use self::framing::Framing;
use super::failure::{self as failures, failure};
use crate::domain::{Failure, FailureCode};

pub(super) use self::exchange::exchange;
pub(super) use self::stream::Stream;

/// An answer whose head is here, and of its body what came along with it.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    /// See [`head::Head::headers`].
    pub(super) headers: HeaderMap,
    /// When the request's last byte was handed to the socket; `None` when the answer came before.
    pub(super) sent_at: Option<Instant>,
    framing: Framing,
    snippet: Vec<u8>,
    /// Bytes of the body that may still be read.
    left: usize,
    /// Head, request and what has come of the body allow another exchange.
    keeps_connection: bool,
}

impl Answer {
    /// The body's end is here, or reading on is of no use.
    pub(super) fn is_read(&self) -> bool {
        self.framing == Framing::Ended || !self.keeps_connection && self.has_snippet()
    }

    /// The first bytes of the body, and whether the connection is fit for another request.
    pub(super) fn into_parts(self) -> (Bytes, bool) {
        let is_whole = self.framing == Framing::Ended;
        (Bytes::from(self.snippet), is_whole && self.keeps_connection)
    }
}

/// Why no answer came.
#[derive(Debug)]
pub(super) struct Broken {
    /// Not a byte of the request has left, so another connection may carry it.
    pub(super) is_unsent: bool,
    cause: Cause,
}

#[derive(Debug)]
enum Cause {
    Io(io::Error),
    /// The receiver has closed the connection.
    Closed,
    NotHttp,
    HeadTooLarge,
}

impl From<Broken> for Failure {
    fn from(broken: Broken) -> Self {
        let lost = |when| {
            failure(FailureCode::ConnectionLost, format!("the receiver closed the connection before the {when}"))
        };
        match broken.cause {
            Cause::Io(error) => failures::of_io(&error),
            Cause::Closed if broken.is_unsent => lost("request"),
            Cause::Closed => lost("response"),
            Cause::NotHttp => failure(FailureCode::ProtocolError, "the answer is not HTTP"),
            Cause::HeadTooLarge => failure(FailureCode::ProtocolError, "the response's head is too large"),
        }
    }
}
