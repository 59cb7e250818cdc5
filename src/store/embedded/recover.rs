//! Opening what is on disk: the format is checked, lanes and dead letters are counted in one pass, and entries that were in memory
//! only are found by their events.

use std::time::Instant;

use ahash::AHashSet;

use super::archive::DeliveryKey;
use super::counts::{Change, Totals};
use super::fault::corrupt;
use super::keys;
use super::marks::Marks;
use super::recent::Recent;
use super::rows::{DeadRow, decode, decode_event, decode_lane};
use super::tables::Tables;
use crate::domain::EventId;
use crate::store::{RecoveryReport, StoreError};

const FORMAT: &[u8] = b"format";
/// The format this version writes. It reads those before too: 2 had no archive, 1 knew no floor and all entries had rows.
const VERSION: u32 = 3;
const OLDEST_VERSION: u32 = 1;
/// There only while no process has the store open: written at close, removed at open.
const CLOSED_MARK: &[u8] = b"closed";

/// What was found.
#[derive(Debug)]
pub struct Found {
    pub totals: Totals,
    pub recent: Recent,
    pub marks: Marks,
    pub report: RecoveryReport,
}

/// Checks and counts; takes the mark of a clean end away.
pub fn recover(tables: &Tables, began: Instant) -> Result<Found, StoreError> {
    let is_new = check_format(tables)?;
    let was_closed = tables.meta.contains_key(CLOSED_MARK)?;
    let marks = Marks::read(tables)?;
    let settled = tables.archive.settled_from(marks.floor.unwrap_or(EventId::MAX))?;
    let mut totals = count(tables, &settled)?;
    let newest = tables.events.last_key_value().map(fjall::Guard::key).transpose()?;
    let last_event = newest.and_then(|key| Some(EventId::from_be_bytes((*key).try_into().ok()?)));
    let recent = find_recent(tables, marks.floor, last_event, &settled)?;
    for entry in recent.entries() {
        totals.apply(Change::Enter(*entry));
    }
    let mut directory = 0;
    for guard in tables.directory.iter() {
        guard.key()?;
        directory += 1;
    }
    tables.meta.remove(CLOSED_MARK)?;
    let report = RecoveryReport {
        unfinished: totals.unfinished,
        dead: totals.dead,
        lanes: totals.active_lanes(),
        directory,
        unclean: !is_new && !was_closed,
        took: began.elapsed(),
        last_event,
    };
    Ok(Found { totals, recent, marks, report })
}

/// Answers whether the store is new.
fn check_format(tables: &Tables) -> Result<bool, StoreError> {
    let Some(value) = tables.meta.get(FORMAT)? else {
        if tables.events.first_key_value().is_some() || tables.lanes.first_key_value().is_some() {
            return Err(corrupt("the format version", &"it is missing beside existing data"));
        }
        tables.meta.insert(FORMAT, VERSION.to_string())?;
        return Ok(true);
    };
    let version = std::str::from_utf8(&value).ok().and_then(|text| text.parse::<u32>().ok());
    match version {
        Some(VERSION) => Ok(false),
        Some(OLDEST_VERSION..VERSION) => {
            // From the first commit on an older version would not find all entries.
            tables.meta.insert(FORMAT, VERSION.to_string())?;
            Ok(false)
        }
        Some(newer) if newer > VERSION => Err(StoreError::NewerFormat(format!(
            "its format is {newer}, this version reads {VERSION}; start the newer version again"
        ))),
        _ => Err(corrupt("the format version", &String::from_utf8_lossy(&value))),
    }
}

/// Entries of events from the floor on that have neither a row nor history: they were in memory only.
fn find_recent(
    tables: &Tables,
    floor: Option<EventId>,
    last_event: Option<EventId>,
    settled: &AHashSet<DeliveryKey>,
) -> Result<Recent, StoreError> {
    let Some(floor) = floor else {
        return Ok(Recent::from(last_event.map_or(EventId::MIN, EventId::next)));
    };
    let mut recent = Recent::from(floor);
    for guard in tables.events.range(keys::event(floor)..) {
        let (key, value) = guard.into_inner()?;
        let raw = (*key).try_into().map_err(|_| corrupt("an event", &"its key is not 16 bytes long"))?;
        let (row, _) = decode_event(&value)?;
        for entry in row.owed(EventId::from_be_bytes(raw)) {
            if !recent.takes(&entry) || settled.contains(&(entry.webhook, entry.event)) {
                continue;
            }
            let has_history = tables.history.prefix(keys::delivery(entry.webhook, entry.event)).next().is_some();
            if !has_history && !tables.lanes.contains_key(keys::lane(&entry))? {
                recent.enter(entry);
            }
        }
    }
    Ok(recent)
}

/// The archive's row of a delivery is written before its entry is removed. What a crash in between has left is removed now, not counted.
fn count(tables: &Tables, settled: &AHashSet<DeliveryKey>) -> Result<Totals, StoreError> {
    let mut totals = Totals::default();
    let mut left = tables.db.batch();
    for guard in tables.lanes.iter() {
        let (key, value) = guard.into_inner()?;
        let entry = decode_lane(&key, &value)?;
        if entry.is_fresh() && settled.contains(&(entry.webhook, entry.event)) {
            left.remove(&tables.lanes, key);
            continue;
        }
        totals.apply(Change::Enter(entry));
    }
    tables.commit(left)?;
    for guard in tables.dead.iter() {
        let (key, value) = guard.into_inner()?;
        let (webhook, _) =
            keys::parse_delivery(&key).ok_or_else(|| corrupt("a dead letter", &"its key is malformed"))?;
        let row: DeadRow = decode("a dead letter", &value)?;
        totals.apply(Change::Died { webhook, data_bytes: row.data_bytes });
    }
    Ok(totals)
}

/// Says that the end was clean, and makes all of it durable.
pub fn mark_closed(tables: &Tables) -> Result<(), StoreError> {
    tables.meta.insert(CLOSED_MARK, [])?;
    tables.db.persist(fjall::PersistMode::SyncAll)?;
    Ok(())
}
