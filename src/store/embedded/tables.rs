//! The tables on disk, one log for all of them: a batch over several tables is atomic.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use fjall::compaction::Leveled;
use fjall::compaction::filter::Factory;
use fjall::config::PartitioningPolicy;
use fjall::{Database, Keyspace, KeyspaceCreateOptions, KvSeparationOptions, OwnedWriteBatch, Snapshot};
use parking_lot::RwLock;

use super::EmbeddedConfig;
use super::archive::Archive;
use super::expiry::{DropExpired, Expiry};
use crate::store::{Durability, StoreError};

const MIB: u64 = 1024 * 1024;

/// The least fjall allows. The log is read back after a crash, so it bounds recovery time and memory.
const LOG_BYTES: u64 = 64 * MIB;

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

impl Table {
    pub const ALL: [Self; 8] = [
        Self::Events,
        Self::Lanes,
        Self::History,
        Self::Dead,
        Self::ClientIds,
        Self::Messages,
        Self::Directory,
        Self::Meta,
    ];

    /// Of a table's write buffer. What is not yet in files takes about twice its size in memory, and there may be some of each
    /// table on its way to a file.
    pub const fn buffer_bytes(self) -> u64 {
        match self {
            Self::Events | Self::History => 8 * MIB,
            Self::Lanes => 4 * MIB,
            Self::Dead | Self::ClientIds | Self::Messages | Self::Directory => 2 * MIB,
            Self::Meta => MIB,
        }
    }
}

/// Open tables, and the archive beside them. Dropping the last handle closes them.
pub struct Tables {
    pub archive: Archive,
    pub db: Database,
    /// Held while a batch is applied, and while a snapshot is opened: when the library registers new files it makes everything visible
    /// that has a number by then, half of a batch included.
    applying: RwLock<()>,
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
            // With two, one turns in circles while the other merges; see `write_buffers` for why one does.
            .worker_threads(1)
            .with_compaction_filter_factories(Arc::new(filters))
            .open()?;
        let sized = |table: Table| {
            // A look for a key that is not there, as for each new client id, reads the filter. Of a large file it is a megabyte, read and
            // checked as one unless it is kept in memory: so from the second level on only the part that is asked for.
            KeyspaceCreateOptions::default()
                .max_memtable_size(table.buffer_bytes())
                .filter_block_partitioning_policy(PartitioningPolicy::new([false, true]))
                .index_block_partitioning_policy(PartitioningPolicy::new([false, false, true]))
        };
        let leveled = |mebibytes: u64| Arc::new(Leveled::default().with_table_target_size(mebibytes * MIB));
        // Bodies are written once and removed from the old end: kept apart, compaction does not copy them about.
        let bodies =
            || sized(Table::Events).with_kv_separation(Some(KvSeparationOptions::default().file_target_size(32 * MIB)));
        // A table is synced while writers wait, when compaction has made it. And the first level holds four tables' worth, with
        // which each new file is merged.
        let history = || sized(Table::History).compaction_strategy(leveled(16));
        // Their keys come in no order, so each merge rewrites the whole first level: 16 MiB, not the usual 256.
        let scattered = |table: Table| sized(table).compaction_strategy(leveled(4));
        let events = db.keyspace("events", bodies)?;
        let (archive, syncs) = (config.path.join("archive"), config.durability == Durability::Fsync);
        Ok(Self {
            archive: Archive::open(&archive, syncs, config.archive_log_bytes, &db, &events)?,
            events,
            lanes: db.keyspace("lanes", || sized(Table::Lanes))?,
            history: db.keyspace("history", history)?,
            dead: db.keyspace("dead", || sized(Table::Dead))?,
            client_ids: db.keyspace("client_ids", || scattered(Table::ClientIds))?,
            messages: db.keyspace("messages", || scattered(Table::Messages))?,
            directory: db.keyspace("directory", || sized(Table::Directory))?,
            meta: db.keyspace("meta", || sized(Table::Meta))?,
            db,
            applying: RwLock::new(()),
        })
    }

    /// All of each batch or nothing of it.
    pub fn snapshot(&self) -> Snapshot {
        let _nothing_is_applied = self.applying.read();
        self.db.snapshot()
    }

    pub fn commit(&self, batch: OwnedWriteBatch) -> fjall::Result<()> {
        let _nobody_looks = self.applying.write();
        batch.commit()
    }

    pub fn all(&self) -> [&Keyspace; 8] {
        Table::ALL.map(|table| self.of(table))
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
