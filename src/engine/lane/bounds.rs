//! How much of a lane may be in memory (P7).

/// Bounds of one lane's memory.
#[derive(Clone, Copy, Debug)]
pub struct LaneBounds {
    /// Entries of each of the live and the low part; also of the waiting retries.
    pub waiting: usize,
    /// Entries read from the store at once.
    pub page: usize,
    /// Entries that wait behind ordered keys, all keys together.
    pub parked: usize,
    /// Entries that wait behind one key before the rest is parked in the store.
    pub parked_per_key: usize,
    /// Ordered keys that may be blocked at once: at the bound no fresh entry starts until one is free.
    pub blocked_keys: usize,
}

impl Default for LaneBounds {
    fn default() -> Self {
        Self { waiting: 512, page: 256, parked: 1_024, parked_per_key: 64, blocked_keys: 65_536 }
    }
}
