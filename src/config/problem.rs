//! What is wrong with a configuration: all of it at once, each with a way out.

use std::fmt;
use std::path::PathBuf;

/// Where a value came from, lowest precedence first.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Source {
    Default,
    File(PathBuf),
    /// The variable's name.
    Environment(String),
    /// The flag as typed, e.g. `--listen`.
    Flag(String),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Environment(name) => f.write_str(name),
            Self::Flag(flag) => f.write_str(flag),
        }
    }
}

/// Why a text is not a value of a setting, and what would be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Bad {
    pub problem: String,
    pub remedy: String,
}

impl Bad {
    pub fn new(problem: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { problem: problem.into(), remedy: remedy.into() }
    }
}

/// One finding about one value of one source.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Problem {
    pub setting: String,
    pub source: Source,
    /// As it may be shown: masked when the setting is a secret; `None` when there is no single value to show.
    pub value: Option<String>,
    pub bad: Bad,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.setting)?;
        if let Some(value) = &self.value {
            write!(f, " = {value:?}")?;
        }
        write!(f, " (from {}): {}\n    → {}", self.source, self.bad.problem, self.bad.remedy)
    }
}

/// A configuration that cannot be used.
#[derive(Clone, Debug)]
pub struct ConfigError {
    /// At least one.
    pub problems: Vec<Problem>,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.problems.len();
        write!(f, "the configuration has {count} problem{}:", if count == 1 { "" } else { "s" })?;
        for problem in &self.problems {
            write!(f, "\n  {problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}
