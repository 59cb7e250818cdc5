//! What accepted events survive, as stores tell it and as it is shown.

use serde::{Deserialize, Serialize};

/// What an accepted event survives.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Durability {
    /// Memory only: gone with the process. The model store of the tests.
    Memory,
    /// A `kill -9` of the process, not a loss of power.
    Os,
    /// A loss of power.
    Fsync,
    /// As long as Redis and its machine live: it keeps no append-only file, or never syncs it.
    RedisNone,
    /// A crash of Redis; a loss of power of its machine but for the last second or so: `appendfsync everysec`.
    AofEverysec,
    /// A loss of power of the machine Redis runs on: `appendfsync always`, or commits that wait for the sync.
    AofAlways,
}

impl Durability {
    /// As shown by `/readyz` and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Os => "os",
            Self::Fsync => "fsync",
            Self::RedisNone => "redis-none",
            Self::AofEverysec => "aof-everysec",
            Self::AofAlways => "aof-always",
        }
    }

    /// Whether it is at least `least`. Levels of one kind of store do not answer for another's.
    #[must_use]
    pub const fn holds(self, least: Self) -> bool {
        match least {
            Self::Memory | Self::RedisNone => true,
            Self::Os => matches!(self, Self::Os | Self::Fsync),
            Self::Fsync => matches!(self, Self::Fsync),
            Self::AofEverysec => matches!(self, Self::AofEverysec | Self::AofAlways),
            Self::AofAlways => matches!(self, Self::AofAlways),
        }
    }
}

/// What an accepted event survives now, and why. No names of hosts, no paths: anybody may read it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Persistence {
    pub durability: Durability,
    /// How Redis is set, where there is one.
    pub redis: Option<RedisPersistence>,
    /// What an operator should change, or know.
    pub warnings: Vec<String>,
}

impl Persistence {
    /// Where nothing more is to be told.
    #[must_use]
    pub const fn of(durability: Durability) -> Self {
        Self { durability, redis: None, warnings: Vec::new() }
    }
}

/// As Redis tells it; `None` for what it does not tell. Of several servers that differ: all values, with `/` between.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RedisPersistence {
    /// Empty when Redis does not tell.
    pub version: String,
    pub appendonly: Option<String>,
    pub appendfsync: Option<String>,
    pub maxmemory_policy: Option<String>,
}
