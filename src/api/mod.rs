//! The HTTP API: the vendor's routes under `/api/v2`, our extensions beside them.
//!
//! A handler's arguments tell its story: first who may call it ([`access`]), then what it reads ([`json`]); its body decides
//! and answers. Every failure has the vendor's shape ([`error`]).

pub mod access;
pub mod auth;
pub mod body;
pub mod deliveries;
pub mod endpoint;
pub mod error;
pub mod ingest;
pub mod intake;
pub mod json;
pub mod legacy;
pub mod ports;
pub mod process;
pub mod routes;
pub mod state;
#[cfg(test)]
pub mod testing;
pub mod unread;
pub mod v2;
pub mod validate;
