//! Bounds repetition in the log: of one cause the first line is written at once, the others are counted, and the count is told
//! every minute. A receiver that is down at full load must not bury what else is to be read, nor fill a disk.
//!
//! A cause is a place in the code that warns, with its fields `cause` and `status`. Where there is no such field each line is likely
//! to be about something else: the first ten of a minute are written. Lines below `WARN` are not touched.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use ahash::AHashMap;
use metrics::{Counter, counter};
use parking_lot::Mutex;
use tracing::callsite::Identifier;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

use super::names;

const WINDOW: Duration = Duration::from_mins(1);
/// Lines of one place in a window where no cause is named.
const UNNAMED: u64 = 10;
/// Causes remembered; those past it share one count.
const MAX_CAUSES: usize = 1_024;
/// The target of the lines that tell counts: not counted themselves.
const TARGET: &str = "pombo::repeats";

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Cause {
    /// `None`: all past [`MAX_CAUSES`].
    place: Option<Identifier>,
    word: String,
    status: u64,
}

#[derive(Debug)]
struct Seen {
    since: Instant,
    lines: u64,
    unwritten: u64,
    message: String,
}

/// What was written and what was not.
#[derive(Debug, Default)]
struct Causes(AHashMap<Cause, Seen>);

/// What was not written of one cause.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Unwritten {
    count: u64,
    cause: String,
    status: u64,
    message: String,
}

impl Causes {
    /// Whether a line is to be written.
    fn admit(&mut self, mut cause: Cause, message: &str, now: Instant) -> bool {
        if self.0.len() >= MAX_CAUSES && !self.0.contains_key(&cause) {
            cause = Cause { place: None, word: String::new(), status: 0 };
        }
        let most = if cause.word.is_empty() { UNNAMED } else { 1 };
        let fresh = || Seen { since: now, lines: 0, unwritten: 0, message: message.to_owned() };
        let seen = self.0.entry(cause).or_insert_with(fresh);
        seen.lines += 1;
        let is_written = seen.lines <= most;
        seen.unwritten += u64::from(!is_written);
        is_written
    }

    /// What has not been written in windows that are over. A cause that goes on is told by its count, not by a line again.
    fn due(&mut self, now: Instant, window: Duration) -> Vec<Unwritten> {
        let mut due = Vec::new();
        self.0.retain(|cause, seen| {
            if now.duration_since(seen.since) < window {
                return true;
            }
            let goes_on = seen.unwritten > 0;
            if goes_on {
                let (cause, status, message) = (cause.word.clone(), cause.status, seen.message.clone());
                due.push(Unwritten { count: seen.unwritten, cause, status, message });
            }
            (seen.since, seen.unwritten) = (now, 0);
            goes_on
        });
        due
    }
}

static CAUSES: OnceLock<Mutex<Causes>> = OnceLock::new();

fn causes() -> &'static Mutex<Causes> {
    CAUSES.get_or_init(Mutex::default)
}

/// Tells the counts that are due; called every few seconds.
pub fn tell() {
    tell_after(WINDOW);
}

/// Tells all counts, at the end of the process.
pub fn tell_all() {
    tell_after(Duration::ZERO);
}

fn tell_after(window: Duration) {
    let due = causes().lock().due(Instant::now(), window);
    for Unwritten { count, cause, status, message } in due {
        tracing::warn!(target: TARGET, count, cause, status, like = message, "more of the same were not written");
    }
}

/// The layer that keeps repetitions from those that write.
#[derive(Debug)]
pub struct Repeats(OnceLock<Counter>);

impl Repeats {
    pub(super) const fn new() -> Self {
        Self(OnceLock::new())
    }
}

impl<S: Subscriber> Layer<S> for Repeats {
    fn event_enabled(&self, event: &Event<'_>, _: Context<'_, S>) -> bool {
        let metadata = event.metadata();
        if *metadata.level() > Level::WARN || metadata.target() == TARGET {
            return true;
        }
        let mut fields = Fields::default();
        event.record(&mut fields);
        let cause = Cause { place: Some(metadata.callsite()), word: fields.cause, status: fields.status };
        let is_written = causes().lock().admit(cause, &fields.message, Instant::now());
        if !is_written {
            self.0.get_or_init(|| counter!(names::LOG_SUPPRESSED)).increment(1);
        }
        is_written
    }
}

#[derive(Default)]
struct Fields {
    cause: String,
    status: u64,
    message: String,
}

impl Visit for Fields {
    fn record_u64(&mut self, field: &Field, value: u64) {
        if field.name() == "status" {
            self.status = value;
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "cause" {
            value.clone_into(&mut self.cause);
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        if field.name() == "message" {
            self.message = format!("{value:?}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cause(word: &str, status: u64) -> Cause {
        Cause { place: None, word: word.into(), status }
    }

    #[test]
    fn of_ten_thousand_failures_of_a_cause_one_line_is_written_and_the_rest_is_told_as_a_count() {
        let (mut causes, start) = (Causes::default(), Instant::now());
        let written = (0..10_000).filter(|_| causes.admit(cause("status", 503), "an attempt failed", start)).count();
        assert_eq!(written, 1);
        assert!(causes.admit(cause("status", 404), "an attempt failed", start), "another cause");
        assert_eq!(causes.due(start + WINDOW / 2, WINDOW), []);
        let due = causes.due(start + WINDOW, WINDOW);
        assert_eq!((due.len(), due[0].count, &*due[0].message), (1, 9_999, "an attempt failed"));
        assert!(!causes.admit(cause("status", 503), "an attempt failed", start + WINDOW), "it goes on: counted");
        assert_eq!(causes.due(start + 2 * WINDOW, WINDOW)[0].count, 1);
        assert_eq!(causes.due(start + 3 * WINDOW, WINDOW), []);
        assert!(causes.admit(cause("status", 503), "an attempt failed", start + 3 * WINDOW), "after a quiet minute");
    }

    #[test]
    fn lines_without_a_cause_are_bounded_and_so_is_what_is_remembered() {
        let (mut causes, now) = (Causes::default(), Instant::now());
        assert_eq!((0..100).filter(|_| causes.admit(cause("", 0), "a webhook is disabled", now)).count(), 10);
        for n in 0..5_000 {
            causes.admit(cause(&n.to_string(), 0), "flood", now);
        }
        assert!(causes.0.len() <= MAX_CAUSES + 1);
    }
}
