//! Reads an object field by field and collects every problem, so that a caller learns all of them at once.
//!
//! Each problem starts with the field's full name (`rateLimit.limit`) and says what it must be. Unknown fields are ignored.

use std::fmt::Display;
use std::ops::RangeInclusive;

use serde_json::{Map, Value};

use super::error::ApiError;
use super::state::ApiState;

/// A request body or query as the handler wants it.
pub trait FromFields: Sized {
    /// Whether no body at all means the same as `{}`.
    const MAY_BE_EMPTY: bool = false;

    /// What is read when there were problems is dropped: any value will do then.
    fn read(fields: &mut Fields<'_>, state: &ApiState) -> Self;
}

/// A field that may be left out, set, or given as `null`: back to its default.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum Given<T> {
    #[default]
    Absent,
    Null,
    Value(T),
}

impl<T> Given<T> {
    /// Changes `slot` unless the field was left out.
    pub fn store(self, slot: &mut T, default: impl FnOnce() -> T) {
        match self {
            Self::Absent => {}
            Self::Null => *slot = default(),
            Self::Value(value) => *slot = value,
        }
    }

    /// What was set, where `null` means the same as leaving it out.
    pub fn value(self) -> Option<T> {
        match self {
            Self::Absent | Self::Null => None,
            Self::Value(value) => Some(value),
        }
    }

    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Given<U> {
        match self {
            Self::Absent => Given::Absent,
            Self::Null => Given::Null,
            Self::Value(value) => Given::Value(change(value)),
        }
    }
}

/// The fields of one object; reading takes them out.
#[derive(Debug)]
pub struct Fields<'p> {
    values: Map<String, Value>,
    prefix: String,
    /// Every value is a text, as in a query: numbers and booleans are read out of it.
    textual: bool,
    problems: &'p mut Vec<String>,
}

/// Reads a whole object.
///
/// # Errors
/// 400 with all problems.
pub fn read<T: FromFields>(values: Map<String, Value>, textual: bool, state: &ApiState) -> Result<T, ApiError> {
    let mut problems = Vec::new();
    let value = T::read(&mut Fields { values, prefix: String::new(), textual, problems: &mut problems }, state);
    if problems.is_empty() { Ok(value) } else { Err(ApiError::BadRequest(problems)) }
}

impl Fields<'_> {
    /// Notes that `name` is wrong, or with an empty name the object itself; `rule` says what it must be.
    pub fn problem(&mut self, name: &str, rule: impl Display) {
        let field = format!("{}{name}", self.prefix);
        self.problems.push(format!("{} {rule}", field.trim_end_matches('.')));
    }

    /// Notes a problem whose sentence names its field in full.
    pub fn report(&mut self, problem: String) {
        self.problems.push(problem);
    }

    /// The field as it came.
    pub fn raw(&mut self, name: &str) -> Given<Value> {
        match self.values.remove(name) {
            None => Given::Absent,
            Some(Value::Null) => Given::Null,
            Some(value) => Given::Value(value),
        }
    }

    /// The field read by `parse`, which answers `None` when it breaks `rule`.
    pub fn given<T>(&mut self, name: &str, rule: &str, parse: impl FnOnce(Value) -> Option<T>) -> Given<T> {
        match self.raw(name) {
            Given::Absent => Given::Absent,
            Given::Null => Given::Null,
            Given::Value(value) => parse(value).map_or_else(
                || {
                    self.problem(name, rule);
                    Given::Absent
                },
                Given::Value,
            ),
        }
    }

    /// As [`Self::given`], for a field where `null` means the same as leaving it out.
    pub fn optional<T>(&mut self, name: &str, rule: &str, parse: impl FnOnce(Value) -> Option<T>) -> Option<T> {
        self.given(name, rule, parse).value()
    }

    /// As [`Self::optional`]; its absence is a problem.
    pub fn required<T>(&mut self, name: &str, rule: &str, parse: impl FnOnce(Value) -> Option<T>) -> Option<T> {
        if self.values.get(name).is_none_or(Value::is_null) {
            self.values.remove(name);
            self.problem(name, format_args!("is required: it {rule}"));
            return None;
        }
        self.optional(name, rule, parse)
    }

    pub fn boolean(&mut self, name: &str) -> Option<bool> {
        let textual = self.textual;
        self.optional(name, "must be true or false", |value| match value {
            Value::Bool(value) => Some(value),
            Value::String(text) if textual => text.parse().ok(),
            _ => None,
        })
    }

    pub fn integer(&mut self, name: &str, range: RangeInclusive<u64>) -> Given<u64> {
        let textual = self.textual;
        let rule = integer_rule(&range);
        self.given(name, &rule, |value| as_integer(&value, textual).filter(|value| range.contains(value)))
    }

    pub fn required_integer(&mut self, name: &str, range: RangeInclusive<u64>) -> Option<u64> {
        let textual = self.textual;
        let rule = integer_rule(&range);
        self.required(name, &rule, |value| as_integer(&value, textual).filter(|value| range.contains(value)))
    }

    /// One of the names that `parse` knows.
    pub fn choice<T>(&mut self, name: &str, names: &str, parse: impl FnOnce(&str) -> Option<T>) -> Given<T> {
        self.given(name, &format!("must be one of {names}"), |value| parse(value.as_str()?))
    }

    /// A nested object.
    pub fn object<T>(&mut self, name: &str, read: impl FnOnce(&mut Fields<'_>) -> T) -> Given<T> {
        match self.raw(name) {
            Given::Absent => Given::Absent,
            Given::Null => Given::Null,
            Given::Value(Value::Object(values)) => {
                let prefix = format!("{}{name}.", self.prefix);
                Given::Value(read(&mut Fields { values, prefix, textual: self.textual, problems: self.problems }))
            }
            Given::Value(_) => {
                self.problem(name, "must be an object");
                Given::Absent
            }
        }
    }

    /// Up to `max` integers in `range`.
    pub fn integers(&mut self, name: &str, max: usize, range: RangeInclusive<u64>) -> Given<Vec<u64>> {
        let rule = format!("must be an array of at most {max} integers from {} to {}", range.start(), range.end());
        self.given(name, &rule, |value| {
            let Value::Array(items) = value else { return None };
            let read = |item: &Value| as_integer(item, false).filter(|value| range.contains(value));
            if items.len() > max { None } else { items.iter().map(read).collect() }
        })
    }

    /// Up to `max` texts of 1 to `max_chars` characters.
    pub fn texts(&mut self, name: &str, max: usize, max_chars: usize) -> Given<Vec<String>> {
        let rule = format!("must be an array of at most {max} texts of 1 to {max_chars} characters");
        self.given(name, &rule, |value| {
            let Value::Array(items) = value else { return None };
            if items.len() > max { None } else { items.into_iter().map(|item| text(item, max_chars)).collect() }
        })
    }

    /// The names of the fields not read yet.
    pub fn names(&self) -> Vec<String> {
        self.values.keys().cloned().collect()
    }
}

/// The rule of every name: `POST` needs one, `PUT` may change it.
pub const NAME_RULE: &str = "must be a text of 1 to 256 characters without control characters";

/// A text that keeps [`NAME_RULE`].
pub fn name(value: Value) -> Option<String> {
    text(value, 256).filter(|text| !text.chars().any(char::is_control))
}

/// A text of 1 to `max_chars` characters.
pub fn text(value: Value, max_chars: usize) -> Option<String> {
    let Value::String(text) = value else { return None };
    (1..=max_chars).contains(&text.chars().count()).then_some(text)
}

fn integer_rule(range: &RangeInclusive<u64>) -> String {
    format!("must be an integer from {} to {}", range.start(), range.end())
}

fn as_integer(value: &Value, textual: bool) -> Option<u64> {
    match value {
        Value::Number(number) => number.as_u64(),
        Value::String(text) if textual => text.parse().ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(body: Value, read: impl FnOnce(&mut Fields<'_>)) -> Vec<String> {
        let mut problems = Vec::new();
        let Value::Object(values) = body else { panic!("an object") };
        read(&mut Fields { values, prefix: String::new(), textual: false, problems: &mut problems });
        problems
    }

    #[test]
    fn every_problem_names_its_field_and_what_it_must_be() {
        let found = problems(serde_json::json!({"enabled": "yes", "rateLimit": {"limit": 0}}), |fields| {
            fields.required("name", NAME_RULE, name);
            fields.boolean("enabled");
            let _ = fields.object("rateLimit", |inner| {
                inner.required_integer("limit", 1..=9);
                inner.required_integer("periodMs", 100..=200);
            });
        });
        assert_eq!(
            found,
            [
                "name is required: it must be a text of 1 to 256 characters without control characters",
                "enabled must be true or false",
                "rateLimit.limit must be an integer from 1 to 9",
                "rateLimit.periodMs is required: it must be an integer from 100 to 200",
            ]
        );
    }

    #[test]
    fn null_is_told_apart_from_absent() {
        let mut slot = 7;
        let found = problems(serde_json::json!({"a": null}), |fields| {
            fields.integer("b", 1..=9).store(&mut slot, || 1);
            fields.integer("a", 1..=9).store(&mut slot, slot_default);
        });
        assert_eq!((slot, found), (slot_default(), vec![]));
    }

    fn slot_default() -> u64 {
        3
    }

    #[test]
    fn lists_are_bounded_in_length_and_content() {
        let body = serde_json::json!({"a": [1, 2, 3], "b": [1, 10], "c": ["", "x"], "d": "x"});
        let found = problems(body, |fields| {
            let _ = fields.integers("a", 2, 1..=9);
            let _ = fields.integers("b", 2, 1..=9);
            let _ = fields.texts("c", 2, 4);
            let _ = fields.texts("d", 2, 4);
        });
        assert_eq!(found.len(), 4);
    }

    #[test]
    fn names_are_counted_in_characters_and_hold_no_line_breaks() {
        assert!(name(Value::String("é".repeat(256))).is_some());
        assert!(name(Value::String("é".repeat(257))).is_none());
        assert!(name(Value::String("a\r\nx: y".into())).is_none());
    }
}
