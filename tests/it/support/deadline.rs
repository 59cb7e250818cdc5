//! Waiting for something to become true, with an end.

use std::fmt::Debug;
use std::time::{Duration, Instant};

/// Between two looks: short beside everything waited for, long beside what a look costs.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Looks until `look` gives `Ok`, and answers it; at the end of `within` fails with the last thing seen.
#[track_caller]
pub fn until<T, E: Debug>(
    what: &str,
    within: Duration,
    mut look: impl AsyncFnMut() -> Result<T, E>,
) -> impl Future<Output = T> {
    let caller = std::panic::Location::caller();
    async move {
        let begun = Instant::now();
        loop {
            match look().await {
                Ok(found) => return found,
                Err(seen) if begun.elapsed() > within => {
                    panic!("{caller}: not within {within:?}: {what}; the last thing seen: {seen:?}")
                }
                Err(_) => tokio::time::sleep(LOOK_EVERY).await,
            }
        }
    }
}

/// As [`until`], for a condition: `look` answers whether it holds and what was seen.
#[track_caller]
pub fn until_true<E: Debug>(
    what: &str,
    within: Duration,
    mut look: impl AsyncFnMut() -> (bool, E),
) -> impl Future<Output = ()> {
    until(what, within, async move || match look().await {
        (true, _) => Ok(()),
        (false, seen) => Err(seen),
    })
}

/// Runs `work`, which must end by itself before `within`.
pub async fn at_most<T>(what: &str, within: Duration, work: impl Future<Output = T>) -> T {
    let done = tokio::time::timeout(within, work).await;
    done.unwrap_or_else(|_| panic!("not within {within:?}: {what}"))
}
