//! A line of the input: `{"instance"?, "event", "id"?, "occurredAt"?, "data"}`.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::domain::EventKind;

/// What the API takes: the line without its instance. `data` is the text of the line itself.
#[derive(Serialize, Deserialize, Debug)]
pub struct Entry<'a> {
    #[serde(borrow)]
    pub event: Cow<'a, str>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub id: Option<Cow<'a, str>>,
    #[serde(borrow, default, rename = "occurredAt", skip_serializing_if = "Option::is_none")]
    pub occurred_at: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub data: &'a RawValue,
}

#[derive(Deserialize)]
struct InstanceOnly<'a> {
    #[serde(borrow, default)]
    instance: Option<&'a RawValue>,
}

/// Which instance an event goes to.
#[derive(Clone, Debug)]
pub enum Destination {
    /// All to this one, whatever the line says.
    Fixed(String),
    /// The line's, with this before it.
    Mapped(String),
}

impl Destination {
    fn of(&self, line: &str) -> Result<String, String> {
        let prefix = match self {
            Self::Fixed(instance) => return Ok(instance.clone()),
            Self::Mapped(prefix) => prefix,
        };
        let own: InstanceOnly<'_> = serde_json::from_str(line).map_err(|error| error.to_string())?;
        let text = own.instance.map(RawValue::get).ok_or("no `instance`: give --instance, or one in each line")?;
        let name = if text.starts_with('"') {
            serde_json::from_str::<String>(text).map_err(|error| error.to_string())?
        } else if text.bytes().all(|byte| byte.is_ascii_digit()) {
            text.to_owned()
        } else {
            return Err(format!("`instance` is {text}: a text or a number is needed"));
        };
        Ok(format!("{prefix}{name}"))
    }
}

/// Reads a line and where it goes.
///
/// # Errors
/// What is wrong with it.
pub fn parse<'a>(line: &'a str, destination: &Destination) -> Result<(String, Entry<'a>), String> {
    let entry: Entry<'a> = serde_json::from_str(line).map_err(|error| error.to_string())?;
    if EventKind::parse(&entry.event).is_none() {
        return Err(format!("there is no event kind {:?}", entry.event));
    }
    Ok((destination.of(line)?, entry))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mapped() -> Destination {
        Destination::Mapped("demo-".into())
    }

    #[test]
    fn data_travels_byte_for_byte() {
        let line = r#"{"instance":6,"event":"messages.upsert","id":"e1","data":{"b" : 1.10,  "a":"\u00e9😀", "n":90169767234937133530}}"#;
        let (instance, entry) = parse(line, &mapped()).expect("valid");
        assert_eq!(instance, "demo-6");
        let sent = serde_json::to_string(&entry).expect("JSON");
        assert!(sent.contains(r#""data":{"b" : 1.10,  "a":"\u00e9😀", "n":90169767234937133530}"#), "{sent}");
        assert!(!sent.contains("instance"));
    }

    #[test]
    fn instances_are_texts_or_numbers_and_a_fixed_one_wins() {
        let line = r#"{"instance":"a","event":"new.jwt","data":{}}"#;
        assert_eq!(parse(line, &mapped()).expect("valid").0, "demo-a");
        assert_eq!(parse(line, &Destination::Fixed("x".into())).expect("valid").0, "x");
        for bad in [r#"{"event":"new.jwt","data":{}}"#, r#"{"instance":[1],"event":"new.jwt","data":{}}"#] {
            assert!(parse(bad, &mapped()).is_err(), "{bad}");
            assert!(parse(bad, &Destination::Fixed("x".into())).is_ok(), "{bad}");
        }
    }

    #[test]
    fn wrong_lines_say_what_is_wrong() {
        let reason = |line| parse(line, &mapped()).expect_err("wrong");
        assert!(reason(r#"{"instance":1,"event":"messages.upsert"}"#).contains("data"));
        assert!(reason(r#"{"instance":1,"event":"messages.upsett","data":1}"#).contains("messages.upsett"));
        assert!(reason("oi").contains("line 1"));
    }

    #[test]
    fn every_line_of_the_test_data_is_read() {
        let lines = include_str!("../../../tests/data/events.jsonl");
        for line in lines.lines() {
            parse(line, &mapped()).unwrap_or_else(|error| panic!("{error}: {line}"));
        }
    }
}
