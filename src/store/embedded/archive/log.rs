//! A log of the archive: frames in the order of commits. In memory, twelve bytes a record say where it is.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use parking_lot::RwLock;

use super::super::fault::from_io;
use super::super::rows::HistoryRow;
use super::frame::{Frame, read_all};
use super::record::{DeliveryKey, Record};
use super::span::Span;
use crate::domain::{EventId, WebhookIdBits};
use crate::store::StoreError;

/// Read at once for one record: nearly all are shorter.
const LIKELY_RECORD: usize = 512;

/// See the module.
#[derive(Debug)]
pub struct Log {
    pub number: u64,
    pub path: PathBuf,
    file: File,
    index: RwLock<Index>,
    /// Its name is on disk, not only its content.
    pub is_named: AtomicBool,
    /// Records whose events have been removed.
    pub doomed: AtomicU64,
}

#[derive(Debug, Default)]
struct Index {
    /// 32 bits of the webhook, 32 of the event: see [`short`].
    keys: Vec<u64>,
    offsets: Vec<u32>,
    /// Of the file, as far as its frames are whole.
    length: u64,
    span: Span,
}

/// Tells nearly all deliveries of one log apart.
const fn short(webhook: WebhookIdBits, event: EventId) -> u64 {
    let mixed = event.as_u128().wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
    (short_webhook(webhook) << 32) | (mixed >> 96) as u64
}

const fn short_webhook(webhook: WebhookIdBits) -> u64 {
    (webhook ^ (webhook >> 64)) as u64 & 0xffff_ffff
}

impl Index {
    fn add(&mut self, (webhook, event): DeliveryKey, offset: u64) {
        self.keys.push(short(webhook, event));
        self.offsets.push(offset as u32);
        self.span.add(event);
    }
}

impl Log {
    /// A new file.
    pub fn create(folder: &Path, number: u64) -> Result<Self, StoreError> {
        let path = path(folder, number);
        let file = File::options().read(true).write(true).create_new(true).open(&path);
        let file = file.map_err(|error| from_io(&error))?;
        Ok(Self::new(number, path, file, Index::default(), false))
    }

    /// One of an earlier process. What a loss of power has left torn at its end is cut off: deliveries told there are made again.
    pub fn open(folder: &Path, number: u64) -> Result<Self, StoreError> {
        let path = path(folder, number);
        let open = || -> std::io::Result<(File, Vec<u8>)> {
            let file = File::options().read(true).write(true).open(&path)?;
            let bytes = std::fs::read(&path)?;
            Ok((file, bytes))
        };
        let (file, bytes) = open().map_err(|error| from_io(&error))?;
        let mut index = Index::default();
        let whole = read_all(&bytes, |at, record| {
            index.add(record.key, at as u64);
            Ok(())
        })?;
        index.length = whole as u64;
        if whole < bytes.len() {
            let torn = bytes.len() - whole;
            tracing::warn!(path = %path.display(), torn, "the end of an archive log is torn and was cut off");
            file.set_len(index.length).map_err(|error| from_io(&error))?;
        }
        Ok(Self::new(number, path, file, index, true))
    }

    const fn new(number: u64, path: PathBuf, file: File, index: Index, is_named: bool) -> Self {
        let (is_named, doomed) = (AtomicBool::new(is_named), AtomicU64::new(0));
        Self { number, path, file, index: RwLock::new(index), is_named, doomed }
    }

    /// Hands a frame to the system.
    pub fn append(&self, frame: Frame) -> Result<(), StoreError> {
        let (bytes, records) = frame.finish();
        let start = self.length();
        self.file.write_all_at(&bytes, start).map_err(|error| from_io(&error))?;
        let mut index = self.index.write();
        index.length += bytes.len() as u64;
        for (key, at) in records {
            index.add(key, start + u64::from(at));
        }
        Ok(())
    }

    pub fn sync(&self) -> Result<(), StoreError> {
        self.file.sync_data().map_err(|error| from_io(&error))
    }

    pub fn length(&self) -> u64 {
        self.index.read().length
    }

    pub fn records(&self) -> u64 {
        self.index.read().keys.len() as u64
    }

    pub fn span(&self) -> Span {
        self.index.read().span
    }

    /// Bytes of records whose events are still there, about.
    pub fn live_bytes(&self) -> u64 {
        let index = self.index.read();
        share(index.length, index.keys.len() as u64, self.doomed.load(Relaxed))
    }

    /// All that is whole in it.
    pub fn read(&self) -> Result<Vec<u8>, StoreError> {
        let mut bytes = vec![0; self.length() as usize];
        self.file.read_exact_at(&mut bytes, 0).map_err(|error| from_io(&error))?;
        Ok(bytes)
    }

    /// The newest row of a delivery.
    pub fn find(&self, (webhook, event): DeliveryKey) -> Result<Option<HistoryRow>, StoreError> {
        let wanted = short(webhook, event);
        let places: Vec<u32> = {
            let index = self.index.read();
            let same = index.keys.iter().enumerate().rev().filter(|(_, key)| **key == wanted);
            same.map(|(at, _)| index.offsets[at]).collect()
        };
        let mut bytes = vec![0; LIKELY_RECORD];
        for place in places {
            bytes.resize(LIKELY_RECORD, 0);
            let read = self.read_up_to(&mut bytes, u64::from(place))?;
            if Record::read(&bytes[..read]).is_none() {
                bytes.resize(2 * usize::from(u16::MAX), 0);
                let read = self.read_up_to(&mut bytes, u64::from(place))?;
                bytes.truncate(read);
            }
            if let Some(record) = Record::read(&bytes)
                && record.key == (webhook, event)
            {
                return record.row().map(Some);
            }
        }
        Ok(None)
    }

    /// Reads until the buffer is full or the file ends.
    fn read_up_to(&self, buffer: &mut [u8], at: u64) -> Result<usize, StoreError> {
        let mut filled = 0;
        while filled < buffer.len() {
            match self.file.read_at(&mut buffer[filled..], at + filled as u64) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(from_io(&error)),
            }
        }
        Ok(filled)
    }

    /// Whether there may be something of the webhook.
    pub fn may_hold(&self, webhook: WebhookIdBits) -> bool {
        let wanted = short_webhook(webhook);
        self.index.read().keys.iter().any(|key| key >> 32 == wanted)
    }
}

/// What of `bytes` the records that are not doomed take.
pub fn share(bytes: u64, records: u64, doomed: u64) -> u64 {
    let left = records.saturating_sub(doomed);
    if records == 0 { 0 } else { (u128::from(bytes) * u128::from(left) / u128::from(records)) as u64 }
}

fn path(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("{number:016x}.log"))
}
