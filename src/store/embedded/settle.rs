//! Attempts are decided: an entry leaves its place, its history gets a row, and it may take another place.
//!
//! Nearly all deliveries succeed at their first attempt. Theirs is the only row they ever get, and it goes to the archive.

use super::counts::Change;
use super::keys::{self, ATTEMPT, CHANGE};
use super::rows::{DeadRow, HistoryRow, Placed, Standing};
use super::stage::{Left, Stage};
use super::tables::Table;
use crate::store::{Next, Settle, StoreError};

/// Does nothing when the entry is not in its place.
pub fn settle(stage: &mut Stage<'_>, settle: Settle) -> Result<(), StoreError> {
    let Settle { entry, attempt, next, at } = settle;
    let Some(left) = stage.leave_lane(&entry)? else { return Ok(()) };
    if entry.is_fresh() && left == Left::Committed && matches!(next, Next::Delivered) && attempt.is_some() {
        let row = HistoryRow { kind: entry.kind, at, standing: Standing::Delivered, attempt };
        return stage.archive(entry.webhook, entry.event, &row);
    }
    let standing = match next {
        Next::Move(moved) => {
            stage.enter_lane(&moved)?;
            Standing::Waiting(Placed::from(&moved))
        }
        Next::Dead(reason) => {
            let row = DeadRow { at, data_bytes: entry.data_bytes };
            stage.put_row(Table::Dead, keys::delivery(entry.webhook, entry.event), &row)?;
            stage.change(Change::Died { webhook: entry.webhook, data_bytes: entry.data_bytes });
            Standing::Dead(reason)
        }
        Next::Delivered => Standing::Delivered,
        Next::Superseded { by } => Standing::Superseded { by },
        Next::Cancelled => Standing::Cancelled,
    };
    let place = attempt.as_ref().map_or((entry.attempts, CHANGE), |attempt| (attempt.number, ATTEMPT));
    debug_assert!(attempt.is_none() || place.0 == entry.attempts + 1, "attempts are numbered without gaps");
    let row = HistoryRow { kind: entry.kind, at, standing, attempt };
    stage.add_history(entry.webhook, entry.event, place, &row)
}
