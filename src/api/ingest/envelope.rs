//! The outer shape of an event as a caller writes it: its fields as slices of the body, not yet judged.
//!
//! Reading an envelope fails only on broken JSON. What is wrong with its content is found later, entry by entry, so that an
//! answer can list every bad entry of a batch and not just the first.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// One entry of a request.
#[derive(Debug)]
pub enum Entry<'a> {
    Object(Envelope<'a>),
    /// What it is instead of an object.
    Other(&'static str),
}

/// The fields we read; others are skipped.
#[derive(Debug, Default)]
pub struct Envelope<'a> {
    pub event: Option<&'a RawValue>,
    pub data: Option<&'a RawValue>,
    pub id: Option<&'a RawValue>,
    pub occurred_at: Option<&'a RawValue>,
    /// A field that stands there twice: which of the two counts would be a guess.
    pub repeated: Option<&'static str>,
}

enum Field {
    Event,
    Data,
    Id,
    OccurredAt,
    Unknown,
}

impl<'de> Deserialize<'de> for Field {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Name;
        impl Visitor<'_> for Name {
            type Value = Field;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the name of a field")
            }

            fn visit_str<E>(self, name: &str) -> Result<Field, E> {
                Ok(match name {
                    "event" => Field::Event,
                    "data" => Field::Data,
                    "id" => Field::Id,
                    "occurredAt" => Field::OccurredAt,
                    _ => Field::Unknown,
                })
            }
        }
        deserializer.deserialize_identifier(Name)
    }
}

impl<'de> Deserialize<'de> for Entry<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(EntryVisitor)
    }
}

struct EntryVisitor;

impl<'de> Visitor<'de> for EntryVisitor {
    type Value = Entry<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an event")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entry<'de>, A::Error> {
        let mut envelope = Envelope::default();
        while let Some(field) = map.next_key()? {
            let (slot, name) = match field {
                Field::Event => (&mut envelope.event, "event"),
                Field::Data => (&mut envelope.data, "data"),
                Field::Id => (&mut envelope.id, "id"),
                Field::OccurredAt => (&mut envelope.occurred_at, "occurredAt"),
                Field::Unknown => {
                    map.next_value::<IgnoredAny>()?;
                    continue;
                }
            };
            if slot.replace(map.next_value()?).is_some() {
                envelope.repeated = Some(name);
            }
        }
        Ok(Entry::Object(envelope))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Entry<'de>, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Entry::Other("an array"))
    }

    fn visit_str<E>(self, _: &str) -> Result<Entry<'de>, E> {
        Ok(Entry::Other("a string"))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Entry<'de>, E> {
        Ok(Entry::Other("a boolean"))
    }

    fn visit_u64<E>(self, _: u64) -> Result<Entry<'de>, E> {
        Ok(Entry::Other("a number"))
    }

    fn visit_i64<E>(self, _: i64) -> Result<Entry<'de>, E> {
        Ok(Entry::Other("a number"))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Entry<'de>, E> {
        Ok(Entry::Other("a number"))
    }

    fn visit_unit<E>(self) -> Result<Entry<'de>, E> {
        Ok(Entry::Other("null"))
    }
}

/// The text of a JSON string; `None` when `raw` is another kind of value or no text (an unpaired surrogate).
#[must_use]
pub fn text(raw: &RawValue) -> Option<Cow<'_, str>> {
    let inner = raw.get().strip_prefix('"')?.strip_suffix('"')?;
    if inner.contains('\\') { serde_json::from_str(raw.get()).ok().map(Cow::Owned) } else { Some(Cow::Borrowed(inner)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_the_callers_bytes_and_a_null_is_not_a_missing_field() {
        let json = r#"{"other":[1,{"event":2}],"event":"a","data": null ,"\u0069d":"x"}"#;
        let Entry::Object(envelope) = serde_json::from_str(json).unwrap() else { panic!("an object") };
        assert_eq!(envelope.data.unwrap().get(), "null");
        assert_eq!(envelope.id.unwrap().get(), "\"x\"", "an escaped name is the same name");
        assert!(envelope.occurred_at.is_none() && envelope.repeated.is_none());
    }

    #[test]
    fn a_repeated_field_is_named() {
        let Entry::Object(envelope) = serde_json::from_str(r#"{"data":1,"data":2}"#).unwrap() else {
            panic!("an object")
        };
        assert_eq!(envelope.repeated, Some("data"));
    }

    #[test]
    fn other_values_are_read_to_their_end_and_named() {
        for (json, name) in
            [("[1,[2]]", "an array"), ("\"x\"", "a string"), ("-1", "a number"), ("1.5", "a number"), ("null", "null")]
        {
            assert!(matches!(serde_json::from_str(json), Ok(Entry::Other(other)) if other == name), "{json}");
        }
    }

    #[test]
    fn text_resolves_escapes_and_refuses_what_is_no_text() {
        let read = |json: &str| text(serde_json::from_str(json).unwrap()).map(Cow::into_owned);
        assert_eq!(read(r#""plain""#), Some("plain".into()));
        assert_eq!(read(r#""a\"b""#), Some("a\"b".into()));
        assert_eq!(read("7"), None);
        assert_eq!(read(r#""\ud800""#), None);
    }
}
