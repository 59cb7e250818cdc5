//! Pombo: an actor-based webhook delivery engine for WhatsApp instances.
//!
//! The layers, each using only those before it:
//! `domain ← policy ← {format, store, directory, transport} ← engine ← api ← app ← main`;
//! `telemetry`, `config` and `shutdown` stand beside them. `ARCHITECTURE.md` walks one event through the house.

pub mod api;
pub mod app;
pub mod cli;
pub mod cluster;
pub mod commands;
pub mod config;
pub mod directory;
pub mod domain;
pub mod engine;
pub mod format;
pub mod migrate;
pub mod policy;
pub mod shutdown;
pub mod store;
pub mod telemetry;
pub mod transport;

/// The Rust of the documents, run by `cargo test --doc`.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
#[doc = include_str!("../docs/receivers.md")]
#[derive(Debug)]
pub struct Documents;
