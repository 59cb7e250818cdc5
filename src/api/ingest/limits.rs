//! The bounds of one ingest request. Each refusal names the bound it ran into.

/// What one request may carry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct IngestLimits {
    /// Of the body after inflation; a compressed body may not be longer than this either.
    pub max_body_bytes: usize,
    pub max_events: usize,
    /// Of an event's `id` and of `Idempotency-Key`.
    pub max_id_bytes: usize,
}

impl Default for IngestLimits {
    fn default() -> Self {
        Self { max_body_bytes: 32 << 20, max_events: 10_000, max_id_bytes: 256 }
    }
}
