//! The API as its callers meet it.

mod deliveries;
mod events;
mod legacy;
mod process;
