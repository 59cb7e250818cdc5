//! One archived row as bytes: its length 2, webhook 16, event 16, then the row as the history's table holds it. Big-endian.

use super::super::fault::corrupt;
use super::super::rows::{HistoryRow, decode, encode};
use crate::domain::{EventId, WebhookIdBits};
use crate::store::StoreError;

const HEAD: usize = 34;
/// Longer rows, which show much of what a receiver answered, are written by way of a buffer of their own.
const SHORT: usize = 256;

/// Which delivery a row is of.
pub type DeliveryKey = (WebhookIdBits, EventId);

/// See the module.
#[derive(Clone, Copy, Debug)]
pub struct Record<'b> {
    pub key: DeliveryKey,
    /// All of it, head included.
    pub bytes: &'b [u8],
}

impl<'b> Record<'b> {
    /// The record at the start of `bytes`; `None` when it is cut short.
    pub fn read(bytes: &'b [u8]) -> Option<Self> {
        let (length, rest) = bytes.split_first_chunk::<2>()?;
        let (webhook, rest) = rest.split_first_chunk::<16>()?;
        let (event, _) = rest.split_first_chunk::<16>()?;
        let bytes = bytes.get(..HEAD + usize::from(u16::from_be_bytes(*length)))?;
        Some(Self { key: (u128::from_be_bytes(*webhook), EventId::from_be_bytes(*event)), bytes })
    }

    pub fn row(&self) -> Result<HistoryRow, StoreError> {
        decode("an archived row", &self.bytes[HEAD..])
    }
}

/// Appends a record; answers its length.
pub fn write(buffer: &mut Vec<u8>, (webhook, event): DeliveryKey, row: &HistoryRow) -> Result<usize, StoreError> {
    let start = buffer.len();
    buffer.extend_from_slice(&[0; 2]);
    buffer.extend_from_slice(&webhook.to_be_bytes());
    buffer.extend_from_slice(&event.to_be_bytes());
    buffer.resize(start + HEAD + SHORT, 0);
    let written = postcard::to_slice(row, &mut buffer[start + HEAD..]).map(|used| used.len());
    if let Ok(length) = written {
        buffer.truncate(start + HEAD + length);
    } else {
        buffer.truncate(start + HEAD);
        buffer.extend_from_slice(&encode(row)?);
    }
    let length = u16::try_from(buffer.len() - start - HEAD);
    let length = length.map_err(|_| StoreError::Unavailable("a row is too long for the archive".into()))?;
    buffer[start..start + 2].copy_from_slice(&length.to_be_bytes());
    Ok(HEAD + usize::from(length))
}

/// Records that lie one behind the other, each with where it begins.
pub struct Records<'b> {
    bytes: &'b [u8],
    at: usize,
}

impl<'b> Records<'b> {
    pub const fn of(bytes: &'b [u8]) -> Self {
        Self { bytes, at: 0 }
    }
}

impl<'b> Iterator for Records<'b> {
    type Item = Result<(usize, Record<'b>), StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        let (at, rest) = (self.at, self.bytes.get(self.at..).filter(|rest| !rest.is_empty())?);
        let Some(record) = Record::read(rest) else {
            self.at = self.bytes.len();
            return Some(Err(corrupt("an archived row", &"it is cut short")));
        };
        self.at += record.bytes.len();
        Some(Ok((at, record)))
    }
}
