//! The metrics that stores record into, under their names.

use metrics::{counter, histogram};

use crate::store::meters::{CommandFault, CommandKind, RedisMeters, WriterMeters};
use crate::telemetry::names;

pub(super) fn writer() -> WriterMeters {
    WriterMeters {
        synced: histogram!(names::STORE_COMMIT_SECONDS, "sync" => "yes"),
        unsynced: histogram!(names::STORE_COMMIT_SECONDS, "sync" => "no"),
    }
}

pub(super) fn redis() -> RedisMeters {
    RedisMeters {
        seconds: CommandKind::NAMES.map(|kind| histogram!(names::REDIS_COMMAND_SECONDS, "kind" => kind)),
        faults: CommandFault::NAMES.map(|reason| counter!(names::REDIS_ERRORS, "reason" => reason)),
    }
}
