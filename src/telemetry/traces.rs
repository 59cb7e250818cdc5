//! Spans of sampled traces: one for the request that brings events, one for each attempt to deliver them.
//!
//! The trace of an event is its `traceparent` (W3C Trace Context): that of the request, or one that begins here for a share of the
//! requests without. It is stored with the event, so an attempt of tomorrow joins the trace of today. Whether a trace is sampled is
//! in its flags. Spans wait in a bounded queue for whoever sends them; what finds no room is dropped and counted.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use metrics::{Counter, counter};

use super::names;
use crate::domain::{EventId, NewEvent, Outcome, WebhookId};

/// Spans that wait to be sent.
const QUEUE: usize = 8_192;

/// Where in a trace something happens.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Place {
    pub trace: u128,
    /// The span above; 0: none.
    pub parent: u64,
    pub is_sampled: bool,
}

impl Place {
    /// Reads a `traceparent` that is well-formed.
    #[must_use]
    pub fn parse(traceparent: &str) -> Option<Self> {
        let mut fields = traceparent.split('-').skip(1);
        let trace = u128::from_str_radix(fields.next()?, 16).ok()?;
        let parent = u64::from_str_radix(fields.next()?, 16).ok()?;
        let flags = u8::from_str_radix(fields.next()?.get(..2)?, 16).ok()?;
        Some(Self { trace, parent, is_sampled: flags & 1 == 1 })
    }

    /// The `traceparent` for what happens below `span`.
    #[must_use]
    pub fn below(&self, span: u64) -> String {
        format!("00-{:032x}-{span:016x}-{:02x}", self.trace, u8::from(self.is_sampled))
    }
}

/// A new span's id: random, never 0.
#[must_use]
pub fn span_id() -> u64 {
    fastrand::u64(1..)
}

/// What a span is about.
#[derive(Clone, Debug)]
pub enum About {
    Ingest { events: usize, refused: Option<&'static str> },
    Attempt { webhook: WebhookId, event: EventId, number: u16, status: u16, failure: Option<&'static str> },
}

/// Something that took time in a sampled trace.
#[derive(Clone, Debug)]
pub struct Span {
    pub place: Place,
    pub id: u64,
    pub start_ns: u64,
    pub end_ns: u64,
    pub about: About,
}

/// The sending side; without one nothing is traced and nothing of this costs anything.
#[derive(Debug)]
pub struct Tracer {
    queue: SyncSender<Span>,
    /// Share of the requests without a `traceparent` that begin a trace.
    sample: f64,
    dropped: Counter,
}

/// A request that is being traced.
#[derive(Clone, Copy, Debug)]
pub struct Ingesting {
    place: Place,
    id: u64,
    events: usize,
}

impl Tracer {
    #[must_use]
    pub fn new(sample: f64) -> (Self, Receiver<Span>) {
        let (queue, spans) = sync_channel(QUEUE);
        (Self { queue, sample, dropped: counter!(names::SPANS, "result" => "dropped") }, spans)
    }

    /// Begins the span of a request, when its trace is sampled; its events go on below it.
    pub fn ingest(&self, events: &mut [NewEvent]) -> Option<Ingesting> {
        let told = events.first()?.traceparent.as_deref().and_then(Place::parse);
        let place = match told {
            Some(place) => place,
            None if fastrand::f64() < self.sample => Place { trace: fastrand::u128(1..), parent: 0, is_sampled: true },
            None => return None,
        };
        if !place.is_sampled {
            return None;
        }
        let id = span_id();
        let below = place.below(id);
        for event in &mut *events {
            event.traceparent = Some(below.as_str().into());
        }
        Some(Ingesting { place, id, events: events.len() })
    }

    pub fn ingested(&self, ingesting: Ingesting, took: Duration, refused: Option<&'static str>) {
        let Ingesting { place, id, events } = ingesting;
        self.send(place, id, took, About::Ingest { events, refused });
    }

    /// An attempt of `number` has ended just now.
    pub fn attempt(&self, (place, id): (Place, u64), webhook: WebhookId, event: EventId, number: u16, end: &Outcome) {
        if place.is_sampled {
            let failure = end.failure.as_ref().map(|failure| failure.code.as_str());
            let took = Duration::from_micros(u64::from(end.phases.total_us));
            self.send(place, id, took, About::Attempt { webhook, event, number, status: end.status, failure });
        }
    }

    fn send(&self, place: Place, id: u64, took: Duration, about: About) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let nanos = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let (start_ns, end_ns) = (nanos(now.saturating_sub(took)), nanos(now));
        if self.queue.try_send(Span { place, id, start_ns, end_ns, about }).is_err() {
            self.dropped.increment(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Effects, EventKind};

    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn event(traceparent: Option<&str>) -> NewEvent {
        NewEvent {
            kind: EventKind::NewJwt,
            data: bytes::Bytes::from_static(b"{}"),
            client_id: None,
            occurred_at: None,
            chat: None,
            effects: Effects::default(),
            traceparent: traceparent.map(Into::into),
        }
    }

    #[test]
    fn events_go_on_below_the_requests_span_in_the_same_trace() {
        let (tracer, spans) = Tracer::new(0.0);
        let mut events = [event(Some(PARENT)), event(Some(PARENT))];
        let ingesting = tracer.ingest(&mut events).expect("it is sampled");
        tracer.ingested(ingesting, Duration::from_millis(3), None);
        let span = spans.try_recv().expect("a span");
        assert_eq!(
            (span.place.trace, span.place.parent),
            (0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c, 0xb7ad_6b71_6920_3331)
        );
        assert_eq!(span.end_ns - span.start_ns, 3_000_000);
        let below = Place::parse(events[1].traceparent.as_deref().expect("kept")).expect("well-formed");
        assert_eq!(below, Place { parent: span.id, ..span.place });
    }

    #[test]
    fn the_callers_word_on_sampling_counts_and_without_one_a_share_is_taken() {
        let unsampled = PARENT.replace("-01", "-00");
        let (tracer, _spans) = Tracer::new(1.0);
        let mut told = [event(Some(&unsampled))];
        assert!(tracer.ingest(&mut told).is_none());
        assert_eq!(told[0].traceparent.as_deref(), Some(&*unsampled), "left as it came");
        assert!(tracer.ingest(&mut [event(None)]).is_some());
        assert!(Tracer::new(0.0).0.ingest(&mut [event(None)]).is_none());
    }

    #[test]
    fn with_nobody_to_take_spans_they_are_dropped_and_nothing_waits() {
        let (tracer, spans) = Tracer::new(1.0);
        for _ in 0..QUEUE + 10 {
            let ingesting = tracer.ingest(&mut [event(None)]).expect("sampled");
            tracer.ingested(ingesting, Duration::ZERO, None);
        }
        assert_eq!(spans.try_iter().count(), QUEUE);
    }
}
