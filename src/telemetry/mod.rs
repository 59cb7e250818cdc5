//! What the process tells of itself.

pub mod flood;
pub mod logging;
pub mod meters;
pub mod metrics;
pub mod names;
pub mod process;
