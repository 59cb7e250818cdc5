//! What the behaviours are told with: a process, a client, receivers good and bad, ledgers, deadlines.
#![expect(dead_code, reason = "a toolbox: each behaviour takes what it needs")]

pub mod api;
pub mod balancer;
pub mod command;
pub mod deadline;
pub mod events;
pub mod ledger;
pub mod metrics;
pub mod nasty;
pub mod oracle;
pub mod pombo;
pub mod proxy;
pub mod receiver;
pub mod redis;
pub mod scripted;
pub mod sentinel;
pub mod signature;
pub mod window;
