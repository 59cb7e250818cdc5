//! `pombo emit`: events from a file or standard input to a running engine, as a gateway would send them.
//!
//! - `data` travels byte for byte.
//! - Batches of one instance keep their order (unless `--any-order`): they go through one connection.
//! - An answer that says "later" is obeyed; a batch without an answer is sent again, which is harmless when its events have ids.

pub mod batch;
pub mod command;
pub mod line;
pub mod sender;
pub mod tally;

pub use batch::{Batch, Batches};
pub use command::{EmitArgs, run};
pub use sender::{Sender, Sent};
