//! "Explain this delivery": every decision about one delivery in the order it fell, from acceptance to what comes next.

use serde::Serialize;
use utoipa::ToSchema;

use super::views::{AttemptView, GateView, wait};
use crate::domain::{Delivery, Timestamp, WaitReason};
use crate::engine::WebhookStatus;
use crate::store::{HeldBack, Timeline};

/// All that is known of one delivery.
#[derive(Serialize, ToSchema, Debug)]
#[serde(rename_all = "camelCase")]
pub struct TimelineView {
    pub delivery_id: String,
    pub webhook_id: String,
    pub instance_id: String,
    /// The kind's wire name.
    pub event: &'static str,
    /// The id that the caller gave.
    pub client_id: Option<String>,
    /// The chat the event is about.
    pub chat: Option<String>,
    #[schema(format = DateTime)]
    pub occurred_at: Option<String>,
    /// The size of `data`.
    pub data_bytes: usize,
    /// pending | retrying | delivered | dead | superseded | cancelled; `held_back` when the event was not owed to the webhook.
    pub status: &'static str,
    pub dead_reason: Option<&'static str>,
    #[schema(format = DateTime)]
    pub next_attempt_at: Option<String>,
    pub timeline: Vec<Step>,
    /// The webhook's gate at the time of this answer: why a due delivery may still wait.
    pub gate: GateView,
}

/// One line of the timeline.
#[derive(Serialize, ToSchema, Debug)]
#[serde(tag = "step", rename_all = "snake_case", rename_all_fields = "camelCase")]
pub enum Step {
    /// The event was made durable.
    Accepted {
        #[schema(format = DateTime)]
        at: String,
    },
    /// A rule of the webhook kept the event from it; nothing follows.
    HeldBack {
        #[schema(format = DateTime)]
        at: String,
        /// disabled | flag | ignoreGroups | ignoreStatus | ignoreNewsletters | ignoreChats | onlyChats | onlyConnections | format
        rule: &'static str,
    },
    /// It was due and had to wait.
    Waited {
        #[schema(format = DateTime)]
        at: String,
        #[schema(format = DateTime)]
        until: String,
        /// window | throttled | circuit_open | order | paused
        reason: &'static str,
    },
    Attempted {
        #[schema(format = DateTime)]
        at: String,
        attempt: Box<AttemptView>,
    },
    /// It has ended, as `status` tells.
    Finished {
        #[schema(format = DateTime)]
        at: String,
        status: &'static str,
        reason: Option<&'static str>,
    },
    /// What comes next.
    NextAttempt {
        #[schema(format = DateTime)]
        at: String,
    },
}

impl TimelineView {
    #[must_use]
    pub fn of(webhook_id: String, known: &Timeline, gate: &WebhookStatus) -> Self {
        let event = &known.event;
        let delivery = known.delivery.as_ref();
        Self {
            delivery_id: event.id.to_string(),
            webhook_id,
            instance_id: event.instance.to_string(),
            event: event.kind.wire(),
            client_id: event.client_id.as_deref().map(Into::into),
            chat: event.chat.as_ref().map(|chat| chat.jid.to_string()),
            occurred_at: event.occurred_at.map(Timestamp::to_rfc3339),
            data_bytes: event.data.len(),
            status: delivery.map_or("held_back", |delivery| delivery.status.as_str()),
            dead_reason: dead_reason(delivery),
            next_attempt_at: delivery.and_then(|delivery| delivery.next_attempt_at).map(Timestamp::to_rfc3339),
            timeline: steps(known),
            gate: GateView::of(gate),
        }
    }
}

fn dead_reason(delivery: Option<&Delivery>) -> Option<&'static str> {
    delivery.and_then(|delivery| delivery.dead_reason).map(crate::domain::DeadReason::as_str)
}

fn steps(known: &Timeline) -> Vec<Step> {
    let accepted = known.event.accepted_at.to_rfc3339();
    let mut steps = vec![Step::Accepted { at: accepted.clone() }];
    if let Some(rule) = known.held_back {
        steps.push(Step::HeldBack { at: accepted, rule: rule_name(rule) });
    }
    let Some(delivery) = &known.delivery else { return steps };
    for attempt in &delivery.attempts {
        let (due, started) = (attempt.due_at.to_rfc3339(), attempt.started_at.to_rfc3339());
        if attempt.waited_for != WaitReason::None {
            steps.push(Step::Waited { at: due, until: started.clone(), reason: wait(attempt.waited_for) });
        }
        steps.push(Step::Attempted { at: started, attempt: Box::new(AttemptView::of(attempt)) });
    }
    if let Some(at) = delivery.finished_at {
        let (status, reason) = (delivery.status.as_str(), dead_reason(Some(delivery)));
        steps.push(Step::Finished { at: at.to_rfc3339(), status, reason });
    }
    if let Some(at) = delivery.next_attempt_at {
        steps.push(Step::NextAttempt { at: at.to_rfc3339() });
    }
    steps
}

const fn rule_name(rule: HeldBack) -> &'static str {
    match rule {
        HeldBack::Disabled => "disabled",
        HeldBack::Flag => "flag",
        HeldBack::IgnoreGroups => "ignoreGroups",
        HeldBack::IgnoreStatus => "ignoreStatus",
        HeldBack::IgnoreNewsletters => "ignoreNewsletters",
        HeldBack::IgnoreChats => "ignoreChats",
        HeldBack::OnlyChats => "onlyChats",
        HeldBack::OnlyConnections => "onlyConnections",
        HeldBack::Format => "format",
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::domain::{
        Attempt, AttemptOrigin, DeadReason, DeliveryStatus, Event, EventId, EventKind, FailureCode, InstanceId,
        Outcome, Phases, WebhookId,
    };

    fn event() -> Arc<Event> {
        Arc::new(Event {
            id: EventId::first_at(Timestamp::from_millis(1_000)),
            instance: InstanceId::new("loja").unwrap(),
            kind: EventKind::MessagesUpsert,
            data: bytes::Bytes::from_static(b"{}"),
            client_id: None,
            accepted_at: Timestamp::from_millis(1_000),
            occurred_at: None,
            chat: None,
            traceparent: None,
        })
    }

    fn names(view: &TimelineView) -> Vec<String> {
        let json = serde_json::to_value(&view.timeline).unwrap();
        json.as_array().unwrap().iter().map(|step| step["step"].as_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn an_event_that_a_rule_held_back_says_which() {
        let known = Timeline { event: event(), delivery: None, held_back: Some(HeldBack::OnlyConnections) };
        let view = TimelineView::of("w".into(), &known, &WebhookStatus::default());
        assert_eq!(view.status, "held_back");
        assert_eq!(names(&view), ["accepted", "held_back"]);
        assert_eq!(serde_json::to_value(&view.timeline[1]).unwrap()["rule"], "onlyConnections");
    }

    #[test]
    fn rule_names_are_the_names_that_settings_have() {
        for rule in [HeldBack::Disabled, HeldBack::Flag, HeldBack::IgnoreGroups, HeldBack::OnlyChats] {
            assert_eq!(serde_json::to_value(rule).unwrap(), rule_name(rule));
        }
    }

    #[test]
    fn waits_attempts_and_the_end_stand_in_order() {
        let attempt = |number, waited_for| Attempt {
            number,
            origin: AttemptOrigin::First,
            due_at: Timestamp::from_millis(2_000),
            started_at: Timestamp::from_millis(3_000),
            waited_for,
            outcome: Outcome::failed(FailureCode::Timeout, "15 s", Phases::default()),
        };
        let delivery = Delivery {
            event: event().id,
            webhook: WebhookId::from_u128(1),
            kind: EventKind::MessagesUpsert,
            status: DeliveryStatus::Dead,
            dead_reason: Some(DeadReason::Exhausted),
            next_attempt_at: None,
            finished_at: Some(Timestamp::from_millis(9_000)),
            attempts: vec![attempt(1, WaitReason::None), attempt(2, WaitReason::CircuitOpen)],
        };
        let known = Timeline { event: event(), delivery: Some(delivery), held_back: None };
        let view = TimelineView::of("w".into(), &known, &WebhookStatus::default());
        assert_eq!(names(&view), ["accepted", "attempted", "waited", "attempted", "finished"]);
        assert_eq!(view.dead_reason, Some("exhausted"));
    }
}
