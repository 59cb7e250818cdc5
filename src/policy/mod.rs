//! Pure decisions of delivery: the current instant and randomness are arguments, nothing here reads a clock or does I/O.

pub mod breaker;
pub mod classify;
pub mod gate;
pub mod pace;
pub mod retry;
pub mod window;

#[cfg(test)]
mod simulation;

pub use breaker::{Breaker, BreakerConfig, CircuitState, Generation};
pub use classify::{Verdict, classify};
pub use gate::{Gate, GateConfig, Hold, Permit};
pub use pace::Pace;
pub use retry::{RetryLimits, next_attempt};
pub use window::{Window, WindowConfig};
