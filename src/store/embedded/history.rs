//! The history of deliveries, read: rows of the table and of the archive as one, by event, attempt number and step.

use std::cmp::Ordering;
use std::iter::Peekable;
use std::ops::Range;

use fjall::{Readable as _, Snapshot};

use super::archive::{Direction, Rows};
use super::fault::corrupt;
use super::keys::{self, ATTEMPT};
use super::rows::{HistoryRow, Standing, decode};
use super::tables::Tables;
use crate::domain::{Attempt, Delivery, EventId, WebhookId, WebhookIdBits};
use crate::store::StoreError;

/// Where a row sorts: event, attempt number, step.
type Place = (EventId, u16, u8);

/// Where every archived row of an event sorts.
const fn archived(event: EventId) -> Place {
    (event, 1, ATTEMPT)
}

/// The rows of one delivery, the oldest first.
pub struct History {
    pub event: EventId,
    pub rows: Vec<HistoryRow>,
    /// There is nothing but an archived row: the event may be gone.
    pub is_archived: bool,
}

impl History {
    fn new(event: EventId, mut rows: Vec<HistoryRow>, is_archived: bool) -> Self {
        if rows.last().is_some_and(|row| matches!(row.standing, Standing::Gone)) {
            rows.clear();
        }
        Self { event, rows, is_archived }
    }

    /// `None` without rows: the delivery waits where its event was stored with it.
    pub fn last(&self) -> Option<&HistoryRow> {
        self.rows.last()
    }

    pub fn attempts(&self) -> impl DoubleEndedIterator<Item = &Attempt> {
        self.rows.iter().filter_map(|row| row.attempt.as_ref())
    }

    pub fn delivery(&self, webhook: WebhookIdBits, attempts: Vec<Attempt>) -> Option<Delivery> {
        let last = self.last()?;
        let (next_attempt_at, dead_reason) = match last.standing {
            Standing::Waiting(placed) => (Some(placed.entry(webhook, self.event).due), None),
            Standing::Dead(reason) => (None, Some(reason)),
            _ => (None, None),
        };
        Some(Delivery {
            event: self.event,
            webhook: WebhookId::from_u128(webhook),
            kind: last.kind,
            status: last.standing.status(),
            dead_reason,
            next_attempt_at,
            finished_at: next_attempt_at.is_none().then_some(last.at),
            attempts,
        })
    }

    /// As it is listed: with its last attempt.
    pub fn listed(&self, webhook: WebhookIdBits) -> Option<Delivery> {
        self.delivery(webhook, self.attempts().next_back().cloned().into_iter().collect())
    }
}

/// The history of one delivery whose event is there.
pub fn history_of(
    tables: &Tables,
    snapshot: &Snapshot,
    webhook: WebhookIdBits,
    event: EventId,
) -> Result<History, StoreError> {
    history_with(tables, snapshot, webhook, event, || tables.archive.find((webhook, event)))
}

/// The same where the archived row is looked up by the caller.
pub fn history_with(
    tables: &Tables,
    snapshot: &Snapshot,
    webhook: WebhookIdBits,
    event: EventId,
    archived_row: impl FnOnce() -> Result<Option<HistoryRow>, StoreError>,
) -> Result<History, StoreError> {
    let mut rows: Vec<(Place, HistoryRow)> = Vec::new();
    for guard in snapshot.prefix(&tables.history, keys::delivery(webhook, event)) {
        let (key, value) = guard.into_inner()?;
        rows.push((place(&key)?, decode("a history row", &value)?));
    }
    let mut is_archived = false;
    match rows.binary_search_by_key(&archived(event), |(place, _)| *place) {
        Ok(_) => {}
        Err(at) => {
            if let Some(row) = archived_row()? {
                is_archived = rows.is_empty();
                rows.insert(at, (archived(event), row));
            }
        }
    }
    Ok(History::new(event, rows.into_iter().map(|(_, row)| row).collect(), is_archived))
}

fn place(key: &[u8]) -> Result<Place, StoreError> {
    keys::parse_history(key).ok_or_else(|| corrupt("a history row", &"its key is malformed"))
}

/// The histories of a webhook's deliveries, by event.
pub fn histories(
    tables: &Tables,
    snapshot: &Snapshot,
    webhook: WebhookIdBits,
    events: Range<EventId>,
    direction: Direction,
) -> impl Iterator<Item = Result<History, StoreError>> {
    let events = events.start..events.end.max(events.start);
    let archive = tables.archive.rows(webhook, events.clone(), direction).peekable();
    let range = keys::delivery(webhook, events.start)..keys::delivery(webhook, events.end);
    let rows = snapshot.range(&tables.history, range);
    let rows: Box<dyn Iterator<Item = fjall::Guard>> = match direction {
        Direction::Rising => Box::new(rows),
        Direction::Falling => Box::new(rows.rev()),
    };
    Histories { rows: RowsOf(rows).peekable(), archive, direction }
}

struct RowsOf(Box<dyn Iterator<Item = fjall::Guard>>);

impl Iterator for RowsOf {
    type Item = Result<(Place, HistoryRow), StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        let guard = self.0.next()?;
        Some(guard.into_inner().map_err(StoreError::from).and_then(|(key, value)| {
            let row = decode("a history row", &value)?;
            Ok((place(&key)?, row))
        }))
    }
}

/// Both sources merged, gathered by delivery.
struct Histories {
    rows: Peekable<RowsOf>,
    archive: Peekable<Rows>,
    direction: Direction,
}

impl Histories {
    /// The next row of either, and whether it is archived. Of two with the same place that of the table counts.
    fn next_row(&mut self) -> Result<Option<(Place, HistoryRow, bool)>, StoreError> {
        loop {
            let in_table = self.rows.peek().and_then(|row| row.as_ref().ok()).map(|(place, _)| *place);
            let in_archive = self.archive.peek().and_then(|row| row.as_ref().ok()).map(|(event, _)| archived(*event));
            let order = match (in_table, in_archive) {
                (Some(a), Some(b)) if self.direction == Direction::Rising => a.cmp(&b),
                (Some(a), Some(b)) => b.cmp(&a),
                // An error is told before what the other holds.
                (None, _) if self.rows.peek().is_some() => Ordering::Less,
                (_, None) if self.archive.peek().is_some() => Ordering::Greater,
                (Some(_), None) => Ordering::Less,
                (None, _) => Ordering::Greater,
            };
            match order {
                Ordering::Less => {
                    return self.rows.next().transpose().map(|row| row.map(|(place, row)| (place, row, false)));
                }
                Ordering::Greater => {
                    let row = self.archive.next().transpose()?;
                    return Ok(row.map(|(event, row)| (archived(event), row, true)));
                }
                Ordering::Equal => drop(self.archive.next()),
            }
        }
    }

    /// The event of the row that comes next; `None` also where it is an error.
    fn next_event(&mut self) -> Option<EventId> {
        let in_table = self.rows.peek().and_then(|row| row.as_ref().ok()).map(|((event, ..), _)| *event);
        let in_archive = self.archive.peek().and_then(|row| row.as_ref().ok()).map(|(event, _)| *event);
        match self.direction {
            Direction::Rising => [in_table, in_archive].into_iter().flatten().min(),
            Direction::Falling => in_table.max(in_archive),
        }
    }

    fn gather(&mut self) -> Result<Option<History>, StoreError> {
        let Some(((event, ..), first, is_first_archived)) = self.next_row()? else { return Ok(None) };
        let (mut rows, mut is_archived) = (vec![first], is_first_archived);
        while self.next_event() == Some(event) {
            let Some((_, row, is_row_archived)) = self.next_row()? else { break };
            // Archived twice, after a loss of power: once is enough.
            if !(is_archived && is_row_archived) {
                rows.push(row);
            }
            is_archived &= is_row_archived;
        }
        if self.direction == Direction::Falling {
            rows.reverse();
        }
        Ok(Some(History::new(event, rows, is_archived)))
    }
}

impl Iterator for Histories {
    type Item = Result<History, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.gather().transpose()
    }
}
