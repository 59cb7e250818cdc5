//! What to call what went wrong on the wire: codes from the error's own kind, never from its text.

use std::error::Error as _;
use std::io;

use crate::domain::{Failure, FailureCode};

use super::tls;

pub(super) fn failure(code: FailureCode, detail: impl Into<Box<str>>) -> Failure {
    Failure { code, detail: detail.into() }
}

/// Names an error of HTTP/2 that came instead of a response head.
pub(super) fn of_request(error: &hyper::Error) -> Failure {
    let lost = |detail: String| failure(FailureCode::ConnectionLost, detail);
    if let Some(h2) = h2_cause(error) {
        return of_http2(h2);
    }
    if let Some(io) = io_cause(error) {
        return of_io(io);
    }
    match error {
        e if e.is_user() => failure(FailureCode::Internal, "the request could not be built"),
        e if e.is_canceled() || e.is_closed() => lost("the receiver closed the connection before the request".into()),
        _ => lost("the receiver closed the connection before the response".into()),
    }
}

/// Names an error of the connection that came instead of a response head.
pub(super) fn of_io(error: &io::Error) -> Failure {
    // With TLS 1.3 a receiver refuses our certificate (or its absence) only after the handshake.
    if tls::cause(error).is_some() {
        failure(FailureCode::TlsFailed, tls::explain(error))
    } else {
        failure(FailureCode::ConnectionLost, format!("the connection broke before the response ({})", error.kind()))
    }
}

fn of_http2(error: &h2::Error) -> Failure {
    let lost = |detail: String| failure(FailureCode::ConnectionLost, detail);
    match error.reason() {
        _ if error.is_io() => lost("the connection broke before the response".into()),
        Some(reason) if error.is_remote() && error.is_go_away() => {
            lost(format!("the receiver closed the HTTP/2 connection ({})", reason.description()))
        }
        Some(reason) if error.is_remote() => lost(format!("the receiver reset the stream ({})", reason.description())),
        Some(reason) => {
            failure(FailureCode::ProtocolError, format!("the answer is not HTTP/2 ({})", reason.description()))
        }
        None => lost("the HTTP/2 connection broke".into()),
    }
}

/// Whether the receiver said that it did not process the request (RFC 9113 §8.7): a refused stream, or one above the
/// last that a GOAWAY promises to answer.
pub(super) fn was_not_processed(error: &hyper::Error) -> bool {
    h2_cause(error)
        .is_some_and(|h2| h2.is_remote() && (h2.is_go_away() || h2.reason() == Some(h2::Reason::REFUSED_STREAM)))
}

/// Whether the error ends one HTTP/2 stream and leaves its connection usable.
pub(super) fn is_of_one_stream(error: &hyper::Error) -> bool {
    h2_cause(error).is_some_and(h2::Error::is_reset)
}

fn h2_cause(error: &hyper::Error) -> Option<&h2::Error> {
    error.source()?.downcast_ref()
}

fn io_cause(error: &hyper::Error) -> Option<&io::Error> {
    error.source()?.downcast_ref()
}
