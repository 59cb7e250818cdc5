//! The promises of this layer against receivers that break every rule.

mod addresses;
mod answers;
mod connections;
mod http2;
mod secure;
