//! No flood of log lines: of each place in the code that warns, a few lines a while are written and the rest is counted.
//!
//! When a store is away, every lane, request and look at `/readyz` has a reason to say so. The first lines tell what is wrong; the
//! thousandth tells nothing and buries the others.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tracing::callsite::Identifier;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

/// Lines of one place within [`WHILE`].
const LINES: u32 = 5;
const WHILE: Duration = Duration::from_secs(10);
/// Of the layer's own lines, which are not counted.
const TARGET: &str = "pombo::log";
/// Says what it has to say of the settings, once, however many there are.
const START: &str = "pombo::cli";

/// Lets warnings and errors through as long as they are few; what is below passes.
#[derive(Debug, Default)]
pub struct Flood(Mutex<Places<Identifier>>);

impl<S: Subscriber> Layer<S> for Flood {
    fn event_enabled(&self, event: &Event<'_>, _: Context<'_, S>) -> bool {
        let metadata = event.metadata();
        if *metadata.level() > Level::WARN || metadata.target() == TARGET || metadata.target().starts_with(START) {
            return true;
        }
        let said = self.0.lock().unwrap_or_else(PoisonError::into_inner).say(metadata.callsite(), Instant::now());
        let (of, line) = (metadata.target(), metadata.line());
        match said {
            Said::Line | Said::Nothing => {}
            Said::LineAfter(left_out) => {
                tracing::warn!(target: TARGET, left_out, of, line, "lines like the next one were left out");
            }
            Said::Last => {
                tracing::warn!(target: TARGET, of, line, seconds = WHILE.as_secs(), "more lines of one kind are left out for a while");
            }
        }
        matches!(said, Said::Line | Said::LineAfter(_))
    }
}

/// What becomes of a line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Said {
    Line,
    /// Written, after so many that were not.
    LineAfter(u64),
    /// The first one that is not written.
    Last,
    Nothing,
}

/// How much each place has said of late. There are as many as the code has, a few hundred.
#[derive(Debug)]
struct Places<K>(HashMap<K, Place>);

#[derive(Debug)]
struct Place {
    since: Instant,
    lines: u32,
    left_out: u64,
}

impl<K> Default for Places<K> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<K: Eq + Hash> Places<K> {
    fn say(&mut self, key: K, now: Instant) -> Said {
        let place = self.0.entry(key).or_insert(Place { since: now, lines: 0, left_out: 0 });
        if now.saturating_duration_since(place.since) >= WHILE {
            let left_out = std::mem::take(&mut place.left_out);
            (place.since, place.lines) = (now, 1);
            return if left_out == 0 { Said::Line } else { Said::LineAfter(left_out) };
        }
        if place.lines < LINES {
            place.lines += 1;
            return Said::Line;
        }
        place.left_out += 1;
        if place.left_out == 1 { Said::Last } else { Said::Nothing }
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::Arc;

    use tracing_subscriber::fmt::MakeWriter;
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    #[test]
    fn a_few_lines_pass_and_the_next_ones_are_counted_until_a_while_has_passed() {
        let (mut places, begun) = (Places::default(), Instant::now());
        let after = |millis| begun + Duration::from_millis(millis);
        assert!((0..u64::from(LINES)).all(|line| places.say('a', after(line)) == Said::Line));
        assert_eq!(places.say('a', after(100)), Said::Last);
        assert_eq!(places.say('a', after(200)), Said::Nothing);
        assert_eq!(places.say('b', after(200)), Said::Line, "another place has lines of its own");
        assert_eq!(places.say('a', after(10_000)), Said::LineAfter(2));
        assert_eq!(places.say('a', after(10_100)), Said::Line);
    }

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("no panic").extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl<'a> MakeWriter<'a> for Written {
        type Writer = Self;

        fn make_writer(&'a self) -> Self {
            self.clone()
        }
    }

    #[test]
    fn warnings_are_bounded_and_what_is_below_passes() {
        let written = Written::default();
        let subscriber = tracing_subscriber::fmt().with_writer(written.clone()).finish().with(Flood::default());
        tracing::subscriber::with_default(subscriber, || {
            for number in 0..100 {
                tracing::warn!(number, "loud");
                tracing::info!(number, "quiet");
            }
        });
        let text = String::from_utf8(written.0.lock().expect("no panic").clone()).expect("UTF-8");
        let lines = |word| text.lines().filter(|line| line.contains(word)).count();
        assert_eq!((lines("loud"), lines("quiet")), (LINES as usize, 100), "{text}");
    }
}
