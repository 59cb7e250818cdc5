//! One attempt as a task: fetch the event if it is not in memory, render, sign, send, report.
//!
//! Whatever happens to the task, its report is sent: the flight's drop tells the actor that it died, so that no permit is lost.

use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::Addr;
use http::HeaderValue;

use super::carried::Carried;
use super::core::Airborne;
use super::room::Room;
use super::runway::Place;
use super::webhook::{Finished, WebhookActor};
use crate::domain::{
    Attempt, AttemptOrigin, FailureCode, LaneEntry, Outcome, Phases, ShardId, Timestamp, WaitReason, Webhook,
};
use crate::format::{self, Sender, Signer};
use crate::policy::Permit;
use crate::store::{Next, Settle};
use crate::telemetry::traces;
use crate::transport::{AttemptHeaders, Endpoint};

/// What an attempt carries with it.
#[derive(Debug)]
pub(super) struct Flight {
    pub(super) room: Rc<Room>,
    pub(super) actor: Addr<WebhookActor>,
    pub(super) entry: LaneEntry,
    pub(super) carried: Option<Arc<Carried>>,
    /// Given back with the report.
    pub(super) permit: Option<Permit>,
    pub(super) place: Place,
    pub(super) config: Arc<Webhook>,
    pub(super) signer: Rc<Signer>,
    pub(super) endpoint: Result<Endpoint, String>,
    /// `None` for a business's webhook, until the event tells its instance.
    pub(super) sender: Option<Rc<Sender>>,
    pub(super) waited_for: WaitReason,
    pub(super) started_at: Timestamp,
    pub(super) started: Instant,
}

/// How a flight ended.
#[derive(Debug)]
pub(super) enum Landing {
    /// A request was made, or failed on its way.
    Answered(Outcome),
    /// There is nothing to send and never will be.
    Undeliverable(String),
    /// The store could not be read: try again soon, this was no attempt.
    StoreAway,
}

pub(super) fn spawn(mut flight: Flight) {
    flight.room.core.shards.took_off(ShardId::of_webhook(flight.entry.webhook));
    actix::spawn(async move {
        let landing = flight.fly().await;
        flight.report(landing);
    });
}

impl Flight {
    async fn fly(&mut self) -> Landing {
        let (carried, signed_at) = match self.carried.take() {
            Some(carried) => (carried, self.started_at),
            // Reading it may take its time.
            None => match Box::pin(self.fetch()).await {
                Ok(carried) => (carried, self.room.core.clock.wall()),
                Err(landing) => return landing,
            },
        };
        let event = &carried.event;
        let own = self.sender.take();
        let tells_by_attempt = own.is_none();
        let Some(sender) = own.or_else(|| self.room.sender(&event.instance)) else {
            return Landing::Undeliverable("the event's instance was deleted".into());
        };
        let body = match carried.body(self.config.format, &sender) {
            Ok(body) => body,
            Err(no_body) => return Landing::Undeliverable(no_body.to_string()),
        };
        let endpoint = match &self.endpoint {
            Ok(endpoint) => endpoint,
            Err(problem) => {
                let blocked = Outcome::failed(FailureCode::AddressBlocked, problem.as_str(), Phases::default());
                return Landing::Answered(blocked);
            }
        };
        let core = &self.room.core;
        let is_traced = core.config.send_traceparent || core.tracer.is_some();
        let told = event.traceparent.as_deref().filter(|_| is_traced);
        let span = told.and_then(traces::Place::parse).map(|place| (place, traces::span_id()));
        let sent_on = span.filter(|_| core.config.send_traceparent);
        let traceparent = sent_on.and_then(|(place, span)| HeaderValue::try_from(place.below(span)).ok());
        let attempt_headers = AttemptHeaders {
            id: format::id_header(event.id),
            timestamp: HeaderValue::from(signed_at.seconds()),
            signature: self.signer.sign(event.id, signed_at, body),
            attempt: self.entry.attempts.saturating_add(1),
            traceparent,
            sender: tells_by_attempt.then(|| Box::new(format::static_headers(&self.config, &sender))),
        };
        let outcome = endpoint.post(&attempt_headers, body, self.config.timeout()).await;
        if let (Some(tracer), Some(span)) = (&core.tracer, span) {
            let number = self.entry.attempts.saturating_add(1);
            tracer.attempt(span, self.config.id, self.entry.event, number, &outcome);
        }
        // Until here, so that the budget counts what is in flight.
        drop(carried);
        Landing::Answered(outcome)
    }

    async fn fetch(&self) -> Result<Arc<Carried>, Landing> {
        if let Some(carried) = self.room.shelf.get(self.entry.event) {
            return Ok(carried);
        }
        let budget = &self.room.core.budget;
        let room = budget.room_to_fetch(self.entry.data_bytes).await;
        match self.room.core.store.events(vec![self.entry.event]).await {
            Ok(mut found) => match found.pop().flatten() {
                Some(event) => Ok(Carried::fetched(event, budget, room)),
                None => Err(Landing::Undeliverable("the event is past its retention".into())),
            },
            Err(error) => {
                self.room.core.meters.read_errors.increment(1);
                tracing::warn!(webhook = %self.config.id, event = %self.entry.event, %error, cause = "store", "an event could not be read");
                Err(Landing::StoreAway)
            }
        }
    }

    /// Tells the actor, or, when it is gone, the store that a success must not be repeated.
    fn report(&mut self, landing: Landing) {
        let Some(permit) = self.permit.take() else { return };
        let airborne = Airborne::of(&self.room.core, self.entry.webhook_id());
        if !self.actor.connected() {
            let Landing::Answered(outcome) = landing else { return };
            let landed_at = self.room.core.clock.wall();
            let core = &self.room.core;
            core.meters.attempt(self.entry.origin, &outcome);
            if outcome.is_success() {
                // Of a deleted webhook it counts as cancelled.
                if core.directory.webhook(self.config.id).is_some() {
                    core.meters.delivered(&self.entry, landed_at.since(self.entry.event.timestamp()));
                }
                let attempt = self.attempt(outcome);
                self.room.settle(Settle {
                    entry: self.entry,
                    attempt: Some(attempt),
                    next: Next::Delivered,
                    at: landed_at,
                });
            }
            return;
        }
        self.actor.do_send(Finished {
            event: self.entry.event,
            permit,
            airborne,
            landing,
            tick: self.place.tick,
            waited_for: self.waited_for,
            started_at: self.started_at,
            took: self.room.core.clock.mono().duration_since(self.started),
        });
    }

    fn attempt(&self, outcome: Outcome) -> Attempt {
        describe(&self.entry, self.started_at, self.waited_for, outcome)
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        let died = || Outcome::failed(FailureCode::Internal, "the attempt's task died", Phases::default());
        self.report(Landing::Answered(died()));
    }
}

/// The line of the timeline for one attempt of `entry`.
pub(super) fn describe(entry: &LaneEntry, started_at: Timestamp, waited_for: WaitReason, outcome: Outcome) -> Attempt {
    let origin = match entry.origin {
        AttemptOrigin::First if entry.attempts > 0 => AttemptOrigin::Retry,
        origin => origin,
    };
    Attempt { number: entry.attempts.saturating_add(1), origin, due_at: entry.due, started_at, waited_for, outcome }
}

/// After the store could not be read: try the delivery again after this.
pub(super) const STORE_AWAY: Duration = Duration::from_secs(1);
