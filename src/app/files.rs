//! File descriptors: every connection is one. The limit is raised as far as this process may, and what is left is divided
//! so that a rush of receivers leaves enough for the API and the store.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Below this the division hurts.
const FEW: u64 = 1_024;
/// Kept for callers and the store, where the limit allows it.
const KEPT_BACK: u64 = 256;

/// Raises the soft limit to the hard one; answers how many sockets to receivers there may be.
pub(super) fn sockets_for_receivers() -> usize {
    let found = getrlimit(Resource::Nofile);
    let raised = setrlimit(Resource::Nofile, Rlimit { current: found.maximum, maximum: found.maximum });
    let limit = if raised.is_ok() { found.maximum } else { found.current };
    if let Some(limit) = limit.filter(|limit| *limit < FEW) {
        tracing::warn!(limit, "few open files are allowed: receivers wait for each other; raise it (`ulimit -Hn`)");
    }
    limit.map_or(usize::MAX, |limit| usize::try_from(share(limit)).unwrap_or(usize::MAX))
}

fn share(limit: u64) -> u64 {
    let kept_back = (limit / 4).max(KEPT_BACK).min(limit / 2);
    (limit - kept_back).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quarter_is_kept_back_and_more_where_there_are_few() {
        assert_eq!([64, 256, 1_024, 65_536].map(share), [32, 128, 768, 49_152]);
        assert_eq!([0, 1].map(share), [1, 1]);
    }
}
