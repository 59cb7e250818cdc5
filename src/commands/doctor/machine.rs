//! The machine: its clock and its limits.

use rustix::process::{Resource, getrlimit};

use super::finding::Finding;
use crate::domain::Timestamp;

/// 2025-01-01: before this program was written.
const EARLIEST: Timestamp = Timestamp::from_millis(1_735_689_600_000);
/// 2100-01-01.
const LATEST: Timestamp = Timestamp::from_millis(4_102_444_800_000);
/// A connection a file: a webhook keeps several.
const ENOUGH_FILES: u64 = 65_536;
const TOO_FEW_FILES: u64 = 1_024;

/// Receivers refuse signatures with a timestamp that is minutes off.
pub fn clock(now: Timestamp) -> Finding {
    if now < EARLIEST || now > LATEST {
        let remedy = "set the clock and keep it right with NTP: receivers refuse signatures that are minutes off";
        return Finding::fail("clock", format!("it is not {now}"), remedy);
    }
    Finding::good("clock", now.to_string())
}

pub fn open_files() -> Finding {
    rate_files(getrlimit(Resource::Nofile).current)
}

fn rate_files(limit: Option<u64>) -> Finding {
    let remedy = "raise it: `ulimit -n 65536`, LimitNOFILE= in systemd, --ulimit nofile= in Docker";
    match limit {
        None => Finding::good("open files", "no limit"),
        Some(limit) if limit >= ENOUGH_FILES => Finding::good("open files", format!("up to {limit}")),
        Some(limit) if limit >= TOO_FEW_FILES => {
            Finding::warn("open files", format!("up to {limit}: few for many receivers"), remedy)
        }
        Some(limit) => Finding::fail("open files", format!("only {limit}"), remedy),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::doctor::finding::Level;

    #[test]
    fn an_insane_clock_fails() {
        assert_eq!(clock(Timestamp::from_millis(0)).level, Level::Failure);
        assert_eq!(clock(Timestamp::MAX).level, Level::Failure);
        assert_eq!(clock(Timestamp::now()).level, Level::Good);
    }

    #[test]
    fn few_files_warn_and_very_few_fail() {
        let levels = [Some(256), Some(1_024), Some(1 << 20), None].map(|limit| rate_files(limit).level);
        assert_eq!(levels, [Level::Failure, Level::Warning, Level::Good, Level::Good]);
    }
}
