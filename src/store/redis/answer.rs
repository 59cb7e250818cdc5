//! Reads what Redis answers; what is not as expected is an error, not a panic.

use redis::Value;

use super::rows::corrupt;
use crate::domain::EventId;
use crate::store::StoreError;

fn unexpected(wanted: &str, value: &Value) -> StoreError {
    corrupt("an answer of Redis", &format!("{wanted} expected, not {value:?}"))
}

pub fn list(value: Value) -> Result<Vec<Value>, StoreError> {
    match value {
        Value::Array(items) => Ok(items),
        Value::Nil => Ok(Vec::new()),
        other => Err(unexpected("a list", &other)),
    }
}

pub fn number(value: &Value) -> Result<u64, StoreError> {
    let text = match value {
        Value::Int(number) => return Ok(u64::try_from(*number).unwrap_or(0)),
        Value::BulkString(bytes) => std::str::from_utf8(bytes).ok(),
        Value::SimpleString(text) => Some(text.as_str()),
        Value::Nil => return Ok(0),
        _ => None,
    };
    text.and_then(|text| text.parse().ok()).ok_or_else(|| unexpected("a number", value))
}

pub fn numbers(value: Value) -> Result<Vec<u64>, StoreError> {
    list(value)?.iter().map(number).collect()
}

pub fn bytes(value: Value) -> Result<Option<Vec<u8>>, StoreError> {
    match value {
        Value::BulkString(bytes) => Ok(Some(bytes)),
        Value::Nil => Ok(None),
        other => Err(unexpected("bytes", &other)),
    }
}

/// A list whose items are all there.
pub fn all_bytes(value: Value) -> Result<Vec<Vec<u8>>, StoreError> {
    let items = list(value)?.into_iter();
    items.map(|item| bytes(item)?.ok_or_else(|| unexpected("bytes", &Value::Nil))).collect()
}

pub fn event_id(bytes: &[u8]) -> Result<EventId, StoreError> {
    let raw: [u8; 16] = bytes.try_into().map_err(|_| corrupt("an event", &"its id is not 16 bytes long"))?;
    Ok(EventId::from_be_bytes(raw))
}

/// The items of an answer that must have exactly `N`.
pub fn fields<const N: usize>(value: Value) -> Result<[Value; N], StoreError> {
    let items = list(value)?;
    let count = items.len();
    items.try_into().map_err(|_| corrupt("an answer of Redis", &format!("{N} fields expected, not {count}")))
}
