//! `pombo demo`: engine, receivers and realistic traffic in one process, watched, then counted.
//!
//! One receiver is slow and one fails a fifth of the time; the count at the end still has to come out even: every
//! event at every webhook, once, but for states that a newer one superseded.

pub mod api;
pub mod board;
pub mod command;
pub mod count;
pub mod station;
pub mod traffic;

pub use command::{DemoArgs, run};
