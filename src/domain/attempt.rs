//! One HTTP request of a delivery and how it ended.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::Timestamp;

/// What made the attempt happen.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AttemptOrigin {
    First,
    Retry,
    /// Asked for with `/retry`.
    Manual,
    Replay,
    Test,
}

/// Microseconds spent in each phase; 0 where a phase did not happen (a kept-alive connection has no DNS, connect or TLS).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Phases {
    pub dns_us: u32,
    pub connect_us: u32,
    pub tls_us: u32,
    /// From the connection to the request's last byte handed to the socket; not kept in histories.
    #[serde(skip)]
    pub write_us: u32,
    /// From the request's last byte handed to the socket to the response's head.
    pub first_byte_us: u32,
    /// From the response's head to the end of its body, or of our patience; not kept in histories.
    #[serde(skip)]
    pub body_us: u32,
    pub total_us: u32,
    pub reused: bool,
}

/// A stable code for each way an attempt fails. Shown in timelines, logs and metrics; never renamed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureCode {
    /// The receiver answered with a status outside 2xx and 3xx.
    Status,
    /// The receiver answered 3xx: redirects are never followed.
    Redirect,
    DnsFailed,
    /// Every address of the host is in a range we do not connect to.
    AddressBlocked,
    ConnectFailed,
    ConnectTimeout,
    TlsFailed,
    /// No response head within the deadline.
    Timeout,
    /// The connection broke before a response head.
    ConnectionLost,
    /// The answer is not HTTP.
    ProtocolError,
    /// Our own fault: the attempt's task died or the request could not be built.
    Internal,
}

impl FailureCode {
    pub const ALL: [Self; 11] = [
        Self::Status,
        Self::Redirect,
        Self::DnsFailed,
        Self::AddressBlocked,
        Self::ConnectFailed,
        Self::ConnectTimeout,
        Self::TlsFailed,
        Self::Timeout,
        Self::ConnectionLost,
        Self::ProtocolError,
        Self::Internal,
    ];

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Status => "status",
            Self::Redirect => "redirect",
            Self::DnsFailed => "dns_failed",
            Self::AddressBlocked => "address_blocked",
            Self::ConnectFailed => "connect_failed",
            Self::ConnectTimeout => "connect_timeout",
            Self::TlsFailed => "tls_failed",
            Self::Timeout => "timeout",
            Self::ConnectionLost => "connection_lost",
            Self::ProtocolError => "protocol_error",
            Self::Internal => "internal",
        }
    }
}

/// How an attempt failed; `detail` is for the operator and holds no secret.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Failure {
    pub code: FailureCode,
    pub detail: Box<str>,
}

/// The end of an attempt, as seen on the wire.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Outcome {
    /// The response's status; 0 when no response head came.
    pub status: u16,
    /// `None`: a 2xx.
    pub failure: Option<Failure>,
    /// `Retry-After` of a 429 or 503, in seconds.
    pub retry_after_s: Option<u32>,
    /// The first bytes of the response's body, at most [`Outcome::SNIPPET_BYTES`].
    pub snippet: Bytes,
    pub phases: Phases,
}

impl Outcome {
    pub const SNIPPET_BYTES: usize = 512;

    #[must_use]
    pub const fn is_success(&self) -> bool {
        self.failure.is_none()
    }

    /// An attempt that never reached the wire or died on our side.
    #[must_use]
    pub fn failed(code: FailureCode, detail: impl Into<Box<str>>, phases: Phases) -> Self {
        Self {
            status: 0,
            failure: Some(Failure { code, detail: detail.into() }),
            retry_after_s: None,
            snippet: Bytes::new(),
            phases,
        }
    }
}

/// What held a due delivery back before its attempt started.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WaitReason {
    #[default]
    None,
    /// The window of requests in flight was full.
    Window,
    /// The webhook's rate limit.
    Throttled,
    /// The breaker was open.
    CircuitOpen,
    /// An earlier event of the same key was not finished.
    Order,
    Paused,
}

/// One line of a delivery's timeline.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Attempt {
    /// Counts from 1.
    pub number: u16,
    pub origin: AttemptOrigin,
    /// When it should have started.
    pub due_at: Timestamp,
    pub started_at: Timestamp,
    pub waited_for: WaitReason,
    pub outcome: Outcome,
}
