//! The lines: each an object with one field that says what it is.

use serde::{Deserialize, Serialize};

use super::record::{EventLine, MessageLine};
use super::{MigrateError, Totals, VERSION};
use crate::domain::{Business, Instance, Timestamp, Webhook};

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Line {
    Pombo(Header),
    Business(Box<Business>),
    Instance(Box<Instance>),
    Webhook(Box<Webhook>),
    Setting(SettingLine),
    Event(Box<EventLine>),
    Message(MessageLine),
    End(Totals),
}

/// The first line.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Header {
    pub version: u64,
    /// Where it comes from, for people.
    pub from: String,
    /// The version of the program that wrote it.
    pub program: String,
    pub written_at: Timestamp,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SettingLine {
    pub name: String,
    pub value: Blob,
}

impl Line {
    pub fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("lines are plain data")
    }

    pub fn decode(text: &str, line: u64) -> Result<Self, MigrateError> {
        serde_json::from_str(text).map_err(|error| MigrateError::Malformed { line, text: error.to_string() })
    }
}

/// Checks the first line before anything else is understood of it: a newer format may have changed all but the version's place.
pub fn check_header(text: &[u8]) -> Result<Header, MigrateError> {
    let not_an_export = |error: serde_json::Error| MigrateError::NotAnExport(error.to_string());
    if text.is_empty() {
        return Err(MigrateError::NotAnExport("it is empty".into()));
    }
    let value: serde_json::Value = serde_json::from_slice(text).map_err(not_an_export)?;
    let header = value.get("pombo").ok_or_else(|| MigrateError::NotAnExport("its first line is another one".into()))?;
    match header["version"].as_u64() {
        None => Err(MigrateError::NotAnExport("its first line has no version".into())),
        Some(version) if version > VERSION => Err(MigrateError::NewerVersion(version)),
        Some(_) => Header::deserialize(header).map_err(not_an_export),
    }
}

/// Bytes: as text where they are.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Blob {
    Text(String),
    Binary { base64: String },
}

impl From<&[u8]> for Blob {
    fn from(bytes: &[u8]) -> Self {
        use base64::Engine as _;
        match std::str::from_utf8(bytes) {
            Ok(text) => Self::Text(text.to_owned()),
            Err(_) => Self::Binary { base64: base64::engine::general_purpose::STANDARD.encode(bytes) },
        }
    }
}

impl Blob {
    pub fn bytes(self) -> Result<Vec<u8>, String> {
        use base64::Engine as _;
        match self {
            Self::Text(text) => Ok(text.into_bytes()),
            Self::Binary { base64 } => {
                base64::engine::general_purpose::STANDARD.decode(base64).map_err(|error| error.to_string())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_read_back_whatever_they_are() {
        for bytes in [&b"{\"a\":  1.0}\n"[..], b"", &[0xff, 0, 1]] {
            let text = serde_json::to_string(&Blob::from(bytes)).unwrap();
            assert!(!text.contains('\n'));
            assert_eq!(serde_json::from_str::<Blob>(&text).unwrap().bytes().unwrap(), bytes);
        }
    }

    #[test]
    fn a_newer_format_is_refused_whatever_else_it_says() {
        let newer = check_header(br#"{"pombo":{"version":2,"news":true}}"#);
        assert!(matches!(newer, Err(MigrateError::NewerVersion(2))));
        for other in ["", "{}", "[1]", "{\"pombo\":1}", "{\"event\":{}}", "PK\u{3}\u{4}"] {
            assert!(matches!(check_header(other.as_bytes()), Err(MigrateError::NotAnExport(_))), "{other}");
        }
    }
}
