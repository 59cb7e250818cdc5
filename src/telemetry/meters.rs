//! Handles of the engine's metrics, looked up once: recording on the hot path is an atomic add.

use metrics::{Counter, Histogram, counter, histogram};

use super::names;
use crate::domain::{AttemptOrigin, DeadReason, FailureCode, Outcome, WaitReason};
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

/// See `names` for what each is.
#[derive(Debug)]
#[expect(missing_docs, reason = "each is the metric of its name")]
pub struct Meters {
    pub accepted: Counter,
    pub duplicates: Counter,
    pub ingest_seconds: Histogram,
    pub commit_seconds: Histogram,
    pub commit_events: Histogram,
    pub delivery_seconds: Histogram,
    pub delivered: Counter,
    pub superseded: Counter,
    pub actor_restarts: Counter,
    dead: [(DeadReason, Counter); 4],
    /// By origin, then success or failure code.
    attempts: Vec<Vec<Counter>>,
    phases: [Histogram; 5],
    opened: Counter,
    reused: Counter,
    lag: [Histogram; WAITS.len()],
    circuits: [(CircuitState, Counter); 3],
}

impl Default for Meters {
    fn default() -> Self {
        let ended = |result: &'static str| counter!(names::DELIVERIES, "result" => result);
        let dead = [DeadReason::Exhausted, DeadReason::GaveUp, DeadReason::Gone, DeadReason::Undeliverable];
        let attempts = |origin: &'static str| {
            let of = |outcome: &'static str| counter!(names::ATTEMPTS, "outcome" => outcome, "origin" => origin);
            std::iter::once("success").chain(FailureCode::ALL.iter().map(|code| code.as_str())).map(of).collect()
        };
        let circuits = [CircuitState::Open, CircuitState::Probing, CircuitState::Closed];
        Self {
            accepted: counter!(names::EVENTS, "result" => "accepted"),
            duplicates: counter!(names::EVENTS, "result" => "duplicate"),
            ingest_seconds: histogram!(names::INGEST_SECONDS),
            commit_seconds: histogram!(names::COMMIT_SECONDS),
            commit_events: histogram!(names::COMMIT_EVENTS),
            delivery_seconds: histogram!(names::DELIVERY_SECONDS),
            delivered: ended("delivered"),
            superseded: ended("superseded"),
            actor_restarts: counter!(names::ACTOR_RESTARTS),
            dead: dead.map(|reason| (reason, ended(reason.as_str()))),
            attempts: ORIGINS.iter().map(|(_, origin)| attempts(origin)).collect(),
            phases: ["dns", "connect", "tls", "first_byte", "total"]
                .map(|phase| histogram!(names::ATTEMPT_SECONDS, "phase" => phase)),
            opened: counter!(names::CONNECTIONS, "how" => "opened"),
            reused: counter!(names::CONNECTIONS, "how" => "reused"),
            lag: WAITS.map(|(_, reason)| histogram!(names::LAG_SECONDS, "reason" => reason)),
            circuits: circuits.map(|state| (state, counter!(names::BREAKER_TRANSITIONS, "to" => circuit_name(state)))),
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
        let phases = &outcome.phases;
        let reached_the_wire = phases.reused || phases.connect_us > 0;
        if reached_the_wire {
            if phases.reused { &self.reused } else { &self.opened }.increment(1);
        }
        let times = [phases.dns_us, phases.connect_us, phases.tls_us, phases.first_byte_us, phases.total_us];
        for (phase, micros) in self.phases.iter().zip(times) {
            if micros > 0 {
                phase.record(f64::from(micros) / 1e6);
            }
        }
    }

    pub fn lag(&self, reason: WaitReason, waited: std::time::Duration) {
        let row = WAITS.iter().position(|(known, _)| *known == reason).unwrap_or(0);
        self.lag[row].record(waited.as_secs_f64());
    }

    pub fn dead(&self, reason: DeadReason) {
        if let Some((_, counter)) = self.dead.iter().find(|(known, _)| *known == reason) {
            counter.increment(1);
        }
    }

    pub fn circuit(&self, entered: CircuitState) {
        if let Some((_, counter)) = self.circuits.iter().find(|(known, _)| *known == entered) {
            counter.increment(1);
        }
    }
}
