//! Events, entries and attempts for the suite: each varies only by what a test names.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use smallvec::smallvec;

use crate::domain::{
    Attempt, AttemptOrigin, Event, EventId, EventKind, Failure, FailureCode, InstanceId, LaneClass, LaneEntry, Outcome,
    Phases, Timestamp, WaitReason, WebhookId,
};
use crate::store::{Append, LaneQuery, Next, Retention, Settle, Store};

pub const HOUR: u64 = 3_600_000;
pub const DAY: u64 = 24 * HOUR;
/// An arbitrary instant the tests start from.
pub const START: u64 = 1_700_000_000_000;

#[must_use]
pub const fn at(millis: u64) -> Timestamp {
    Timestamp::from_millis(START + millis)
}

#[must_use]
pub const fn webhook(number: u128) -> WebhookId {
    WebhookId::from_u128(number)
}

#[must_use]
pub fn instance() -> InstanceId {
    InstanceId::new("shop-1").unwrap()
}

/// The `number`th event of the millisecond `millis` after [`START`].
#[must_use]
pub fn event_id(millis: u64, number: u128) -> EventId {
    EventId::from_u128(EventId::first_at(at(millis)).as_u128() + number)
}

#[must_use]
pub fn event(id: EventId) -> Event {
    Event {
        id,
        instance: instance(),
        kind: EventKind::MessagesUpsert,
        data: Bytes::from(format!("{{\"id\":\"{id}\"}}")),
        client_id: None,
        accepted_at: id.timestamp(),
        occurred_at: None,
        chat: None,
        traceparent: None,
    }
}

/// A first entry, due when the event was accepted.
#[must_use]
pub fn entry(webhook: WebhookId, id: EventId) -> LaneEntry {
    LaneEntry {
        webhook: webhook.as_u128(),
        event: id,
        class: LaneClass::Live,
        due: id.timestamp(),
        kind: EventKind::MessagesUpsert,
        origin: AttemptOrigin::First,
        attempts: 0,
        round_attempts: 0,
        order_key: 0,
        coalesce_key: 0,
        data_bytes: 64,
    }
}

/// An event with these entries.
#[must_use]
pub fn append(event: Event, entries: &[LaneEntry]) -> Append {
    Append {
        event: Arc::new(event),
        entries: entries.iter().copied().collect(),
        held_back: smallvec![],
        messages: smallvec![],
    }
}

/// Stores one plain event for `webhook` and answers its entry.
pub async fn appended(store: &dyn Store, webhook: WebhookId, id: EventId) -> LaneEntry {
    let entry = entry(webhook, id);
    store.append(vec![append(event(id), &[entry])]).await.unwrap();
    entry
}

#[must_use]
pub fn attempt(number: u16, succeeded: bool) -> Attempt {
    let failure = Failure { code: FailureCode::Status, detail: "the receiver answered 503".into() };
    Attempt {
        number,
        origin: if number == 1 { AttemptOrigin::First } else { AttemptOrigin::Retry },
        due_at: at(u64::from(number)),
        started_at: at(u64::from(number) + 1),
        waited_for: WaitReason::None,
        outcome: Outcome {
            status: if succeeded { 200 } else { 503 },
            failure: (!succeeded).then_some(failure),
            retry_after_s: None,
            snippet: Bytes::from_static(b"ok"),
            phases: Phases { total_us: 900, ..Phases::default() },
        },
    }
}

/// The next attempt of `entry` was made and decided `next`.
#[must_use]
pub fn settle(entry: LaneEntry, next: Next) -> Settle {
    let succeeded = next == Next::Delivered;
    Settle { entry, attempt: Some(attempt(entry.attempts + 1, succeeded)), next, at: at(10_000) }
}

/// `entry` after a failed attempt, due again at `due`.
#[must_use]
pub const fn retry_of(entry: LaneEntry, due: Timestamp) -> LaneEntry {
    LaneEntry {
        class: LaneClass::Retry,
        due,
        origin: AttemptOrigin::Retry,
        attempts: entry.attempts + 1,
        round_attempts: entry.round_attempts + 1,
        ..entry
    }
}

#[must_use]
pub const fn part(webhook: WebhookId, class: LaneClass) -> LaneQuery {
    LaneQuery { webhook, class, order_key: 0, after: None, limit: 1_000 }
}

/// A week of history without a bound on its size, thirty days of the rest.
#[must_use]
pub const fn a_week() -> Retention {
    Retention {
        history: Duration::from_millis(7 * DAY),
        history_max_bytes: u64::MAX,
        dead: Duration::from_millis(30 * DAY),
        messages: Duration::from_millis(30 * DAY),
    }
}

/// Runs retention to its end and adds its steps up.
pub async fn retained(store: &dyn Store, now: Timestamp, retention: Retention) -> crate::store::RetentionStep {
    let mut sum = crate::store::RetentionStep::default();
    for _ in 0..10_000 {
        let step = store.retain(now, retention).await.unwrap();
        sum.events += step.events;
        sum.deliveries += step.deliveries;
        sum.dead += step.dead;
        sum.messages += step.messages;
        if !step.more {
            return sum;
        }
    }
    panic!("retention does not end");
}
