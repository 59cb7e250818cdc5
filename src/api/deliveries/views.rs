//! What lists and timelines of deliveries look like in JSON. Instants are RFC 3339, durations milliseconds.

use serde::Serialize;
use utoipa::ToSchema;

use super::failure::explain;
use crate::domain::{Attempt, AttemptOrigin, Delivery, Phases, Timestamp, WaitReason};
use crate::engine::WebhookStatus;
use crate::policy::CircuitState;

/// A page of deliveries.
#[derive(Serialize, ToSchema, Debug)]
pub struct DeliveryPage {
    pub deliveries: Vec<DeliveryView>,
    /// Give it as `before` to get the next page; null on the last one.
    pub next: Option<String>,
}

/// A delivery in a list.
#[derive(Serialize, ToSchema, Debug)]
#[serde(rename_all = "camelCase")]
pub struct DeliveryView {
    /// The id of the event, which receivers see as `webhook-id`.
    pub delivery_id: String,
    pub webhook_id: String,
    /// The kind's wire name.
    pub event: &'static str,
    /// pending | retrying | delivered | dead | superseded | cancelled
    pub status: &'static str,
    /// Why it is dead: exhausted | gave_up | gone | undeliverable.
    pub dead_reason: Option<&'static str>,
    #[schema(format = DateTime)]
    pub accepted_at: String,
    #[schema(format = DateTime)]
    pub next_attempt_at: Option<String>,
    #[schema(format = DateTime)]
    pub finished_at: Option<String>,
    pub last_attempt: Option<AttemptView>,
}

impl DeliveryView {
    #[must_use]
    pub fn of(delivery: &Delivery) -> Self {
        Self {
            delivery_id: delivery.event.to_string(),
            webhook_id: delivery.webhook.to_string(),
            event: delivery.kind.wire(),
            status: delivery.status.as_str(),
            dead_reason: delivery.dead_reason.map(crate::domain::DeadReason::as_str),
            accepted_at: delivery.event.timestamp().to_rfc3339(),
            next_attempt_at: delivery.next_attempt_at.map(Timestamp::to_rfc3339),
            finished_at: delivery.finished_at.map(Timestamp::to_rfc3339),
            last_attempt: delivery.attempts.last().map(AttemptView::of),
        }
    }
}

/// One HTTP request and how it ended.
#[derive(Serialize, ToSchema, Debug)]
#[serde(rename_all = "camelCase")]
pub struct AttemptView {
    /// Counts from 1.
    pub number: u16,
    /// first | retry | manual | replay | test
    pub origin: &'static str,
    #[schema(format = DateTime)]
    pub due_at: String,
    #[schema(format = DateTime)]
    pub started_at: String,
    /// What held it back between being due and starting: none | window | throttled | circuit_open | order | paused.
    pub waited_for: &'static str,
    /// From `dueAt` to `startedAt`.
    pub waited_ms: u64,
    pub success: bool,
    /// The status of the answer; null when none came.
    pub status: Option<u16>,
    pub failure: Option<FailureView>,
    /// What the receiver asked for with a 429 or 503.
    pub retry_after_seconds: Option<u32>,
    /// The first bytes of the answer's body as text; bytes that are no text are shown as U+FFFD.
    pub response: String,
    pub phases: PhasesView,
}

/// Why an attempt failed.
#[derive(Serialize, ToSchema, Debug)]
pub struct FailureView {
    /// Stable: never renamed.
    pub code: &'static str,
    /// What the code means.
    pub text: &'static str,
    /// What was seen this time.
    pub detail: String,
}

/// Milliseconds spent in each phase; null where it did not happen, as on a connection that was kept alive.
#[derive(Serialize, ToSchema, Debug)]
#[serde(rename_all = "camelCase")]
pub struct PhasesView {
    pub dns_ms: Option<f64>,
    pub connect_ms: Option<f64>,
    pub tls_ms: Option<f64>,
    pub first_byte_ms: Option<f64>,
    pub total_ms: f64,
    pub connection_reused: bool,
}

impl AttemptView {
    #[must_use]
    pub fn of(attempt: &Attempt) -> Self {
        let outcome = &attempt.outcome;
        Self {
            number: attempt.number,
            origin: origin(attempt.origin),
            due_at: attempt.due_at.to_rfc3339(),
            started_at: attempt.started_at.to_rfc3339(),
            waited_for: wait(attempt.waited_for),
            waited_ms: attempt.started_at.millis().saturating_sub(attempt.due_at.millis()),
            success: outcome.is_success(),
            status: (outcome.status != 0).then_some(outcome.status),
            failure: outcome.failure.as_ref().map(|failure| FailureView {
                code: failure.code.as_str(),
                text: explain(failure.code),
                detail: failure.detail.to_string(),
            }),
            retry_after_seconds: outcome.retry_after_s,
            response: String::from_utf8_lossy(&outcome.snippet).into_owned(),
            phases: PhasesView::of(outcome.phases),
        }
    }
}

impl PhasesView {
    fn of(phases: Phases) -> Self {
        let ms = |us: u32| f64::from(us) / 1000.0;
        let happened = |us: u32| (us > 0).then(|| ms(us));
        Self {
            dns_ms: happened(phases.dns_us),
            connect_ms: happened(phases.connect_us),
            tls_ms: happened(phases.tls_us),
            first_byte_ms: happened(phases.first_byte_us),
            total_ms: ms(phases.total_us),
            connection_reused: phases.reused,
        }
    }
}

/// What the webhook's gate looks like now.
#[derive(Serialize, ToSchema, Debug)]
#[serde(rename_all = "camelCase")]
pub struct GateView {
    /// closed | open | probing; null when nothing has been due since the process started.
    pub circuit: Option<&'static str>,
    pub in_flight: u32,
    /// The most requests in flight that are allowed now.
    pub window: u32,
    pub waiting_in_memory: u32,
    /// Keys (chats) whose deliveries wait for an earlier one.
    pub blocked_keys: u32,
    #[schema(format = DateTime)]
    pub next_due_at: Option<String>,
    #[schema(format = DateTime)]
    pub last_success_at: Option<String>,
    #[schema(format = DateTime)]
    pub last_failure_at: Option<String>,
}

impl GateView {
    #[must_use]
    pub fn of(status: &WebhookStatus) -> Self {
        Self {
            circuit: status.circuit.map(circuit),
            in_flight: status.in_flight,
            window: status.window,
            waiting_in_memory: status.waiting_in_memory,
            blocked_keys: status.blocked_keys,
            next_due_at: status.next_due_at.map(Timestamp::to_rfc3339),
            last_success_at: status.last_success_at.map(Timestamp::to_rfc3339),
            last_failure_at: status.last_failure_at.map(Timestamp::to_rfc3339),
        }
    }
}

const fn origin(origin: AttemptOrigin) -> &'static str {
    match origin {
        AttemptOrigin::First => "first",
        AttemptOrigin::Retry => "retry",
        AttemptOrigin::Manual => "manual",
        AttemptOrigin::Replay => "replay",
        AttemptOrigin::Test => "test",
    }
}

pub(super) const fn circuit(state: CircuitState) -> &'static str {
    match state {
        CircuitState::Closed => "closed",
        CircuitState::Open => "open",
        CircuitState::Probing => "probing",
    }
}

pub(super) const fn wait(reason: WaitReason) -> &'static str {
    match reason {
        WaitReason::None => "none",
        WaitReason::Window => "window",
        WaitReason::Throttled => "throttled",
        WaitReason::CircuitOpen => "circuit_open",
        WaitReason::Order => "order",
        WaitReason::Paused => "paused",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{FailureCode, Outcome};

    #[test]
    fn an_attempt_without_an_answer_has_no_status_and_shows_only_the_phases_it_had() {
        let phases = Phases { dns_us: 1_500, total_us: 2_000, ..Phases::default() };
        let attempt = Attempt {
            number: 2,
            origin: AttemptOrigin::Retry,
            due_at: Timestamp::from_millis(1_000),
            started_at: Timestamp::from_millis(1_250),
            waited_for: WaitReason::Throttled,
            outcome: Outcome::failed(FailureCode::ConnectFailed, "refused", phases),
        };
        let json = serde_json::to_value(AttemptView::of(&attempt)).unwrap();
        assert_eq!(json["status"], serde_json::Value::Null);
        assert_eq!(json["waitedMs"], 250);
        assert_eq!(json["waitedFor"], "throttled");
        assert_eq!(json["failure"]["code"], "connect_failed");
        assert_eq!(json["phases"]["dnsMs"], 1.5);
        assert_eq!(json["phases"]["connectMs"], serde_json::Value::Null);
    }

    #[test]
    fn a_response_that_is_no_text_is_still_shown() {
        let mut outcome = Outcome::failed(FailureCode::Status, "500", Phases::default());
        outcome.snippet = bytes::Bytes::from_static(b"a\xffb");
        let at = Timestamp::from_millis(0);
        let attempt = Attempt {
            number: 1,
            origin: AttemptOrigin::First,
            due_at: at,
            started_at: at,
            waited_for: WaitReason::None,
            outcome,
        };
        assert_eq!(AttemptView::of(&attempt).response, "a\u{fffd}b");
    }
}
