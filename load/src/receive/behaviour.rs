//! What a receiver does with a request.

use serde::{Deserialize, Serialize};

/// In a scenario: `behaviour = "receive"` or e.g. `behaviour = { slow = { delay_ms = 200 } }`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum Behaviour {
    /// Answers 204 at once.
    Receive,
    /// Answers 204 after a while.
    Slow { delay_ms: u64 },
    /// Answers a share of the requests, 0 to 1, with `status` and the rest with 204.
    Failing { share: f64, status: u16 },
    /// Reads and never answers.
    Hanging,
    /// Answers 200, then a byte of body at a time, without end.
    Dripping { every_ms: u64 },
    /// Nobody listens.
    Dead,
}

impl Behaviour {
    /// Whether every event must arrive in the end.
    pub const fn must_deliver(self) -> bool {
        !matches!(self, Self::Hanging | Self::Dead)
    }

    /// Whether this receiver hinders nothing: its latency is the engine's.
    pub const fn is_healthy(self) -> bool {
        matches!(self, Self::Receive)
    }

    pub const fn name(self) -> &'static str {
        match self {
            Self::Receive => "receive",
            Self::Slow { .. } => "slow",
            Self::Failing { .. } => "failing",
            Self::Hanging => "hanging",
            Self::Dripping { .. } => "dripping",
            Self::Dead => "dead",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scenario_writes_behaviours_as_words_or_tables() {
        #[derive(Deserialize)]
        struct Line {
            behaviour: Behaviour,
        }
        let read = |text: &str| toml::from_str::<Line>(text).map(|line| line.behaviour);
        assert_eq!(read("behaviour = 'receive'").expect("a word"), Behaviour::Receive);
        let slow = read("behaviour = { slow = { delay_ms = 200 } }").expect("a table");
        assert_eq!(slow, Behaviour::Slow { delay_ms: 200 });
        assert!(read("behaviour = 'sulking'").is_err());
    }
}
