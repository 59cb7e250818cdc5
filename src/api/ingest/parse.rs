//! From the bytes of a request to events, all or none. `data` is cut out of the body, never parsed and written again.

use bytes::Bytes;
use serde::de::{DeserializeSeed, Deserializer, SeqAccess, Visitor};

use super::depth::{MAX_DEPTH, is_too_deep};
use super::envelope::{Entry, Envelope, text};
use super::limits::IngestLimits;
use crate::domain::{Effects, EventKind, NewEvent, Timestamp};

/// At most this many bad entries are listed in an answer; the rest are counted.
const MAX_LISTED: usize = 20;
/// An event whose `data` is smaller than this part of the body gets a copy: sharing would keep the whole body in memory
/// for as long as that one event waits. So an event never pins more than this many times its own size.
const MAX_PIN_FACTOR: usize = 4;

/// How the body is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Media {
    /// One object, or an array of them.
    Json,
    /// One object a line.
    Ndjson,
}

impl Media {
    /// Reads a `Content-Type`; its parameters do not matter, JSON is always UTF-8 (RFC 8259, section 8.1).
    #[must_use]
    pub fn parse(content_type: &str) -> Option<Self> {
        let essence = content_type.split(';').next().unwrap_or_default().trim();
        let is = |name: &str| essence.eq_ignore_ascii_case(name);
        match () {
            () if is("application/json") => Some(Self::Json),
            () if is("application/x-ndjson") || is("application/ndjson") => Some(Self::Ndjson),
            () => None,
        }
    }
}

/// Why nothing of a request was taken.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ParseError {
    /// One sentence for each thing that is wrong.
    #[error("{}", .0.join("; "))]
    Invalid(Vec<String>),
    #[error("a request carries at most {max} events (max_events)")]
    TooMany { max: usize },
}

/// Reads all events of a body; what `data` tells (its chat) is not read here.
///
/// # Errors
/// When anything is wrong with any entry; entries are named by their index, counted from 0, and lines from 1.
pub fn parse_events(body: &Bytes, media: Media, limits: &IngestLimits) -> Result<Vec<NewEvent>, ParseError> {
    let invalid = |sentence: String| ParseError::Invalid(vec![sentence]);
    let json = std::str::from_utf8(body)
        .map_err(|error| invalid(format!("the body is not UTF-8 at byte {}", error.valid_up_to())))?;
    let found = json.trim_ascii();
    if found.is_empty() {
        return Err(invalid("the body is empty: an event is required".into()));
    }
    let reader = Reader { body, limits };
    match media {
        Media::Ndjson => reader.lines(json),
        Media::Json if found.starts_with('[') => reader.array(json),
        Media::Json => match serde_json::from_str(json) {
            Ok(entry) => reader.event(&entry).map(|event| vec![event]).map_err(ParseError::Invalid),
            Err(error) => Err(invalid(format!("the body is not JSON: {error}"))),
        },
    }
}

struct Reader<'a> {
    body: &'a Bytes,
    limits: &'a IngestLimits,
}

impl Reader<'_> {
    fn array(&self, json: &str) -> Result<Vec<NewEvent>, ParseError> {
        let mut entries = Vec::new();
        let mut deserializer = serde_json::Deserializer::from_str(json);
        let read = Entries { into: &mut entries, max: self.limits.max_events }.deserialize(&mut deserializer);
        if let Err(error) = read.and_then(|()| deserializer.end()) {
            if entries.len() > self.limits.max_events {
                return Err(ParseError::TooMany { max: self.limits.max_events });
            }
            return Err(ParseError::Invalid(vec![format!("entry {}: not JSON: {error}", entries.len())]));
        }
        let mut faults = Faults::default();
        let mut events = Vec::with_capacity(entries.len());
        for (index, entry) in entries.iter().enumerate() {
            match self.event(entry) {
                Ok(event) => events.push(event),
                Err(sentences) => faults.add(&format!("entry {index}"), &sentences),
            }
        }
        faults.or(events)
    }

    fn lines(&self, json: &str) -> Result<Vec<NewEvent>, ParseError> {
        let mut faults = Faults::default();
        let mut events = Vec::new();
        let lines = json.split('\n').enumerate().filter(|(_, line)| !line.trim_ascii().is_empty());
        for (index, (line, json)) in lines.enumerate() {
            if index == self.limits.max_events {
                return Err(ParseError::TooMany { max: self.limits.max_events });
            }
            let event = match serde_json::from_str(json) {
                Ok(entry) => self.event(&entry),
                Err(error) => Err(vec![format!("not JSON at column {}", error.column())]),
            };
            match event {
                Ok(event) => events.push(event),
                Err(sentences) => faults.add(&format!("entry {index} (line {})", line + 1), &sentences),
            }
        }
        faults.or(events)
    }

    fn event(&self, entry: &Entry<'_>) -> Result<NewEvent, Vec<String>> {
        let envelope = match entry {
            Entry::Object(envelope) => envelope,
            Entry::Other(what) => return Err(vec![format!("must be an object with event and data, not {what}")]),
        };
        let mut wrong = Vec::new();
        if let Some(field) = envelope.repeated {
            wrong.push(format!("{field} must not stand there twice"));
        }
        let kind = kind(envelope).map_err(|sentence| wrong.push(sentence)).ok();
        let data = self.data(envelope).map_err(|sentence| wrong.push(sentence)).ok();
        let client_id = self.client_id(envelope).map_err(|sentence| wrong.push(sentence)).ok().flatten();
        let occurred_at = occurred_at(envelope).map_err(|sentence| wrong.push(sentence)).ok().flatten();
        match (kind, data) {
            (Some(kind), Some(data)) if wrong.is_empty() => Ok(NewEvent {
                kind,
                data,
                client_id,
                occurred_at,
                chat: None,
                effects: Effects::default(),
                traceparent: None,
            }),
            _ => Err(wrong),
        }
    }

    fn data(&self, envelope: &Envelope<'_>) -> Result<Bytes, String> {
        let data = envelope.data.ok_or("data is required")?.get().as_bytes();
        if is_too_deep(data) {
            return Err(format!("data must not nest deeper than {MAX_DEPTH} levels"));
        }
        let shares = data.len().saturating_mul(MAX_PIN_FACTOR) >= self.body.len();
        Ok(if shares { self.body.slice_ref(data) } else { Bytes::copy_from_slice(data) })
    }

    fn client_id(&self, envelope: &Envelope<'_>) -> Result<Option<Box<str>>, String> {
        let Some(raw) = envelope.id.filter(|raw| raw.get() != "null") else { return Ok(None) };
        let id = text(raw).ok_or("id must be a string")?;
        check_id("id", &id, self.limits)?;
        Ok(Some(id.into()))
    }
}

fn kind(envelope: &Envelope<'_>) -> Result<EventKind, String> {
    let name = text(envelope.event.ok_or("event is required")?).ok_or("event must be a string")?;
    EventKind::parse(&name).ok_or_else(|| {
        let shown: String = name.chars().take(64).collect();
        format!("event {shown:?} is not a known kind, e.g. \"messages.upsert\"")
    })
}

fn occurred_at(envelope: &Envelope<'_>) -> Result<Option<Timestamp>, String> {
    let Some(raw) = envelope.occurred_at.filter(|raw| raw.get() != "null") else { return Ok(None) };
    let instant = text(raw).and_then(|text| Timestamp::parse_rfc3339(&text));
    instant.map(Some).ok_or_else(|| "occurredAt must be an RFC 3339 instant, e.g. \"2024-04-14T14:11:05.660Z\"".into())
}

/// Checks a caller's id, wherever it stands.
///
/// # Errors
/// A sentence that begins with `field`.
pub fn check_id(field: &str, id: &str, limits: &IngestLimits) -> Result<(), String> {
    if id.is_empty() || id.len() > limits.max_id_bytes {
        return Err(format!("{field} must be 1 to {} bytes long", limits.max_id_bytes));
    }
    Ok(())
}

/// Everything that is wrong with a batch, bounded.
#[derive(Default)]
struct Faults {
    sentences: Vec<String>,
    entries: usize,
}

impl Faults {
    fn add(&mut self, entry: &str, sentences: &[String]) {
        self.entries += 1;
        if self.entries <= MAX_LISTED {
            self.sentences.extend(sentences.iter().map(|sentence| format!("{entry}: {sentence}")));
        }
    }

    fn or(mut self, events: Vec<NewEvent>) -> Result<Vec<NewEvent>, ParseError> {
        match self.entries {
            0 if events.is_empty() => self.sentences.push("the batch is empty: an event is required".into()),
            0 => return Ok(events),
            listed if listed <= MAX_LISTED => {}
            wrong => self.sentences.push(format!("and {} more entries are wrong", wrong - MAX_LISTED)),
        }
        Err(ParseError::Invalid(self.sentences))
    }
}

/// Reads an array into a list that outlives a failure: its length then tells the index of the broken entry.
struct Entries<'l, 'a> {
    into: &'l mut Vec<Entry<'a>>,
    max: usize,
}

impl<'de> DeserializeSeed<'de> for Entries<'_, 'de> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Entries<'_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an array of events")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while let Some(entry) = seq.next_element()? {
            self.into.push(entry);
            if self.into.len() > self.max {
                return Err(serde::de::Error::custom("too many events"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
