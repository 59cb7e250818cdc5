//! The two clocks of the engine: the wall, by which deliveries are due, and one that never steps, by which gates decide.

use std::time::Instant;

use crate::domain::Timestamp;

/// Where the engine reads the time.
#[derive(Clone, Copy, Debug)]
pub enum Clock {
    System,
    /// Wall time moves with the runtime's clock from a fixed start: under a paused runtime all of the engine stands still.
    Virtual {
        start: tokio::time::Instant,
        wall: Timestamp,
    },
}

/// Both clocks at one instant.
#[derive(Clone, Copy, Debug)]
pub(super) struct Now {
    pub(super) wall: Timestamp,
    pub(super) mono: Instant,
}

impl Clock {
    /// Read once for all that one message makes an actor do: at full speed a look at the clock is felt.
    pub(super) fn now(&self) -> Now {
        Now { wall: self.wall(), mono: self.mono() }
    }

    /// A virtual clock that starts now, at `wall`.
    #[must_use]
    pub fn virtual_at(wall: Timestamp) -> Self {
        Self::Virtual { start: tokio::time::Instant::now(), wall }
    }

    #[must_use]
    pub fn wall(&self) -> Timestamp {
        match self {
            Self::System => Timestamp::now(),
            Self::Virtual { start, wall } => wall.after(start.elapsed()),
        }
    }

    #[must_use]
    pub fn mono(&self) -> Instant {
        tokio::time::Instant::now().into_std()
    }
}
