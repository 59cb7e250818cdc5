//! The real binary, real sockets, real folders: one test binary, a file for each behaviour.
//!
//! Every test starts its own process in its own folder on its own port, so all run side by side. None sleeps to let
//! something happen: it waits for what it asks for, and fails at a deadline with what it saw instead.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where by stopping")]
#![expect(
    clippy::disallowed_methods,
    reason = "seeds and sizes of a test come from its environment, the engine's settings do not"
)]

mod support;

mod backlog;
mod bad_input;
mod balancer;
mod cluster;
mod crash;
mod deleted;
mod delivery;
mod disk;
mod files;
mod first_nodes;
mod growth;
mod health;
mod isolation;
mod main_job;
mod observe;
mod order;
mod rate;
mod restart;
mod shutdown;
mod smoke;
mod verify_python;
