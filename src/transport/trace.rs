//! How far an attempt has come and how long each phase took: kept outside the attempt's future, so that it survives when
//! the deadline cuts that short.

use std::time::Duration;

use tokio::time::Instant;

use crate::domain::{Failure, FailureCode, Outcome, Phases};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Stage {
    /// Looking for a kept-alive connection, or waiting for one that another attempt is making.
    Pool,
    Resolve,
    Connect,
    Tls,
    /// The request is on its way or its answer is awaited.
    Answer,
}

#[derive(Debug)]
pub(super) struct Trace {
    pub(super) started: Instant,
    pub(super) deadline: Instant,
    /// When the current phase began; after the answer, when what has come of it had come.
    pub(super) mark: Instant,
    stage: Stage,
    pub(super) phases: Phases,
}

impl Trace {
    /// Longer than any timeout that makes sense, short enough to be added to any instant.
    const LONGEST: Duration = Duration::from_hours(24);

    pub(super) fn start(timeout: Duration) -> Self {
        let started = Instant::now();
        Self {
            started,
            deadline: started + timeout.min(Self::LONGEST),
            mark: started,
            stage: Stage::Pool,
            phases: Phases::default(),
        }
    }

    /// A kept connection is at hand. No look at the clock: no time has passed that matters.
    pub(super) fn reuses(&mut self) {
        self.phases.reused = true;
        self.stage = Stage::Answer;
    }

    pub(super) fn enter(&mut self, stage: Stage) {
        let now = Instant::now();
        self.close_phase(now);
        self.stage = stage;
        self.mark = now;
    }

    /// The response's head is there; the request's last byte left at `sent`.
    pub(super) fn answered(&mut self, sent: Option<Instant>) {
        let now = Instant::now();
        let sent = sent.unwrap_or(self.mark);
        self.phases.write_us = micros(sent.saturating_duration_since(self.mark));
        self.phases.first_byte_us = micros(now.saturating_duration_since(sent));
        self.mark = now;
    }

    /// The response's body has been read as far as it is wanted.
    pub(super) fn read(&mut self) {
        let now = Instant::now();
        self.phases.body_us = micros(now.saturating_duration_since(self.mark));
        self.mark = now;
    }

    fn close_phase(&mut self, now: Instant) {
        let elapsed = micros(now.saturating_duration_since(self.mark));
        match self.stage {
            Stage::Resolve => self.phases.dns_us += elapsed,
            Stage::Connect => self.phases.connect_us += elapsed,
            Stage::Tls => self.phases.tls_us += elapsed,
            Stage::Pool | Stage::Answer => {}
        }
    }

    /// The phases of an attempt that ended with what was marked last.
    pub(super) fn finish(&mut self) -> Phases {
        self.phases.total_us = micros(self.mark.saturating_duration_since(self.started));
        self.phases
    }

    pub(super) fn failed(&mut self, failure: Failure) -> Outcome {
        let now = Instant::now();
        if self.stage != Stage::Answer {
            self.close_phase(now);
        }
        self.mark = now;
        Outcome::failed(failure.code, failure.detail, self.finish())
    }

    /// The deadline passed before a response head came.
    pub(super) fn timed_out(&mut self) -> Outcome {
        let timeout = self.deadline.saturating_duration_since(self.started);
        let (code, what) = match self.stage {
            Stage::Resolve => (FailureCode::DnsFailed, "the host's name was not resolved"),
            Stage::Pool | Stage::Connect => (FailureCode::ConnectTimeout, "no connection was made"),
            Stage::Tls => (FailureCode::ConnectTimeout, "the TLS handshake was not finished"),
            Stage::Answer => (FailureCode::Timeout, "no response came"),
        };
        self.failed(Failure { code, detail: format!("{what} within {timeout:?}").into() })
    }
}

fn micros(duration: Duration) -> u32 {
    u32::try_from(duration.as_micros()).unwrap_or(u32::MAX)
}
