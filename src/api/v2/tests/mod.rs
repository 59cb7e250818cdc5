//! The management routes as a client sees them.

mod access;
mod business;
mod document;
mod instance;
mod shape;
mod webhook;
