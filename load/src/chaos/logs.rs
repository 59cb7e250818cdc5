//! The nodes' log lines, by level and by what they say, between two moments.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Serialize;
use serde_json::Value;

/// How far each log had been written at a moment.
pub type Marks = Vec<usize>;

pub fn mark(logs: &[PathBuf]) -> Marks {
    let length = |log: &PathBuf| std::fs::metadata(log).map_or(0, |data| data.len() as usize);
    logs.iter().map(length).collect()
}

/// Of one node in one phase.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Lines {
    pub info: u64,
    pub warn: u64,
    pub error: u64,
    /// What is not of the log's own shape: the words of a panic, say.
    pub strange: u64,
    /// Of the warnings and errors, and of the strange lines.
    pub messages: BTreeMap<String, u64>,
}

impl Lines {
    pub const fn loud(&self) -> u64 {
        self.warn + self.error + self.strange
    }
}

/// The lines of `text`.
pub fn count(text: &str) -> Lines {
    let mut lines = Lines::default();
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        let fields: Value = serde_json::from_str(line).unwrap_or_default();
        let counter = match fields["level"].as_str() {
            Some("ERROR") => &mut lines.error,
            Some("WARN") => &mut lines.warn,
            Some(_) => {
                lines.info += 1;
                continue;
            }
            None => &mut lines.strange,
        };
        *counter += 1;
        let said = fields["message"].as_str().map_or_else(|| line.to_owned(), str::to_owned);
        *lines.messages.entry(said.chars().take(160).collect()).or_default() += 1;
    }
    lines
}

/// What each log says between each mark and the next; after the last, to its end. By phase, then by node.
pub fn by_phase(logs: &[PathBuf], marks: &[Marks]) -> Vec<Vec<Lines>> {
    let texts: Vec<Vec<u8>> = logs.iter().map(|log| std::fs::read(log).unwrap_or_default()).collect();
    let phase = |phase: usize| {
        let node = |(node, text): (usize, &Vec<u8>)| {
            let until = marks.get(phase + 1).map_or(text.len(), |marks| marks[node]).min(text.len());
            count(&String::from_utf8_lossy(&text[marks[phase][node].min(until)..until]))
        };
        texts.iter().enumerate().map(node).collect()
    };
    (0..marks.len()).map(phase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_counted_by_level_and_what_is_no_log_line_is_loud() {
        let text = "{\"level\":\"INFO\",\"message\":\"a\"}\n{\"level\":\"WARN\",\"message\":\"b\"}\n\
                    {\"level\":\"WARN\",\"message\":\"b\"}\nthread panicked\n";
        let lines = count(text);
        assert_eq!((lines.info, lines.warn, lines.error, lines.strange, lines.loud()), (1, 2, 0, 1, 3));
        assert_eq!(lines.messages["b"], 2);
        assert_eq!(lines.messages["thread panicked"], 1);
    }
}
