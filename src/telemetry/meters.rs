//! Handles of the engine's metrics, looked up once: recording on the hot path is an atomic add. All series of counters exist from
//! the start, so that the first of a kind is seen as a rise and not as a new line.

use std::time::Duration;

use metrics::{Counter, Histogram, counter, histogram};

use super::names;
use crate::domain::{
    AttemptOrigin, DeadReason, DisabledReason, EventKind, FailureCode, LaneEntry, Outcome, Phases, WaitReason,
};
use crate::policy::CircuitState;

const ORIGINS: [(AttemptOrigin, &str); 5] = [
    (AttemptOrigin::First, "first"),
    (AttemptOrigin::Retry, "retry"),
    (AttemptOrigin::Manual, "manual"),
    (AttemptOrigin::Replay, "replay"),
    (AttemptOrigin::Test, "test"),
];
const WAITS: [(WaitReason, &str); 6] = [
    (WaitReason::None, "none"),
    (WaitReason::Window, "window"),
    (WaitReason::Throttled, "throttled"),
    (WaitReason::CircuitOpen, "circuit_open"),
    (WaitReason::Order, "order"),
    (WaitReason::Paused, "paused"),
];
const PHASES: [&str; 7] = ["dns", "connect", "tls", "write", "first_byte", "body", "total"];
const CLASSES: [&str; 5] = ["2xx", "3xx", "4xx", "429", "5xx"];
const REFUSALS: [&str; 9] =
    ["invalid", "too_large", "unsupported", "crowded", "unknown_instance", "backlog", "busy", "shutting_down", "store"];
const DISABLED: [DisabledReason; 3] = [DisabledReason::Gone, DisabledReason::FailingTooLong, DisabledReason::Faulted];
const CIRCUITS: [CircuitState; 3] = [CircuitState::Open, CircuitState::Probing, CircuitState::Closed];

/// See `names` for what each is.
#[derive(Debug)]
#[expect(missing_docs, reason = "each is the metric of its name")]
pub struct Meters {
    pub accepted: Counter,
    pub duplicates: Counter,
    pub refused_events: Counter,
    pub ingest_seconds: Histogram,
    pub commit_seconds: Histogram,
    pub commit_events: Histogram,
    pub append_errors: Counter,
    pub read_errors: Counter,
    pub delivery_seconds: Histogram,
    pub delivered: Counter,
    pub cancelled: Counter,
    pub instance_restarts: Counter,
    pub webhook_restarts: Counter,
    refused: [Counter; REFUSALS.len()],
    superseded: Counter,
    superseded_qrcode: Counter,
    superseded_presence: Counter,
    dead: [(DeadReason, Counter); 4],
    disabled: [(DisabledReason, Counter); DISABLED.len()],
    /// By origin, then success or failure code.
    attempts: Vec<Vec<Counter>>,
    answers: [Counter; CLASSES.len()],
    phases: [Histogram; PHASES.len()],
    opened: Counter,
    reused: Counter,
    unconnected: Counter,
    lag: [Histogram; WAITS.len()],
    circuits: [(CircuitState, Counter); CIRCUITS.len()],
}

impl Default for Meters {
    fn default() -> Self {
        let ended = |result: &'static str| counter!(names::DELIVERIES, "result" => result);
        let dead = [DeadReason::Exhausted, DeadReason::GaveUp, DeadReason::Gone, DeadReason::Undeliverable];
        let attempts = |origin: &'static str| {
            let of = |outcome: &'static str| counter!(names::ATTEMPTS, "outcome" => outcome, "origin" => origin);
            std::iter::once("success").chain(FailureCode::ALL.iter().map(|code| code.as_str())).map(of).collect()
        };
        let connections = |how: &'static str| counter!(names::CONNECTIONS, "how" => how);
        let events = |result: &'static str| counter!(names::EVENTS, "result" => result);
        let errors = |operation: &'static str| counter!(names::STORE_ERRORS, "operation" => operation);
        let superseded = |reason: &'static str| counter!(names::SUPERSEDED, "reason" => reason);
        let restarts = |kind: &'static str| counter!(names::ACTOR_RESTARTS, "kind" => kind);
        Self {
            accepted: events("accepted"),
            duplicates: events("duplicate"),
            refused_events: events("refused"),
            ingest_seconds: histogram!(names::INGEST_SECONDS),
            commit_seconds: histogram!(names::COMMIT_SECONDS),
            commit_events: histogram!(names::COMMIT_EVENTS),
            append_errors: errors("append"),
            read_errors: errors("read"),
            delivery_seconds: histogram!(names::DELIVERY_SECONDS),
            delivered: ended("delivered"),
            cancelled: ended("cancelled"),
            instance_restarts: restarts("instance"),
            webhook_restarts: restarts("webhook"),
            refused: REFUSALS.map(|reason| counter!(names::INGEST_REFUSED, "reason" => reason)),
            superseded: ended("superseded"),
            superseded_qrcode: superseded("qrcode"),
            superseded_presence: superseded("presence"),
            dead: dead.map(|reason| (reason, ended(reason.as_str()))),
            disabled: DISABLED.map(|why| (why, counter!(names::WEBHOOKS_DISABLED, "reason" => why.as_str()))),
            attempts: ORIGINS.iter().map(|(_, origin)| attempts(origin)).collect(),
            answers: CLASSES.map(|class| counter!(names::ANSWERS, "class" => class)),
            phases: PHASES.map(|phase| histogram!(names::ATTEMPT_SECONDS, "phase" => phase)),
            opened: connections("opened"),
            reused: connections("reused"),
            unconnected: connections("failed"),
            lag: WAITS.map(|(_, reason)| histogram!(names::LAG_SECONDS, "reason" => reason)),
            circuits: CIRCUITS.map(|state| (state, counter!(names::BREAKER_TRANSITIONS, "to" => circuit_name(state)))),
        }
    }
}

/// As labels and in the API.
#[must_use]
pub const fn circuit_name(state: CircuitState) -> &'static str {
    match state {
        CircuitState::Closed => "closed",
        CircuitState::Open => "open",
        CircuitState::Probing => "probing",
    }
}

impl Meters {
    pub fn attempt(&self, origin: AttemptOrigin, outcome: &Outcome) {
        let row = ORIGINS.iter().position(|(known, _)| *known == origin).unwrap_or(0);
        let code = outcome.failure.as_ref().map(|failure| failure.code);
        let column = code.map_or(0, |code| 1 + FailureCode::ALL.iter().position(|known| *known == code).unwrap_or(0));
        self.attempts[row][column].increment(1);
        match outcome.status {
            200..=299 => self.answers[0].increment(1),
            300..=399 => self.answers[1].increment(1),
            429 => self.answers[3].increment(1),
            400..=499 => self.answers[2].increment(1),
            500.. => self.answers[4].increment(1),
            _ => {}
        }
        self.connection(&outcome.phases, code);
        self.phases(&outcome.phases);
    }

    fn connection(&self, phases: &Phases, code: Option<FailureCode>) {
        let no_connection = matches!(
            code,
            Some(
                FailureCode::DnsFailed
                    | FailureCode::ConnectFailed
                    | FailureCode::ConnectTimeout
                    | FailureCode::TlsFailed
            )
        );
        match () {
            () if no_connection => self.unconnected.increment(1),
            () if phases.reused => self.reused.increment(1),
            () if phases.connect_us > 0 => self.opened.increment(1),
            () => {}
        }
    }

    fn phases(&self, phases: &Phases) {
        let times = [
            phases.dns_us,
            phases.connect_us,
            phases.tls_us,
            phases.write_us,
            phases.first_byte_us,
            phases.body_us,
            phases.total_us,
        ];
        for (phase, micros) in self.phases.iter().zip(times) {
            if micros > 0 {
                phase.record(f64::from(micros) / 1e6);
            }
        }
    }

    /// A request that was not taken, for one of the reasons `names` lists.
    pub fn refused(&self, reason: &str) {
        if let Some(row) = REFUSALS.iter().position(|known| *known == reason) {
            self.refused[row].increment(1);
        }
    }

    pub fn lag(&self, reason: WaitReason, waited: Duration) {
        let row = WAITS.iter().position(|(known, _)| *known == reason).unwrap_or(0);
        self.lag[row].record(waited.as_secs_f64());
    }

    /// A delivery that its receiver took, so long after its acceptance. What was put back by hand tells nothing of that time.
    pub fn delivered(&self, entry: &LaneEntry, after: Duration) {
        self.delivered.increment(1);
        if matches!(entry.origin, AttemptOrigin::First | AttemptOrigin::Retry) {
            self.delivery_seconds.record(after);
        }
    }

    pub fn dead(&self, reason: DeadReason) {
        if let Some((_, counter)) = self.dead.iter().find(|(known, _)| *known == reason) {
            counter.increment(1);
        }
    }

    pub fn superseded(&self, kind: EventKind) {
        self.superseded.increment(1);
        if kind == EventKind::QrcodeUpdate { &self.superseded_qrcode } else { &self.superseded_presence }.increment(1);
    }

    pub fn disabled(&self, reason: DisabledReason) {
        if let Some((_, counter)) = self.disabled.iter().find(|(known, _)| *known == reason) {
            counter.increment(1);
        }
    }

    pub fn circuit(&self, entered: CircuitState) {
        if let Some((_, counter)) = self.circuits.iter().find(|(known, _)| *known == entered) {
            counter.increment(1);
        }
    }
}
