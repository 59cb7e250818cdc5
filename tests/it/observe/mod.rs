//! Seen from outside: what metrics, logs and traces tell is what happened.

mod ledgers;
mod logs;
mod top;
mod traces;
