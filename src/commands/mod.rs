//! The commands beside `serve`: each a promise to a person at a terminal.

pub mod cluster;
pub mod config;
pub mod demo;
pub mod doctor;
pub mod emit;
pub mod health;
pub mod http;
pub mod listen;
pub mod paint;

use std::io;
use std::time::Duration;

/// A runtime of one thread for commands that are not the engine.
pub(crate) fn runtime() -> io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}

/// Reads `250ms`, `2s`, `1m30s`.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || "write a time such as 250ms, 2s or 1m30s".to_owned();
    let signed: jiff::SignedDuration = text.parse().map_err(|_| wrong())?;
    Duration::try_from(signed).map_err(|_| wrong())
}
