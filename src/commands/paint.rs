//! Colour on terminals that want it.

use std::fmt::Display;
use std::io::IsTerminal;

/// Wraps texts in ANSI colours, or leaves them alone.
#[derive(Clone, Copy, Debug)]
pub struct Paint {
    pub colour: bool,
}

impl Paint {
    /// Colour when standard output is a terminal and `NO_COLOR` (no-color.org) is not set.
    pub fn for_stdout() -> Self {
        Self { colour: std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|no| no.is_empty()) }
    }

    fn wrap(self, code: &str, text: impl Display) -> String {
        if self.colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_string() }
    }

    pub fn good(self, text: impl Display) -> String {
        self.wrap("32", text)
    }

    pub fn bad(self, text: impl Display) -> String {
        self.wrap("31", text)
    }

    pub fn warn(self, text: impl Display) -> String {
        self.wrap("33", text)
    }

    pub fn strong(self, text: impl Display) -> String {
        self.wrap("1", text)
    }

    pub fn faint(self, text: impl Display) -> String {
        self.wrap("2", text)
    }
}
