//! What a receiver notes of a request, and its running counts.

use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use http::HeaderMap;

use super::verify::Signature;
use crate::domain::Timestamp;

/// One request that came in and how it was answered.
#[derive(Clone, Debug)]
pub struct Receipt {
    /// Counts from 1.
    pub number: u64,
    pub path: Box<str>,
    /// Empty when the header is missing.
    pub webhook_id: Box<str>,
    /// `x-webhook-attempt`; 0 when missing.
    pub attempt: u16,
    /// `webhook-timestamp`, in unix seconds.
    pub sent_at_seconds: Option<u64>,
    pub at: Timestamp,
    /// 0: never answered.
    pub status: u16,
    pub signature: Signature,
    /// As they came, so that a watcher can check the request by means of its own.
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Receipt {
    pub const fn is_taken(&self) -> bool {
        self.status >= 200 && self.status < 300
    }
}

/// Counters since the start.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counts {
    pub connections: u64,
    pub requests: u64,
    pub taken: u64,
    pub refused: u64,
    pub bad_signatures: u64,
    pub body_bytes: u64,
}

/// The counts, added to from any number of connections.
#[derive(Debug, Default)]
pub(super) struct Counters {
    connections: AtomicU64,
    requests: AtomicU64,
    taken: AtomicU64,
    refused: AtomicU64,
    bad_signatures: AtomicU64,
    body_bytes: AtomicU64,
}

impl Counters {
    pub(super) fn add_connection(&self) {
        self.connections.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a request; answers its number.
    pub(super) fn add(&self, status: u16, signature: Signature, body_bytes: usize) -> u64 {
        let number = self.requests.fetch_add(1, Ordering::Relaxed) + 1;
        self.body_bytes.fetch_add(body_bytes as u64, Ordering::Relaxed);
        let ended = if (200..300).contains(&status) { &self.taken } else { &self.refused };
        ended.fetch_add(1, Ordering::Relaxed);
        if !matches!(signature, Signature::Valid | Signature::Unchecked) {
            self.bad_signatures.fetch_add(1, Ordering::Relaxed);
        }
        number
    }

    pub(super) fn read(&self) -> Counts {
        Counts {
            connections: self.connections.load(Ordering::Relaxed),
            requests: self.requests.load(Ordering::Relaxed),
            taken: self.taken.load(Ordering::Relaxed),
            refused: self.refused.load(Ordering::Relaxed),
            bad_signatures: self.bad_signatures.load(Ordering::Relaxed),
            body_bytes: self.body_bytes.load(Ordering::Relaxed),
        }
    }
}
