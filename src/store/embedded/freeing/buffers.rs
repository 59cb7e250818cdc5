//! Full write buffers are taken down where nobody waits.
//!
//! The library lets go of a buffer some time after it has been written to a file, and does so under the lock that every write to and
//! read of the table needs. Taking down the hundred thousand records of a full buffer takes some 10 ms. So each buffer is held here
//! as well, from when it is in use: what the library lets go of then is a count, and the last to hold it is this thread.

use std::any::Any;
use std::sync::Arc;

use fjall::AbstractTree as _;

use super::super::tables::Tables;

/// See the module.
#[derive(Default)]
pub struct HeldBuffers(Vec<Arc<dyn Any + Send + Sync>>);

impl HeldBuffers {
    /// Takes hold of buffers that came into use, and down those that nobody else holds any more.
    /// To be called several times in the time in which a buffer fills.
    pub fn look(&mut self, tables: &Tables) {
        for table in tables.all() {
            let in_use: Arc<dyn Any + Send + Sync> = table.tree.active_memtable();
            if !self.0.iter().any(|held| Arc::ptr_eq(held, &in_use)) {
                self.0.push(in_use);
            }
        }
        self.0.retain(|held| Arc::strong_count(held) > 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::embedded::EmbeddedConfig;
    use crate::store::embedded::tables::Expiries;

    #[test]
    fn a_buffer_is_held_until_it_is_in_a_file_and_no_longer() {
        let folder = tempfile::tempdir().unwrap();
        let tables = Tables::open(&EmbeddedConfig::new(folder.path()), &Expiries::default()).unwrap();
        let mut held = HeldBuffers::default();
        held.look(&tables);
        held.look(&tables);
        let in_use = tables.all().len();
        assert_eq!(held.0.len(), in_use);
        // The library keeps the last buffer that is in a file until a later one is.
        for _ in 0..4 {
            tables.history.insert("a", "b").unwrap();
            tables.history.rotate_memtable_and_wait().unwrap();
            held.look(&tables);
            assert!(held.0.len() <= in_use + 2, "{}", held.0.len());
        }
    }
}
