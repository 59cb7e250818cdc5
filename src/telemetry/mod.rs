//! What the process tells of itself.

pub mod folded;
pub mod logging;
pub mod meters;
pub mod metrics;
pub mod names;
pub mod process;
pub mod repeats;
pub mod traces;
