//! Retention beside full load: one bounded step at a time, with a rest after each.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::{Duration, Instant};

use metrics::counter;

use crate::domain::Timestamp;
use crate::store::{Retention, RetentionStep, Store, StoreError};
use crate::telemetry::names;

/// While there is more to do: three times as long as the step took, within these. So it takes a quarter of the store's time at most,
/// and still removes as fast as events can come in.
const BETWEEN_STEPS: RangeInclusive<Duration> = Duration::from_millis(5)..=Duration::from_millis(50);
const REST_PER_STEP: u32 = 3;
/// When all is within its time.
const BETWEEN_ROUNDS: Duration = Duration::from_secs(5);

pub(super) async fn run(store: Arc<dyn Store>, retention: Retention) {
    let kinds = ["events", "deliveries", "dead", "messages"];
    let counters = kinds.map(|kind| counter!(names::RETENTION_REMOVED, "kind" => kind));
    let errors = counter!(names::STORE_ERRORS, "operation" => "retain");
    let mut removed = RetentionStep::default();
    loop {
        let began = Instant::now();
        let rest = match store.retain(Timestamp::now(), retention).await {
            Ok(step) => {
                removed.events += step.events;
                removed.deliveries += step.deliveries;
                removed.dead += step.dead;
                removed.messages += step.messages;
                for (counter, count) in counters.iter().zip([step.events, step.deliveries, step.dead, step.messages]) {
                    counter.increment(count);
                }
                if step.more {
                    (began.elapsed() * REST_PER_STEP).clamp(*BETWEEN_STEPS.start(), *BETWEEN_STEPS.end())
                } else {
                    BETWEEN_ROUNDS
                }
            }
            Err(StoreError::Closed) => return,
            Err(error) => {
                errors.increment(1);
                tracing::warn!(%error, "retention could not remove what is past its time; trying again");
                BETWEEN_ROUNDS
            }
        };
        if rest == BETWEEN_ROUNDS && removed != RetentionStep::default() {
            tracing::debug!(?removed, "removed what was past its time");
            removed = RetentionStep::default();
        }
        tokio::time::sleep(rest).await;
    }
}
