//! The management routes as a client sees them.

mod access;
mod business;
mod cluster;
mod document;
mod instance;
mod shape;
mod webhook;
