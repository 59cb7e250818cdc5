//! What one commit adds to the archive's log, checked as a whole: the length of its records 4, their CRC-32 4, the records.

use super::super::rows::HistoryRow;
use super::record::{DeliveryKey, Record, Records, write};
use crate::store::StoreError;

const HEAD: usize = 8;

/// A frame in the making.
#[derive(Debug, Default)]
pub struct Frame {
    bytes: Vec<u8>,
    /// Each record's delivery, and where it begins in the frame.
    records: Vec<(DeliveryKey, u32)>,
}

impl Frame {
    pub const fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    pub const fn len(&self) -> usize {
        self.bytes.len()
    }

    pub fn add(&mut self, key: DeliveryKey, row: &HistoryRow) -> Result<usize, StoreError> {
        if self.bytes.is_empty() {
            self.bytes.extend_from_slice(&[0; HEAD]);
        }
        let at = self.bytes.len() as u32;
        let length = write(&mut self.bytes, key, row)?;
        self.records.push((key, at));
        Ok(length)
    }

    /// As it is written.
    pub fn finish(mut self) -> (Vec<u8>, Vec<(DeliveryKey, u32)>) {
        let (head, body) = self.bytes.split_at_mut(HEAD);
        head[..4].copy_from_slice(&(body.len() as u32).to_be_bytes());
        head[4..].copy_from_slice(&crc32fast::hash(body).to_be_bytes());
        (self.bytes, self.records)
    }
}

/// The frames of a log, until one is not whole: where its records begin, and the records.
pub struct Frames<'b> {
    bytes: &'b [u8],
    /// All before is whole.
    pub reached: usize,
}

impl<'b> Frames<'b> {
    pub const fn of(bytes: &'b [u8]) -> Self {
        Self { bytes, reached: 0 }
    }
}

impl<'b> Iterator for Frames<'b> {
    type Item = (usize, &'b [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let (length, rest) = self.bytes.get(self.reached..)?.split_first_chunk::<4>()?;
        let (sum, rest) = rest.split_first_chunk::<4>()?;
        let body = rest.get(..u32::from_be_bytes(*length) as usize)?;
        // Room that was never written reads as zeros, which would pass for an empty frame.
        if body.is_empty() || crc32fast::hash(body) != u32::from_be_bytes(*sum) {
            return None;
        }
        let at = self.reached + HEAD;
        self.reached = at + body.len();
        Some((at, body))
    }
}

/// All records of whole frames, each with where it begins; answers too how far frames are whole.
pub fn read_all<'b>(
    bytes: &'b [u8],
    mut each: impl FnMut(usize, Record<'b>) -> Result<(), StoreError>,
) -> Result<usize, StoreError> {
    let mut frames = Frames::of(bytes);
    for (start, body) in frames.by_ref() {
        for record in Records::of(body) {
            let (at, record) = record?;
            each(start + at, record)?;
        }
    }
    Ok(frames.reached)
}
