//! Log lines on standard error, as text or JSON, at the configured level.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt;

use super::repeats::Repeats;
use crate::config::{LogFormat, Logging};

/// Logging could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum LoggingError {
    #[error("log_level {0:?} is not usable: {1}")]
    Level(String, tracing_subscriber::filter::ParseError),
    #[error("logging is already set up in this process")]
    AlreadySet,
}

/// Sets up logging for the whole process; once.
///
/// # Errors
/// [`LoggingError`].
pub fn init(logging: &Logging) -> Result<(), LoggingError> {
    let level = logging.level.as_str();
    let filter = EnvFilter::try_new(directives(level)).map_err(|error| LoggingError::Level(level.to_owned(), error))?;
    let lines =
        tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(std::io::stderr().is_terminal());
    let bounded = tracing_subscriber::registry().with(filter).with(Repeats::new());
    let set = match logging.format {
        LogFormat::Text => bounded.with(lines).try_init(),
        LogFormat::Json => bounded.with(lines.json().flatten_event(true).with_current_span(false)).try_init(),
    };
    set.map_err(|_| LoggingError::AlreadySet)
}

/// What libraries tell of their inner life is for `debug`; on `info` they are heard when something is wrong. actix_http says what
/// is wrong with callers, at `error`: a flood that anybody could start.
fn directives(level: &str) -> String {
    let quiet = if level.eq_ignore_ascii_case("info") {
        ",fjall=warn,lsm_tree=warn,actix_server=warn,actix_http=off"
    } else {
        ""
    };
    format!("{level}{quiet}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::LogLevel;

    #[test]
    fn a_second_set_up_is_refused_rather_than_ignored() {
        let logging = Logging { format: LogFormat::Json, level: LogLevel::parse("warn").expect("a level") };
        let _ = init(&logging);
        assert!(matches!(init(&logging), Err(LoggingError::AlreadySet)));
    }

    #[test]
    fn libraries_are_quiet_on_info_only() {
        let filter = EnvFilter::try_new(directives("info")).expect("valid").to_string();
        assert!(filter.contains("lsm_tree=warn") && filter.contains("info"), "{filter}");
        assert_eq!(directives("debug"), "debug");
        assert_eq!(directives("info,fjall=debug"), "info,fjall=debug");
    }

    #[test]
    fn a_mistyped_level_is_refused_and_directives_are_taken() {
        assert!(LogLevel::parse("inof").is_err());
        assert!(LogLevel::parse("").is_err());
        assert!(LogLevel::parse("info,pombo::engine=debug").is_ok());
    }
}
