//! Write buffers: full ones are changed for empty ones before the library below does it by itself, and not too many may wait.
//!
//! The library asks for a change with every commit once a buffer is full, in the queue of the worker that also merges files, and
//! carrying it out puts one more message there. With one worker, a merge of half a second is enough for a thousand commits to fill
//! that queue: the worker then waits for itself for ever, and nothing is written to files any more. With two, one turns in circles
//! while the other merges, handing a message back to itself: a core for nothing. So there is one, a thread of ours changes buffers
//! early, the library has no reason to ask, and its queue holds a few messages for each buffer that waits.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::{Duration, Instant};

use fjall::{AbstractTree as _, Keyspace, PersistMode};

use super::shared::Shared;
use super::tables::{Table, Tables};
use crate::store::StoreError;

/// Full buffers that may wait to be written to files, by their nominal sizes: two of the largest and two of the smaller ones, about
/// what fills during a merge.
const MAX_FULL_BYTES: u64 = 20 * 1024 * 1024;
/// And of one table: with four the library stops the commit itself, and would not notice that nobody writes files any more.
const MAX_FULL_OF_ONE: usize = 2;
/// While commits wait for files: whether they still can be written.
const ASK_EVERY: Duration = Duration::from_millis(500);
/// Commits wait no longer for a buffer to be changed that should have been: its thread is late, or cannot do it.
const CHANGED_WITHIN: Duration = Duration::from_secs(1);
/// Between two looks. All are small beside the last quarter of the buffers that fill quickly.
const WAIT_EVERY_BYTES: u64 = 256 * 1024;
const LOOK_EVERY_BYTES: u64 = 128 * 1024;
/// A commit counts as so many bytes at least: the library's queue counts commits, and takes a thousand.
const COMMIT_BYTES: u64 = 1024;

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
                change_full(&tables);
            }
        })
    }

    fn start_with(look: impl Fn() + Send + 'static) -> Result<Self, StoreError> {
        let (wake, woken) = sync_channel(1);
        let looks = move || {
            for () in woken {
                if catch_unwind(AssertUnwindSafe(&look)).is_err() {
                    tracing::error!("a look at the store's write buffers failed; see the line before");
                }
            }
        };
        let thread = std::thread::Builder::new().name("store-buffers".into());
        thread
            .spawn(looks)
            .map_err(|error| StoreError::Unavailable(format!("no thread for the write buffers: {error}")))?;
        Ok(Self { wake, unlooked_bytes: 0, unwaited_bytes: 0 })
    }

    /// A commit of so many bytes.
    pub fn wrote(&mut self, bytes: u64) {
        self.unlooked_bytes += bytes.max(COMMIT_BYTES);
        self.unwaited_bytes += bytes.max(COMMIT_BYTES);
        if self.unlooked_bytes >= LOOK_EVERY_BYTES {
            self.unlooked_bytes = 0;
            self.wake();
        }
    }

    fn wake(&self) {
        // Full: it has been told and will look anyway.
        let _is_told = self.wake.try_send(());
    }

    /// The thread may be late: so that the library has few occasions to ask.
    #[expect(clippy::disallowed_methods, reason = "the writer's own thread, which has nothing else to do")]
    fn wait_for_change(&self, is_overfull: impl Fn() -> bool) {
        let began = Instant::now();
        while is_overfull() && began.elapsed() < CHANGED_WITHIN {
            self.wake();
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Waits while buffers fill faster than they are written to files, so that they do not pile up in memory (P7).
    /// Ends when nothing is written any more: the next commit finds out why.
    #[expect(clippy::disallowed_methods, reason = "the writer's own thread, which has nothing else to do")]
    pub fn wait_for_files(&mut self, tables: &Tables) {
        if self.unwaited_bytes < WAIT_EVERY_BYTES {
            return;
        }
        self.unwaited_bytes = 0;
        self.wait_for_change(|| {
            Table::ALL.into_iter().any(|table| is_overfull(tables.of(table), table.buffer_bytes()))
        });
        let mut asked = Instant::now();
        while is_behind(tables) {
            std::thread::sleep(Duration::from_millis(1));
            if asked.elapsed() >= ASK_EVERY {
                asked = Instant::now();
                if tables.db.persist(PersistMode::Buffer).is_err() {
                    return;
                }
            }
        }
    }
}

fn is_behind(tables: &Tables) -> bool {
    let full = Table::ALL.map(|table| (tables.of(table).sealed_memtable_count(), table.buffer_bytes()));
    full.iter().any(|(count, _)| *count > MAX_FULL_OF_ONE)
        || full.iter().map(|(count, bytes)| *count as u64 * bytes).sum::<u64>() > MAX_FULL_BYTES
}

/// Of all tables. Also for tables just opened: what had not been written to files is one buffer again, whatever its size.
pub fn change_full(tables: &Tables) {
    for table in Table::ALL {
        change_if_full(tables.of(table), table.buffer_bytes());
    }
}

fn is_overfull(table: &Keyspace, buffer_bytes: u64) -> bool {
    table.tree.active_memtable().size() > buffer_bytes
}

/// Early enough that the library, which looks after each commit, does not find it full.
fn change_if_full(table: &Keyspace, buffer_bytes: u64) {
    let is_nearly_full = table.tree.active_memtable().size() >= buffer_bytes / 4 * 3;
    if is_nearly_full && let Err(error) = table.rotate_memtable() {
        // If it is the disk the next commit fails as well, and the writer sees to it.
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
            if fastrand::u8(..) == 0 {
                buffers.wait_for_change(|| is_overfull(&written, BUFFER_BYTES));
            }
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
        (0..fills).for_each(|_| commit());
        wait_until("all full buffers are in files", || {
            commit();
            written.sealed_memtable_count() == 0
        });
    }
}
