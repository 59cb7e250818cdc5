//! What follows from an attempt's end: the settlement, the next of its key, the state of the webhook.

use std::sync::Arc;
use std::time::Duration;

use actix::{Context, Handler, Message};

use super::WebhookActor;
use crate::domain::{
    AttemptOrigin, DeadReason, DisabledReason, EventId, Failure, FailureCode, LaneClass, LaneEntry, Outcome, Timestamp,
    WaitReason,
};
use crate::engine::attempt::{self, Landing};
use crate::engine::core::Airborne;
use crate::engine::lane::Waiting;
use crate::policy::{Permit, Verdict, classify, next_attempt};
use crate::store::{Next, Settle};

/// An attempt has ended.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(in crate::engine) struct Finished {
    pub(in crate::engine) event: EventId,
    pub(in crate::engine) permit: Permit,
    /// Given up when the message has been handled, or thrown away with its actor.
    pub(in crate::engine) airborne: Airborne,
    pub(in crate::engine) landing: Landing,
    /// Of its place on the runway.
    pub(in crate::engine) tick: u32,
    pub(in crate::engine) waited_for: WaitReason,
    pub(in crate::engine) started_at: Timestamp,
    pub(in crate::engine) took: Duration,
}

impl Handler<Finished> for WebhookActor {
    type Result = ();

    fn handle(&mut self, finished: Finished, ctx: &mut Context<Self>) {
        let entry = self.lane.landed(finished.event);
        self.presence.landed(finished.started_at);
        self.stand.landed(finished.tick);
        let (success, counts) = match &finished.landing {
            Landing::Answered(outcome) => (outcome.is_success(), speaks_against_receiver(outcome)),
            Landing::Undeliverable(_) | Landing::StoreAway => (false, false),
        };
        let now = self.room.core.clock.now();
        let mut gate = self.gate.borrow_mut();
        let circuit = gate.circuit();
        gate.finish(finished.permit, success, counts, finished.took, now.mono);
        if gate.circuit() != circuit {
            self.room.core.meters.circuit(gate.circuit());
        }
        drop(gate);
        if let Some(entry) = entry {
            self.flying_bytes = self.flying_bytes.saturating_sub(u64::from(entry.data_bytes));
            match finished.landing {
                Landing::Answered(outcome) => {
                    self.answered(entry, outcome, finished.waited_for, finished.started_at, now.wall);
                }
                Landing::Undeliverable(problem) => {
                    self.undeliverable(&entry, &problem, finished.started_at, now.wall);
                }
                Landing::StoreAway => self.again_soon(entry, now.wall),
            }
        }
        drop(finished.airborne);
        self.turn_at(now, ctx);
    }
}

/// A receiver that answers 4xx is there and well: only the delivery is not to its taste. Time-outs, 429 and 5xx mean that it is not.
fn speaks_against_receiver(outcome: &Outcome) -> bool {
    match outcome.failure.as_ref().map(|failure| failure.code) {
        None | Some(FailureCode::Internal) => false,
        Some(FailureCode::Status) => matches!(outcome.status, 408 | 425 | 429 | 500..=599),
        Some(_) => true,
    }
}

impl WebhookActor {
    fn answered(
        &mut self,
        entry: LaneEntry,
        outcome: Outcome,
        waited_for: WaitReason,
        started_at: Timestamp,
        at: Timestamp,
    ) {
        if let Some(Failure { code, detail }) = &outcome.failure {
            let (webhook, cause) = (self.config.id, code.as_str());
            tracing::warn!(%webhook, cause, status = outcome.status, %detail, "an attempt failed");
        }
        let verdict = classify(&outcome, &self.config.retry);
        let core = Arc::clone(&self.room.core);
        let meters = &core.meters;
        meters.attempt(entry.origin, &outcome);
        self.presence.stats_mut().attempt(&outcome, at);
        self.note_health(&outcome, at);
        let next = match verdict {
            Verdict::Delivered => {
                meters.delivered(&entry, at.since(entry.event.timestamp()));
                Next::Delivered
            }
            Verdict::Dead(reason) => Next::Dead(reason),
            Verdict::Gone => {
                self.disable(DisabledReason::Gone);
                Next::Dead(DeadReason::Gone)
            }
            Verdict::Retry { not_before } => self.retry(entry, not_before, at),
        };
        let attempt = attempt::describe(&entry, started_at, waited_for, outcome);
        if let Next::Dead(reason) = next {
            self.room.core.meters.dead(reason);
        }
        if let Next::Move(retry) = next {
            self.lane.retry_later(Waiting { entry: retry, carried: None });
        } else {
            self.lane.release(&entry);
        }
        self.room.settle(Settle { entry, attempt: Some(attempt), next, at });
    }

    fn retry(&self, entry: LaneEntry, not_before: Option<Duration>, at: Timestamp) -> Next {
        let round_attempts = entry.round_attempts.saturating_add(1);
        let limits = &self.room.core.config.retry;
        match next_attempt(&self.config.retry, limits, round_attempts, not_before, fastrand::f64()) {
            None => Next::Dead(DeadReason::Exhausted),
            Some(delay) => Next::Move(LaneEntry {
                class: LaneClass::Retry,
                due: at.after(delay),
                origin: AttemptOrigin::Retry,
                attempts: entry.attempts.saturating_add(1),
                round_attempts,
                ..entry
            }),
        }
    }

    fn undeliverable(&mut self, entry: &LaneEntry, problem: &str, started_at: Timestamp, at: Timestamp) {
        tracing::warn!(webhook = %self.config.id, event = %entry.event, cause = "undeliverable", problem, "a delivery has nothing to send; it is a dead letter");
        let outcome = Outcome::failed(FailureCode::Internal, problem, crate::domain::Phases::default());
        let attempt = attempt::describe(entry, started_at, WaitReason::None, outcome);
        self.lane.release(entry);
        self.room.core.meters.dead(DeadReason::Undeliverable);
        let next = Next::Dead(DeadReason::Undeliverable);
        self.room.settle(Settle { entry: *entry, attempt: Some(attempt), next, at });
    }

    /// Nothing was sent and nothing is known to be wrong with the delivery: it keeps its attempts and comes back.
    fn again_soon(&mut self, entry: LaneEntry, at: Timestamp) {
        let back = LaneEntry { class: LaneClass::Retry, due: at.after(attempt::STORE_AWAY), ..entry };
        self.lane.retry_later(Waiting { entry: back, carried: None });
        self.room.settle(Settle { entry, attempt: None, next: Next::Move(back), at });
    }
}
