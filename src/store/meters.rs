//! Handles that a store records into, given to it by whoever opens it: it neither names metrics nor knows where they go.

use metrics::{Counter, Histogram};

/// Of the embedded store.
#[derive(Clone, Debug)]
pub struct WriterMeters {
    /// Times of commits that were forced to disk.
    pub synced: Histogram,
    /// Times of commits that were handed to the system.
    pub unsynced: Histogram,
}

impl Default for WriterMeters {
    fn default() -> Self {
        Self { synced: Histogram::noop(), unsynced: Histogram::noop() }
    }
}

/// What a command to Redis is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CommandKind {
    Append = 0,
    Settle = 1,
    /// Any other script.
    Script = 2,
    /// Any other command.
    Command = 3,
}

impl CommandKind {
    /// The labels, in the order of the kinds.
    pub const NAMES: [&'static str; 4] = ["append", "settle", "script", "command"];
}

/// Why a command to Redis failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CommandFault {
    /// No answer in time.
    Timeout = 0,
    /// No connection, or it broke.
    Connection = 1,
    /// At its `maxmemory`, or unable to persist.
    Full = 2,
    /// Refused because another node owns the shard.
    Fenced = 3,
    Other = 4,
}

impl CommandFault {
    /// The labels, in the order of the faults.
    pub const NAMES: [&'static str; 5] = ["timeout", "connection", "full", "fenced", "other"];
}

/// Of the store on Redis.
#[derive(Clone, Debug)]
pub struct RedisMeters {
    /// Times of commands, by [`CommandKind`].
    pub seconds: [Histogram; CommandKind::NAMES.len()],
    /// By [`CommandFault`].
    pub faults: [Counter; CommandFault::NAMES.len()],
}

impl Default for RedisMeters {
    fn default() -> Self {
        Self { seconds: std::array::from_fn(|_| Histogram::noop()), faults: std::array::from_fn(|_| Counter::noop()) }
    }
}
