//! The result of a check.

use crate::commands::paint::Paint;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Level {
    Good,
    Warning,
    Failure,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Finding {
    pub level: Level,
    pub subject: &'static str,
    pub text: String,
    /// What to do; empty when nothing is.
    pub remedy: String,
}

impl Finding {
    pub fn good(subject: &'static str, text: impl Into<String>) -> Self {
        Self { level: Level::Good, subject, text: text.into(), remedy: String::new() }
    }

    pub fn warn(subject: &'static str, text: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { level: Level::Warning, subject, text: text.into(), remedy: remedy.into() }
    }

    pub fn fail(subject: &'static str, text: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { level: Level::Failure, subject, text: text.into(), remedy: remedy.into() }
    }

    pub fn show(&self, paint: Paint) -> String {
        let mark = match self.level {
            Level::Good => paint.good("ok  "),
            Level::Warning => paint.warn("warn"),
            Level::Failure => paint.bad("FAIL"),
        };
        let remedy = if self.remedy.is_empty() { String::new() } else { format!("\n     → {}", self.remedy) };
        format!("{mark} {}: {}{remedy}", paint.strong(self.subject), self.text)
    }
}
