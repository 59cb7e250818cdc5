//! What the generator is told, and what it tells: the files between `run` and `generate`.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::latency::Latency;
use crate::usage::Usage;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Plan {
    pub engine: SocketAddr,
    pub token: String,
    /// Ids of the instances, addressed in turn.
    pub instances: Vec<String>,
    pub connections: usize,
    /// Events in a request.
    pub batch: usize,
    pub body_bytes: usize,
    pub chats: u32,
    /// Whether each event has an `id` of the caller's.
    pub ids: bool,
    pub pace: Pace,
    /// Seconds at the start whose latencies do not count.
    pub warmup: f64,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Pace {
    /// Open loop: requests have their times, whatever the engine does.
    Open(Vec<Phase>),
    /// Closed loop: as fast as the engine takes them while at most `in_flight` deliveries are under way.
    Closed { seconds: f64, in_flight: u64, fan_out: u64, receiver: SocketAddr },
    /// As fast as the engine takes them, so many events of each instance.
    Fill { events: u64 },
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Phase {
    pub seconds: f64,
    /// Events a second.
    pub rate: f64,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Outcome {
    /// Intended send to 202.
    pub accept: Latency,
    /// Numbers given out for each instance: from 0 up to this.
    pub sent: Vec<u64>,
    /// First number and count of each request that was refused.
    pub refused: Vec<Refused>,
    /// Requests without an answer, or with one that is neither 202 nor a refusal; the first is told.
    pub errors: u64,
    pub first_error: Option<String>,
    /// Requests of an open loop that were late at their start because every connection was busy.
    pub late_requests: u64,
    /// Of the monotonic clock.
    pub begun: u64,
    pub measured_from: u64,
    pub ended: u64,
    pub usage: Usage,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Refused {
    pub instance: usize,
    pub first: u64,
    pub count: u64,
    pub status: u16,
}

impl Outcome {
    pub fn events_sent(&self) -> u64 {
        self.sent.iter().sum()
    }

    pub fn events_refused(&self) -> u64 {
        self.refused.iter().map(|refused| refused.count).sum()
    }
}
