//! `pombo listen`: a receiver for a terminal, and [`Receiver`], the same as a part for the demo and for tests.
//!
//! Cheap on purpose (about ten microseconds a request when quiet): whoever measures an engine must not measure its receiver.

pub mod answer;
pub mod command;
pub mod ledger;
pub mod receipt;
pub mod receiver;
pub mod show;
pub mod verify;

pub use answer::Script;
pub use command::{ListenArgs, run};
pub use ledger::{Arrivals, Ledger};
pub use receipt::{Counts, Receipt};
pub use receiver::{Receiver, ReceiverConfig, Watcher};
pub use verify::{Signature, Verifier};
