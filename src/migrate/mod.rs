//! A store as a file: everything one store holds, as lines of JSON that any store can be filled from.
//!
//! - The first line names the format and its version; a newer one is refused before anything is written.
//! - Pages of lines are sealed: after each stands a digest of all before it. A page is taken in only when its seal is right, so what is
//!   damaged is refused at the page it is in.
//! - The last line counts what was written. A file without it was cut off: what came before it is in the store, marked as
//!   unfinished, and the import is made again with `resume`. Events that are there already are left alone.
//! - Neither side holds more than a page, whatever the size of the store.

mod export;
mod import;
mod line;
mod record;
mod seal;
#[cfg(test)]
mod tests;

use std::fmt;
use std::io;

use serde::{Deserialize, Serialize};

pub use self::export::{Export, export};
pub use self::import::{Import, import, verify};
use crate::store::StoreError;

/// Of the format; written, and the greatest that is read.
pub const VERSION: u64 = 1;

/// What was moved.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Totals {
    pub businesses: u64,
    pub instances: u64,
    pub webhooks: u64,
    pub settings: u64,
    pub events: u64,
    /// Unfinished deliveries.
    pub waiting: u64,
    pub dead: u64,
    /// Deliveries that have ended otherwise.
    pub finished: u64,
    pub messages: u64,
}

impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { businesses, instances, webhooks, settings, events, waiting, dead, finished, messages } = self;
        write!(f, "{businesses} businesses, {instances} instances, {webhooks} webhooks, {settings} settings, ")?;
        write!(f, "{events} events, {waiting} waiting, {dead} dead and {finished} finished deliveries, ")?;
        write!(f, "{messages} states of messages")
    }
}

/// Why a move did not come to its end.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("this is no export of Pombo: {0}")]
    NotAnExport(String),
    #[error(
        "the export has version {0} of the format, this program reads up to {VERSION}: import it with the program that wrote it, or a newer one"
    )]
    NewerVersion(u64),
    #[error("the export is damaged: line {line} and the {page} before it are not what was written")]
    Damaged { line: u64, page: u64 },
    #[error("the export is cut off after line {line}: it has no end")]
    Cut { line: u64 },
    #[error("line {line} of the export cannot be read: {text}")]
    Malformed { line: u64, text: String },
    #[error("there is something after the end of the export, at line {line}")]
    Trailing { line: u64 },
    #[error("the target is not empty: it holds {0}")]
    NotEmpty(String),
    #[error("an import into this store was begun and has not come to its end")]
    Unfinished,
    #[error(
        "{waiting} unfinished and {dead} dead deliveries of this store are without their event and cannot be moved"
    )]
    WithoutEvent { waiting: u64, dead: u64 },
    #[error("the target holds {found}, not {wanted} as the export says")]
    Differs { wanted: String, found: String },
}
