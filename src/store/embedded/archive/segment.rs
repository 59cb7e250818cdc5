//! A sealed file of the archive: the records of a log, sorted by webhook and event, and never changed.
//!
//! Blocks of records; then of each block its first webhook 16, first event 16, offset 4, length 4, CRC-32 4; then the foot: number of
//! records 8, oldest event 16, newest event 16, offset of the blocks' list 4, number of blocks 4, CRC-32 of the list 4, [`MAGIC`] 8.
//! Big-endian. In memory there is only what the foot tells.

use std::fs::File;
use std::io::Write as _;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::super::fault::{corrupt, from_io};
use super::super::rows::HistoryRow;
use super::log::share;
use super::record::{DeliveryKey, Record, Records};
use super::span::Span;
use crate::domain::{EventId, WebhookIdBits};
use crate::store::StoreError;

const MAGIC: &[u8; 8] = b"pombo-a1";
const FOOT: usize = 60;
const LISTED: usize = 44;
/// What is read at least for one record.
const BLOCK_BYTES: usize = 16 * 1024;
/// Handed to the disk at once: a sync of a commit that meets it waits no longer than for this.
const SYNC_EVERY: usize = 1024 * 1024;

/// See the module.
#[derive(Debug)]
pub struct Segment {
    pub number: u64,
    pub path: PathBuf,
    pub span: Span,
    pub records: u64,
    pub bytes: u64,
    /// Records whose events have been removed.
    pub doomed: AtomicU64,
    /// The walk of retention in which it was looked through last.
    pub swept_in: AtomicU64,
}

/// A block as the list tells of it.
#[derive(Clone, Copy, Debug)]
struct Block {
    first: DeliveryKey,
    offset: u32,
    length: u32,
    sum: u32,
}

/// A segment that is being read. Its file stays as it is meanwhile, also when it is replaced or has lost its name.
#[derive(Debug)]
pub struct Reader {
    file: File,
    segment: Arc<Segment>,
    blocks: Vec<Block>,
}

pub fn path(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("{number:016x}.rows"))
}

/// Writes records as a file of its own and moves it to its place once it is on disk.
pub fn write(folder: &Path, number: u64, mut records: Vec<Record<'_>>) -> Result<Segment, StoreError> {
    // Stable: of two rows of the same delivery the one that was written last stays last.
    records.sort_by_key(|record| record.key);
    let place = path(folder, number);
    let draft = place.with_extension("draft");
    let written = || -> std::io::Result<(u64, Span)> {
        let mut file = File::create(&draft)?;
        let written = write_to(&mut file, &records)?;
        file.sync_all()?;
        std::fs::rename(&draft, &place)?;
        File::open(folder)?.sync_all()?;
        Ok(written)
    };
    let (bytes, span) = written().map_err(|error| from_io(&error))?;
    Ok(Segment::new(number, place, span, records.len() as u64, bytes))
}

/// Answers how long the file is, and which events it spans.
fn write_to(file: &mut File, records: &[Record<'_>]) -> std::io::Result<(u64, Span)> {
    let (mut buffer, mut list, mut span) = (Vec::with_capacity(SYNC_EVERY + BLOCK_BYTES), Vec::new(), Span::default());
    let (mut written, mut blocks, mut rest) = (0usize, 0u32, records);
    while let Some(first) = rest.first() {
        let start = buffer.len();
        let mut taken = 0;
        for record in rest {
            if taken > 0 && buffer.len() - start + record.bytes.len() > BLOCK_BYTES {
                break;
            }
            buffer.extend_from_slice(record.bytes);
            span.add(record.key.1);
            taken += 1;
        }
        let block = &buffer[start..];
        list.extend_from_slice(&first.key.0.to_be_bytes());
        list.extend_from_slice(&first.key.1.to_be_bytes());
        for part in [(written + start) as u32, block.len() as u32, crc32fast::hash(block)] {
            list.extend_from_slice(&part.to_be_bytes());
        }
        blocks += 1;
        rest = &rest[taken..];
        if buffer.len() >= SYNC_EVERY {
            file.write_all(&buffer)?;
            file.sync_data()?;
            written += buffer.len();
            buffer.clear();
        }
    }
    let list_at = (written + buffer.len()) as u32;
    buffer.extend_from_slice(&list);
    buffer.extend_from_slice(&(records.len() as u64).to_be_bytes());
    buffer.extend_from_slice(&span.oldest.to_be_bytes());
    buffer.extend_from_slice(&span.newest.to_be_bytes());
    for part in [list_at, blocks, crc32fast::hash(&list)] {
        buffer.extend_from_slice(&part.to_be_bytes());
    }
    buffer.extend_from_slice(MAGIC);
    file.write_all(&buffer)?;
    Ok(((written + buffer.len()) as u64, span))
}

/// Numbers from the front of a slice.
struct Numbers<'b>(&'b [u8]);

impl Numbers<'_> {
    fn next<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (number, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*number)
    }
}

impl Segment {
    fn new(number: u64, path: PathBuf, span: Span, records: u64, bytes: u64) -> Self {
        Self { number, path, span, records, bytes, doomed: AtomicU64::new(0), swept_in: AtomicU64::new(0) }
    }

    /// Reads its foot.
    pub fn open(folder: &Path, number: u64) -> Result<Self, StoreError> {
        let path = path(folder, number);
        let file = File::open(&path).map_err(|error| from_io(&error))?;
        let foot = Foot::read(&file, &path)?;
        Ok(Self::new(number, path, foot.span, foot.records, foot.bytes))
    }

    /// Bytes of records whose events are still there, about.
    pub fn live_bytes(&self) -> u64 {
        share(self.bytes, self.records, self.doomed.load(Relaxed))
    }

    /// `None` when it has been removed meanwhile.
    pub fn reader(self: &Arc<Self>) -> Result<Option<Reader>, StoreError> {
        match File::open(&self.path) {
            Ok(file) => Reader::of(file, self.clone()).map(Some),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(from_io(&error)),
        }
    }
}

struct Foot {
    bytes: u64,
    records: u64,
    span: Span,
    list_at: u32,
    blocks: u32,
    list_sum: u32,
}

impl Foot {
    fn read(file: &File, path: &Path) -> Result<Self, StoreError> {
        let bytes = file.metadata().map_err(|error| from_io(&error))?.len();
        let mut foot = [0; FOOT];
        let at = bytes.checked_sub(FOOT as u64).ok_or_else(|| damaged(path, "it is cut short"))?;
        file.read_exact_at(&mut foot, at).map_err(|error| from_io(&error))?;
        let mut numbers = Numbers(&foot);
        let mut parse = || {
            let records = u64::from_be_bytes(numbers.next()?);
            let oldest = EventId::from_be_bytes(numbers.next()?);
            let newest = EventId::from_be_bytes(numbers.next()?);
            let mut number = || Some(u32::from_be_bytes(numbers.next()?));
            let (list_at, blocks, list_sum) = (number()?, number()?, number()?);
            let is_ours = &numbers.next::<8>()? == MAGIC;
            is_ours.then_some(Self { bytes, records, span: Span { oldest, newest }, list_at, blocks, list_sum })
        };
        parse().ok_or_else(|| damaged(path, "its last bytes are not those of an archive"))
    }
}

fn damaged(path: &Path, why: &str) -> StoreError {
    corrupt(&format!("the archive {}", path.display()), &why)
}

impl Reader {
    fn of(file: File, segment: Arc<Segment>) -> Result<Self, StoreError> {
        let path = &segment.path;
        let foot = Foot::read(&file, path)?;
        let list_length = u64::from(foot.blocks) * LISTED as u64;
        if u64::from(foot.list_at) + list_length + FOOT as u64 != foot.bytes {
            return Err(damaged(path, "its length is not what it says"));
        }
        let mut list = vec![0; list_length as usize];
        file.read_exact_at(&mut list, u64::from(foot.list_at)).map_err(|error| from_io(&error))?;
        if crc32fast::hash(&list) != foot.list_sum {
            return Err(damaged(path, "the list of its blocks has changed"));
        }
        let parse = |listed: &[u8]| {
            let mut numbers = Numbers(listed);
            let first = (u128::from_be_bytes(numbers.next()?), EventId::from_be_bytes(numbers.next()?));
            let mut number = || Some(u32::from_be_bytes(numbers.next()?));
            Some(Block { first, offset: number()?, length: number()?, sum: number()? })
        };
        let blocks = list.chunks_exact(LISTED).filter_map(parse).collect();
        Ok(Self { file, segment, blocks })
    }

    /// The blocks in which there may be deliveries of the webhook for these events.
    pub fn blocks_of(&self, webhook: WebhookIdBits, events: &Range<EventId>) -> Range<usize> {
        // The one before may hold the first of them behind what it begins with.
        let start = self.blocks.partition_point(|block| block.first < (webhook, events.start)).saturating_sub(1);
        let end = self.blocks.partition_point(|block| block.first < (webhook, events.end));
        start..end.max(start)
    }

    pub const fn all_blocks(&self) -> Range<usize> {
        0..self.blocks.len()
    }

    /// The bytes of a block: records one behind the other.
    pub fn block(&self, at: usize) -> Result<Vec<u8>, StoreError> {
        let Block { offset, length, sum, .. } = self.blocks[at];
        let mut bytes = vec![0; length as usize];
        self.file.read_exact_at(&mut bytes, u64::from(offset)).map_err(|error| from_io(&error))?;
        if crc32fast::hash(&bytes) != sum {
            return Err(damaged(&self.segment.path, "a block has changed"));
        }
        Ok(bytes)
    }

    /// The newest row of a delivery.
    pub fn find(&self, key: DeliveryKey) -> Result<Option<HistoryRow>, StoreError> {
        for at in self.blocks_of(key.0, &(key.1..key.1.next())).rev() {
            let block = self.block(at)?;
            let mut found = None;
            for record in Records::of(&block) {
                let (_, record) = record?;
                if record.key == key {
                    found = Some(record.row()?);
                }
            }
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }
}
