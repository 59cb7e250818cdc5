//! Picks a few fields out of JSON text without building the rest. A field is handed out as its own JSON text, so
//! neither its type nor a number too big for us can make the others unreadable.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::de::Read;
use serde_json::value::RawValue;

/// The JSON texts of the fields `names` of the object `json`, in the same order; of a repeated name the last.
/// `None` when `json` is not an object.
pub(super) fn pick<'a, const N: usize>(json: &'a [u8], names: [&str; N]) -> Option<[Option<&'a str>; N]> {
    read_fields(serde_json::Deserializer::from_slice(json), names)
}

/// [`pick`] out of a field or element that was handed out: its UTF-8 is known to be right and is not checked again.
pub(super) fn pick_within<'a, const N: usize>(json: &'a str, names: [&str; N]) -> Option<[Option<&'a str>; N]> {
    read_fields(serde_json::Deserializer::from_str(json), names)
}

fn read_fields<'a, R: Read<'a>, const N: usize>(
    mut parser: serde_json::Deserializer<R>,
    names: [&str; N],
) -> Option<[Option<&'a str>; N]> {
    let found = parser.deserialize_map(Fields(names)).ok()?;
    parser.end().ok()?;
    Some(found)
}

/// Calls `each` with the JSON text of every element of the array `json` until it returns false.
/// `None` when `json` is not an array; `each` may have been called before that was seen.
pub(super) fn each_element<'a>(json: &'a [u8], each: impl FnMut(&'a str) -> bool) -> Option<()> {
    let mut parser = serde_json::Deserializer::from_slice(json);
    parser.deserialize_seq(Elements(each)).ok()?;
    parser.end().ok()
}

/// The text that the JSON string `raw` stands for; `None` when it is not a string, or one with half a surrogate pair.
pub(super) fn text(raw: &str) -> Option<Cow<'_, str>> {
    let inner = raw.strip_prefix('"')?.strip_suffix('"')?;
    if inner.contains('\\') { serde_json::from_str(raw).ok().map(Cow::Owned) } else { Some(Cow::Borrowed(inner)) }
}

struct Fields<'n, const N: usize>([&'n str; N]);

impl<'de, const N: usize> Visitor<'de> for Fields<'_, N> {
    type Value = [Option<&'de str>; N];

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = [None; N];
        while let Some(place) = map.next_key_seed(Place(&self.0))? {
            match place {
                Some(place) => found[place] = Some(map.next_value::<&RawValue>()?.get()),
                None => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(found)
    }
}

/// Reads a key as its place among the names asked for.
struct Place<'n>(&'n [&'n str]);

impl<'de> DeserializeSeed<'de> for Place<'_> {
    type Value = Option<usize>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Place<'_> {
    type Value = Option<usize>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<Self::Value, E> {
        Ok(self.0.iter().position(|name| *name == key))
    }
}

struct Elements<F>(F);

impl<'de, F: FnMut(&'de str) -> bool> Visitor<'de> for Elements<F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut seq: A) -> Result<(), A::Error> {
        while let Some(element) = seq.next_element::<&RawValue>()? {
            if !(self.0)(element.get()) {
                break;
            }
        }
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_as_spelt_and_the_rest_is_ignored() {
        let json = br#" { "x" : {"a":0}, "a" : 1e400 , "\u0062":"\ud83d", "a": [ 2 ] } "#;
        assert_eq!(pick(json, ["a", "b", "c"]), Some([Some("[ 2 ]"), Some(r#""\ud83d""#), None]));
    }

    #[test]
    fn what_is_not_an_object_has_no_fields() {
        for json in ["", "[]", "null", "\"a\"", "{", "{\"a\":1", "{}x", "{\"a\":}"] {
            assert_eq!(pick(json.as_bytes(), ["a"]), None, "{json}");
        }
        assert_eq!(pick(b"{\"a\":\"\xff\"}", ["a"]), None, "not UTF-8");
    }

    #[test]
    fn elements_come_until_refused() {
        let mut seen = Vec::new();
        let whole = each_element(b"[1, \"b\" ,3,4]", |element| {
            seen.push(element);
            seen.len() < 2
        });
        assert_eq!((whole, seen), (Some(()), vec!["1", "\"b\""]));
        assert_eq!(each_element(b"{}", |_| true), None);
        assert_eq!(each_element(b"[1,", |_| true), None);
    }

    #[test]
    fn only_strings_have_text() {
        assert_eq!(text(r#""a\u00e9\n""#).as_deref(), Some("aé\n"));
        assert!(matches!(text(r#""plain""#), Some(Cow::Borrowed("plain"))));
        for raw in ["1", "null", "{}", r#""\ud83d""#, "\""] {
            assert_eq!(text(raw), None, "{raw}");
        }
    }
}
