//! The tables on disk, one log for all of them: a batch over several tables is atomic.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use fjall::compaction::Leveled;
use fjall::compaction::filter::Factory;
use fjall::config::PartitioningPolicy;
use fjall::{Database, Keyspace, KeyspaceCreateOptions, KvSeparationOptions};

use super::EmbeddedConfig;
use super::archive::Archive;
use super::expiry::{DropExpired, Expiry};
use crate::store::{Durability, StoreError};

const MIB: u64 = 1024 * 1024;

/// The least fjall allows. The log is read back after a crash, so it bounds recovery time and memory.
const LOG_BYTES: u64 = 64 * MIB;

/// Full write buffers that may wait to be written to files, over all tables. The library alone would let four of each table wait.
const MAX_FULL_BUFFERS: usize = 1;
/// One commit waits no longer for them: when writing files fails, the commit itself has to find out.
const BUFFERS_WAIT: Duration = Duration::from_secs(1);

/// Which table a record is in.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Table {
    Events,
    Lanes,
    History,
    Dead,
    ClientIds,
    Messages,
    Directory,
    Meta,
}

/// Open tables, and the archive beside them. Dropping the last handle closes them.
pub struct Tables {
    pub archive: Archive,
    pub db: Database,
    pub events: Keyspace,
    pub lanes: Keyspace,
    pub history: Keyspace,
    pub dead: Keyspace,
    pub client_ids: Keyspace,
    pub messages: Keyspace,
    pub directory: Keyspace,
    pub meta: Keyspace,
}

impl std::fmt::Debug for Tables {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tables").finish_non_exhaustive()
    }
}

/// What expires by itself.
#[derive(Debug, Default)]
pub struct Expiries {
    pub client_ids: Arc<Expiry>,
    pub messages: Arc<Expiry>,
}

/// Where the library below has its files.
pub fn tables_path(folder: &Path) -> PathBuf {
    folder.join("store")
}

impl Tables {
    /// What is in the folder.
    pub fn open(config: &EmbeddedConfig, expiries: &Expiries) -> Result<Self, StoreError> {
        let (client_ids, messages) = (expiries.client_ids.clone(), expiries.messages.clone());
        let filters = move |table: &str| -> Option<Arc<dyn Factory>> {
            match table {
                "client_ids" => Some(Arc::new(DropExpired(client_ids.clone()))),
                "messages" => Some(Arc::new(DropExpired(messages.clone()))),
                _ => None,
            }
        };
        let db = Database::builder(tables_path(&config.path))
            .cache_size(config.cache_bytes)
            .max_journaling_size(LOG_BYTES)
            // One alone can wait for itself for ever: during a compaction of half a second a thousand commits ask for a full buffer to be
            // changed, that fills its queue, and changing it puts a message of its own there. The price of a second is that it turns in
            // circles now and then while the first compacts, handing the same message back to itself.
            .worker_threads(2)
            .with_compaction_filter_factories(Arc::new(filters))
            .open()?;
        let sized = |mebibytes: u64| {
            // A look for a key that is not there, as for each new client id, reads the filter. Of a large file it is a megabyte, read and
            // checked as one unless it is kept in memory: so from the second level on only the part that is asked for.
            KeyspaceCreateOptions::default()
                .max_memtable_size(mebibytes * MIB)
                .filter_block_partitioning_policy(PartitioningPolicy::new([false, true]))
                .index_block_partitioning_policy(PartitioningPolicy::new([false, false, true]))
        };
        // What is not yet in files takes about twice its size in memory, and there may be some of each table on its way to a file.
        // Bodies are written once and removed from the old end: kept apart, compaction does not copy them about.
        let bodies = || sized(8).with_kv_separation(Some(KvSeparationOptions::default().file_target_size(32 * MIB)));
        // A table is synced while writers wait, when compaction has made it. And the first level holds four tables' worth, with
        // which each new file is merged.
        let history = || sized(8).compaction_strategy(Arc::new(Leveled::default().with_table_target_size(16 * MIB)));
        let events = db.keyspace("events", bodies)?;
        let (archive, syncs) = (config.path.join("archive"), config.durability == Durability::Fsync);
        Ok(Self {
            archive: Archive::open(&archive, syncs, config.archive_log_bytes, &db, &events)?,
            events,
            lanes: db.keyspace("lanes", || sized(4))?,
            history: db.keyspace("history", history)?,
            dead: db.keyspace("dead", || sized(2))?,
            client_ids: db.keyspace("client_ids", || sized(2))?,
            messages: db.keyspace("messages", || sized(2))?,
            directory: db.keyspace("directory", || sized(2))?,
            meta: db.keyspace("meta", || sized(1))?,
            db,
        })
    }

    /// Waits while write buffers fill faster than they are written to files, so that they do not pile up in memory (P7).
    #[expect(clippy::disallowed_methods, reason = "the writer's own thread, which has nothing else to do")]
    pub fn wait_for_files(&self) {
        let fast = [&self.events, &self.lanes, &self.history, &self.messages, &self.client_ids];
        let is_behind = || fast.iter().map(|table| table.sealed_memtable_count()).sum::<usize>() > MAX_FULL_BUFFERS;
        let began = Instant::now();
        while is_behind() && began.elapsed() < BUFFERS_WAIT {
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    pub const fn all(&self) -> [&Keyspace; 8] {
        let Self { events, lanes, history, dead, client_ids, messages, directory, meta, .. } = self;
        [events, lanes, history, dead, client_ids, messages, directory, meta]
    }

    pub const fn of(&self, table: Table) -> &Keyspace {
        match table {
            Table::Events => &self.events,
            Table::Lanes => &self.lanes,
            Table::History => &self.history,
            Table::Dead => &self.dead,
            Table::ClientIds => &self.client_ids,
            Table::Messages => &self.messages,
            Table::Directory => &self.directory,
            Table::Meta => &self.meta,
        }
    }
}
