//! A failure in three parts: what failed, because of what, and what to do about it.

use std::fmt::Write as _;
use std::io;
use std::process::ExitCode;

use crate::config::ConfigError;
use crate::store::StoreError;

/// Wrong input of the person who started us, as clap uses it.
const USAGE: u8 = 2;

/// The text for the terminal, several lines.
pub fn explain(error: &anyhow::Error) -> String {
    let mut out = format!("error: {error}");
    let mut last = error.to_string();
    for cause in error.chain().skip(1) {
        let text = cause.to_string();
        // Wrappers often repeat what they wrap.
        if !last.contains(&text) {
            let _ = write!(out, "\n  because: {text}");
        }
        last = text;
    }
    if let Some(remedy) = error.chain().find_map(remedy) {
        let _ = write!(out, "\n  try: {remedy}");
    }
    out
}

pub fn code(error: &anyhow::Error) -> ExitCode {
    let usage = error.chain().any(<dyn std::error::Error>::is::<ConfigError>);
    if usage { ExitCode::from(USAGE) } else { ExitCode::FAILURE }
}

/// Our output's reader went away.
pub fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

fn remedy(cause: &(dyn std::error::Error + 'static)) -> Option<&'static str> {
    if let Some(error) = cause.downcast_ref::<StoreError>() {
        return match error {
            StoreError::Locked(_) => Some("stop the other process, or give this one its own folder with --data-dir"),
            StoreError::Corrupt(_) => {
                Some("keep a copy of the folder, then restore a backup or start in an empty folder")
            }
            StoreError::NewerFormat(_) => Some("run the version that wrote the data, or a newer one"),
            StoreError::Unavailable(_) => Some("run `pombo doctor`: it checks the folder and the disk"),
            StoreError::Full(_) | StoreError::Fenced { .. } | StoreError::Closed => None,
        };
    }
    match cause.downcast_ref::<io::Error>()?.kind() {
        io::ErrorKind::AddrInUse => Some("another process has this port: stop it, or choose another port"),
        io::ErrorKind::AddrNotAvailable => Some("this machine has no such address: 0.0.0.0 listens on all it has"),
        io::ErrorKind::PermissionDenied => {
            Some("check the owner of the file or folder; ports below 1024 need a right of their own")
        }
        io::ErrorKind::ConnectionRefused => {
            Some("nothing listens there: is the engine running, and is the address right?")
        }
        io::ErrorKind::StorageFull => Some("free disk space, or lower retention.history_max_bytes"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context as _;

    #[test]
    fn a_failure_shows_its_cause_once_and_a_remedy() {
        let error =
            Err::<(), _>(StoreError::Locked("./pombo-data".into())).context("cannot open the store").unwrap_err();
        let text = explain(&error);
        assert_eq!(text.matches("./pombo-data").count(), 1, "{text}");
        assert!(text.contains("because:") && text.contains("--data-dir"), "{text}");
    }

    #[test]
    fn a_wrong_configuration_is_a_usage_error() {
        let error = anyhow::Error::from(ConfigError { problems: Vec::new() });
        assert_eq!(format!("{:?}", code(&error)), format!("{:?}", ExitCode::from(2)));
        let other = anyhow::Error::from(io::Error::from(io::ErrorKind::AddrInUse));
        assert_eq!(format!("{:?}", code(&other)), format!("{:?}", ExitCode::FAILURE));
        assert!(explain(&other).contains("another port"));
    }
}
