//! The oldest and the newest event of a file.

use std::ops::Range;

use crate::domain::EventId;

/// Empty at first.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Span {
    pub oldest: EventId,
    pub newest: EventId,
}

impl Default for Span {
    fn default() -> Self {
        Self { oldest: EventId::MAX, newest: EventId::MIN }
    }
}

impl Span {
    pub fn add(&mut self, event: EventId) {
        self.oldest = self.oldest.min(event);
        self.newest = self.newest.max(event);
    }

    pub fn holds(&self, event: EventId) -> bool {
        (self.oldest..=self.newest).contains(&event)
    }

    pub fn meets(&self, events: &Range<EventId>) -> bool {
        self.oldest < events.end && self.newest >= events.start
    }
}
