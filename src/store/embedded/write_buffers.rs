//! Write buffers: full ones are changed for empty ones before the library below does it by itself, and not too many may wait.
//!
//! The library asks for a change with every commit once a buffer is full, in the queue of the worker that also merges files, and
//! carrying it out puts one more message there. With one worker, a merge of half a second is enough for a thousand commits to fill
//! that queue: the worker then waits for itself for ever, and nothing is written to files any more. With two, one turns in circles
//! while the other merges, handing a message back to itself: a core for nothing. So there is one, a thread of ours changes buffers
//! early, the library has no reason to ask, and its queue holds no more than the buffers that may wait.

use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::{Duration, Instant};

use fjall::{AbstractTree as _, Keyspace};

use super::shared::Shared;
use super::tables::{Table, Tables};
use crate::store::StoreError;

/// Full buffers that may wait to be written to files, by their nominal sizes: two of the largest and two of the smaller ones, about
/// what fills during a merge. The library alone would let four of each table wait.
const MAX_FULL_BYTES: u64 = 20 * 1024 * 1024;
/// A commit waits no longer for them: when writing files fails, the commit itself has to find out.
const WAIT: Duration = Duration::from_secs(1);
/// A look at how far files are behind waits for those that are being written; buffers are several times as large.
const WAIT_EVERY_BYTES: u64 = 1024 * 1024;
/// The smallest buffers are eight times as large.
const LOOK_EVERY_BYTES: u64 = 128 * 1024;

/// The writer's side. The thread ends when this is dropped.
#[derive(Debug)]
pub struct WriteBuffers {
    wake: SyncSender<()>,
    /// Written since the thread looked last, and since the writer did.
    unlooked_bytes: u64,
    unwaited_bytes: u64,
}

impl WriteBuffers {
    pub fn start(shared: Arc<Shared>) -> Result<Self, StoreError> {
        Self::start_with(move || {
            if let Ok(tables) = shared.tables() {
                for table in Table::ALL {
                    change_if_full(tables.of(table), table.buffer_bytes());
                }
            }
        })
    }

    fn start_with(look: impl Fn() + Send + 'static) -> Result<Self, StoreError> {
        let (wake, woken) = sync_channel(1);
        let looks = move || woken.iter().for_each(|()| look());
        let thread = std::thread::Builder::new().name("store-buffers".into());
        thread
            .spawn(looks)
            .map_err(|error| StoreError::Unavailable(format!("no thread for the write buffers: {error}")))?;
        Ok(Self { wake, unlooked_bytes: 0, unwaited_bytes: 0 })
    }

    pub fn wrote(&mut self, bytes: u64) {
        self.unlooked_bytes += bytes;
        self.unwaited_bytes += bytes;
        if self.unlooked_bytes >= LOOK_EVERY_BYTES {
            self.unlooked_bytes = 0;
            // It has been told and will look anyway.
            let _is_full = self.wake.try_send(());
        }
    }

    /// Waits while buffers fill faster than they are written to files, so that they do not pile up in memory (P7).
    #[expect(clippy::disallowed_methods, reason = "the writer's own thread, which has nothing else to do")]
    pub fn wait_for_files(&mut self, tables: &Tables) {
        if self.unwaited_bytes < WAIT_EVERY_BYTES {
            return;
        }
        self.unwaited_bytes = 0;
        let full_bytes = |table: Table| tables.of(table).sealed_memtable_count() as u64 * table.buffer_bytes();
        let is_behind = || Table::ALL.into_iter().map(full_bytes).sum::<u64>() > MAX_FULL_BYTES;
        let began = Instant::now();
        while is_behind() && began.elapsed() < WAIT {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

/// Early enough that the library, which looks after each commit, does not find it full.
fn change_if_full(table: &Keyspace, buffer_bytes: u64) {
    let is_nearly_full = table.tree.active_memtable().size() >= buffer_bytes / 4 * 3;
    if is_nearly_full && let Err(error) = table.rotate_memtable() {
        // The next commit fails as well, and the writer sees to it.
        tracing::debug!(%error, table = table.name().as_ref(), "a full write buffer was not changed");
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::atomic::AtomicBool;
    use std::sync::atomic::Ordering::Relaxed;

    use fjall::compaction::filter::{
        CompactionFilter, CompactionFilterResult, Context, Factory, ItemAccessor, Verdict,
    };
    use fjall::{Database, KeyspaceCreateOptions};

    use super::*;

    const BUFFER_BYTES: u64 = 1024 * 1024;

    /// A merge that stands still, while the test holds the lock.
    #[derive(Default)]
    struct Slow {
        is_merging: AtomicBool,
        gate: Mutex<()>,
    }

    struct SlowMerges(Arc<Slow>);

    impl Factory for SlowMerges {
        fn name(&self) -> &'static str {
            "slow"
        }

        fn make_filter(&self, _: &Context) -> Box<dyn CompactionFilter> {
            Box::new(Self(Arc::clone(&self.0)))
        }
    }

    impl CompactionFilter for SlowMerges {
        fn filter_item(&mut self, _: ItemAccessor<'_>, _: &Context) -> CompactionFilterResult {
            self.0.is_merging.store(true, Relaxed);
            drop(self.0.gate.lock().unwrap());
            Ok(Verdict::Keep)
        }
    }

    #[expect(clippy::disallowed_methods, reason = "looks again and again at what threads of the library do")]
    fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
        let began = Instant::now();
        while !holds() {
            assert!(began.elapsed() < Duration::from_secs(20), "waited in vain until {what}");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    #[test]
    fn files_are_written_again_after_a_long_merge_in_which_commits_went_on() {
        let folder = tempfile::tempdir().unwrap();
        let slow = Arc::new(Slow::default());
        let filters = {
            let slow = Arc::clone(&slow);
            move |table: &str| -> Option<Arc<dyn Factory>> {
                (table == "merged").then(|| Arc::new(SlowMerges(Arc::clone(&slow))) as Arc<dyn Factory>)
            }
        };
        let db = Database::builder(folder.path()).worker_threads(1).with_compaction_filter_factories(Arc::new(filters));
        let db = db.open().unwrap();
        let sized = || KeyspaceCreateOptions::default().max_memtable_size(BUFFER_BYTES);
        let (merged, written) = (db.keyspace("merged", sized).unwrap(), db.keyspace("written", sized).unwrap());
        let looked_at = written.clone();
        let mut buffers = WriteBuffers::start_with(move || change_if_full(&looked_at, BUFFER_BYTES)).unwrap();
        let mut commit = || {
            let mut batch = db.batch();
            batch.insert(&written, fastrand::u128(..).to_be_bytes(), [0; 100]);
            batch.commit().unwrap();
            buffers.wrote(116);
        };

        let is_held = slow.gate.lock().unwrap();
        wait_until("files are merged", || {
            merged.insert("a", "b").unwrap();
            merged.rotate_memtable().unwrap();
            wait_until("a file is written", || merged.sealed_memtable_count() == 0 || slow.is_merging.load(Relaxed));
            slow.is_merging.load(Relaxed)
        });
        // Several times what fills the library's queue, after the buffer is full.
        let fills = BUFFER_BYTES / 100;
        (0..2 * fills).take_while(|_| written.sealed_memtable_count() < 3).for_each(|_| commit());
        drop(is_held);
        let later = fills;
        (0..later).for_each(|_| commit());
        wait_until("all full buffers are in files", || {
            commit();
            written.sealed_memtable_count() == 0
        });
    }
}
