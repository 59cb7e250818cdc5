//! What the process says of itself: to the supervisor, the load balancer, Prometheus and the reader of its documents.
//! Open to everybody who can reach the port; nothing here tells of a tenant.

pub mod document;
pub mod health;
pub mod metrics;
