//! What readers and the writer have in common.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use parking_lot::RwLock;

use super::EmbeddedConfig;
use super::counts::Counts;
use super::recent::Recent;
use super::recover::{Found, recover};
use super::tables::{Expiries, Tables};
use super::write_buffers::change_full;
use crate::store::StoreError;

/// How long closing waits for reads that are under way.
const READS_END_WITHIN: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub struct Shared {
    pub config: EmbeddedConfig,
    /// `None` while the tables are being opened again after a failed write, and after the close.
    tables: RwLock<Option<Arc<Tables>>>,
    pub is_closed: AtomicBool,
    pub counts: Counts,
    pub recent: RwLock<Recent>,
    pub expiries: Expiries,
    pub figures: Figures,
}

/// For [`Store::stats`](crate::store::Store::stats): kept here because asking the tables could wait for a running fsync.
#[derive(Debug, Default)]
pub struct Figures {
    pub disk_bytes: AtomicU64,
    pub disk_free_bytes: AtomicU64,
    /// Of removed files, on its way back (see `freeing`).
    pub freeing_bytes: AtomicU64,
    pub commits: AtomicU64,
    pub fsyncs: AtomicU64,
    pub written_bytes: AtomicU64,
}

impl Shared {
    pub fn open(config: EmbeddedConfig) -> Result<(Self, Found), StoreError> {
        let shared = Self {
            config,
            tables: RwLock::new(None),
            is_closed: AtomicBool::new(false),
            counts: Counts::default(),
            recent: RwLock::default(),
            expiries: Expiries::default(),
            figures: Figures::default(),
        };
        let mut found = shared.open_tables()?;
        shared.counts.replace(std::mem::take(&mut found.totals));
        *shared.recent.write() = std::mem::take(&mut found.recent);
        Ok((shared, found))
    }

    /// Opens the tables and puts them in place; the counts are the caller's to replace.
    pub fn open_tables(&self) -> Result<Found, StoreError> {
        let began = Instant::now();
        let tables = Tables::open(&self.config, &self.expiries)?;
        change_full(&tables);
        let found = recover(&tables, began)?;
        *self.tables.write() = Some(Arc::new(tables));
        self.measure_disk();
        Ok(found)
    }

    pub fn tables(&self) -> Result<Arc<Tables>, StoreError> {
        if self.is_closed.load(Relaxed) {
            return Err(StoreError::Closed);
        }
        let opening = || StoreError::Unavailable("it is being opened again after a failed write".into());
        self.tables.read().clone().ok_or_else(opening)
    }

    /// Takes the tables away and waits for the reads that use them, so that dropping the answer closes them.
    pub fn take_tables(&self) -> Option<Tables> {
        let mut tables = self.tables.write().take()?;
        let deadline = Instant::now() + READS_END_WITHIN;
        loop {
            match Arc::try_unwrap(tables) {
                Ok(tables) => return Some(tables),
                Err(still_read) if Instant::now() < deadline => tables = still_read,
                Err(_) => return None,
            }
            std::thread::park_timeout(Duration::from_millis(1));
        }
    }

    /// Reads the sizes anew: a call or two to the system.
    pub fn measure_disk(&self) {
        if let Ok(tables) = self.tables()
            && let Ok(bytes) = tables.db.disk_space()
        {
            self.figures.disk_bytes.store(bytes + tables.archive.bytes(), Relaxed);
        }
        match rustix::fs::statvfs(&self.config.path) {
            Ok(disk) => self.figures.disk_free_bytes.store(disk.f_bavail.saturating_mul(disk.f_frsize), Relaxed),
            Err(error) => tracing::warn!(%error, "the free space of the disk is unknown"),
        }
    }

    /// Whether there is room for new events: what is left of the disk is for settling and removing.
    pub fn check_room(&self) -> Result<(), StoreError> {
        let free = self.figures.disk_free_bytes.load(Relaxed);
        if free >= self.config.reserve_bytes {
            return Ok(());
        }
        let reserve = self.config.reserve_bytes;
        Err(StoreError::Full(format!("{free} bytes are free, {reserve} are kept in reserve")))
    }
}
