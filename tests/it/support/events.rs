//! The recorded traffic of `tests/data/events.jsonl`, with `data` as the bytes in the file.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::value::RawValue;

/// One line.
#[derive(Clone, Debug)]
pub struct Event {
    /// Number of the instance, from 0.
    pub instance: usize,
    /// Wire name.
    pub kind: String,
    pub id: String,
    /// Exactly as in the file.
    pub data: String,
}

#[derive(Deserialize)]
struct Line<'a> {
    instance: usize,
    event: String,
    id: String,
    #[serde(borrow)]
    data: &'a RawValue,
}

pub fn file() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/events.jsonl")
}

/// All events, in the order of the file.
pub fn read() -> Vec<Event> {
    let text = std::fs::read_to_string(file()).expect("the recorded traffic is part of the repository");
    let parse = |line: &str| {
        let line: Line<'_> = serde_json::from_str(line).expect("every line is an event");
        Event { instance: line.instance, kind: line.event, id: line.id, data: line.data.get().to_owned() }
    };
    text.lines().map(parse).collect()
}
