//! Plain reads: lanes in pages, events by id, messages, the directory.
//!
//! What is more than one key is read from a snapshot: a plain range read runs into a commit that is being applied and shows some
//! of its writes but not others.

use std::ops::Bound;
use std::sync::Arc;

use fjall::{Readable as _, Snapshot};
use parking_lot::RwLock;
use serde::de::DeserializeOwned;

use super::expiry::Expiry;
use super::fault::corrupt;
use super::keys;
use super::recent::{Recent, merge};
use super::rows::{MessageRow, decode, decode_event, decode_lane};
use super::tables::Tables;
use crate::domain::{Event, EventId, InstanceId, LaneClass, LaneEntry, MessageState, MessageStatus, WebhookId};
use crate::store::{DirectoryRecords, LaneQuery, StoreError};

/// A commit shown in part would lose deliveries (P2): the lane is read on from the last entry shown, and one that came before it
/// too late would never be read.
pub fn lane(tables: &Tables, recent: &RwLock<Recent>, query: &LaneQuery) -> Result<Vec<LaneEntry>, StoreError> {
    let part = keys::lane_part(query.webhook.as_u128(), query.class, query.order_key);
    let mut end = part.clone();
    end.extend_from_slice(&[0xff; 24]);
    let start = match query.after {
        Some((due, event)) => Bound::Excluded(keys::lane_place(&part, due, event)),
        None => Bound::Included(part),
    };
    let (snapshot, in_memory) = with_snapshot(tables, recent, |recent| recent.page(query));
    let page = snapshot.range(&tables.lanes, (start, Bound::Included(end))).take(query.limit);
    let stored = page
        .map(|guard| guard.into_inner().map_err(StoreError::from).and_then(|(key, value)| decode_lane(&key, &value)));
    Ok(merge(stored.collect::<Result<_, _>>()?, in_memory, query.limit))
}

/// A snapshot of the tables, and what is in memory only at the same moment or just before the last commit was noted there.
pub fn with_snapshot<T>(tables: &Tables, recent: &RwLock<Recent>, look: impl FnOnce(&Recent) -> T) -> (Snapshot, T) {
    let recent = recent.read();
    let snapshot = tables.snapshot();
    let seen = look(&recent);
    (snapshot, seen)
}

/// Skips from key to key: costs one seek each, however many entries are parked.
pub fn parked_keys(tables: &Tables, webhook: WebhookId, limit: usize) -> Result<Vec<u64>, StoreError> {
    let snapshot = tables.snapshot();
    let mut found = Vec::new();
    let mut next = Some(0);
    while let Some(from) = next.filter(|_| found.len() < limit) {
        let start = keys::lane_part(webhook.as_u128(), LaneClass::Parked, from);
        let mut end = keys::lane_class(webhook.as_u128(), LaneClass::Parked);
        end.extend_from_slice(&[0xff; 32]);
        let Some(guard) = snapshot.range(&tables.lanes, start..=end).next() else { break };
        let key = guard.key()?;
        let order_key =
            keys::parse_order_key(&key).ok_or_else(|| corrupt("a parked entry", &"its key is malformed"))?;
        found.push(order_key);
        next = order_key.checked_add(1);
    }
    Ok(found)
}

/// Each event by itself: whoever knows its id has seen the commit that stored it, and that one record is all there is to see.
pub fn events(tables: &Tables, ids: &[EventId]) -> Result<Vec<Option<Arc<Event>>>, StoreError> {
    let read = |id: &EventId| {
        let Some(value) = tables.events.get(keys::event(*id))? else { return Ok(None) };
        let (row, data) = decode_event(&value)?;
        Ok(Some(Arc::new(row.into_event(*id, data))))
    };
    ids.iter().map(read).collect()
}

pub fn message(
    tables: &Tables,
    expiry: &Expiry,
    instance: &InstanceId,
    message_id: &str,
) -> Result<Option<MessageStatus>, StoreError> {
    let mut latest: Option<MessageStatus> = None;
    for guard in tables.snapshot().prefix(&tables.messages, keys::message(instance, message_id)).rev() {
        let (key, value) = guard.into_inner()?;
        let row: MessageRow = decode("a message", &value)?;
        if expiry.is_expired(row.at) {
            continue;
        }
        let state = MessageState::ALL.into_iter().find(|state| Some(&(*state as u8)) == key.last());
        let state = state.ok_or_else(|| corrupt("a message", &"its state is unknown"))?;
        let known = latest.get_or_insert_with(|| MessageStatus {
            message_id: message_id.into(),
            state,
            number: Box::default(),
            updated_at: row.at,
        });
        if known.number.is_empty() {
            known.number = row.number;
        }
    }
    Ok(latest)
}

/// The first byte of a key in the directory says what the record is.
pub mod directory_key {
    use crate::domain::{BusinessId, InstanceId, WebhookId};
    use crate::store::embedded::keys::Key;

    pub const BUSINESS: u8 = b'b';
    pub const INSTANCE: u8 = b'i';
    pub const WEBHOOK: u8 = b'w';

    fn key(kind: u8, id: &str) -> Key {
        let mut key = Key::from_slice(&[kind, b'/']);
        key.extend_from_slice(id.as_bytes());
        key
    }

    pub fn business(id: BusinessId) -> Key {
        key(BUSINESS, &id.to_string())
    }

    pub fn instance(id: &InstanceId) -> Key {
        key(INSTANCE, id.as_str())
    }

    pub fn webhook(id: WebhookId) -> Key {
        key(WEBHOOK, &id.to_string())
    }
}

pub fn directory(tables: &Tables) -> Result<DirectoryRecords, StoreError> {
    fn parse<T: DeserializeOwned>(key: &[u8], value: &[u8]) -> Result<T, StoreError> {
        let what = format!("the directory record {}", String::from_utf8_lossy(key));
        serde_json::from_slice(value).map_err(|error| corrupt(&what, &error))
    }
    let mut records = DirectoryRecords::default();
    for guard in tables.snapshot().iter(&tables.directory) {
        let (key, value) = guard.into_inner()?;
        match key.first() {
            Some(&directory_key::BUSINESS) => records.businesses.push(parse(&key, &value)?),
            Some(&directory_key::INSTANCE) => records.instances.push(parse(&key, &value)?),
            Some(&directory_key::WEBHOOK) => records.webhooks.push(parse(&key, &value)?),
            _ => {
                return Err(corrupt(
                    &format!("the directory record {}", String::from_utf8_lossy(&key)),
                    &"unknown kind",
                ));
            }
        }
    }
    Ok(records)
}

pub fn setting_key(name: &str) -> keys::Key {
    let mut key = keys::Key::from_slice(b"setting/");
    key.extend_from_slice(name.as_bytes());
    key
}

pub fn setting(tables: &Tables, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
    Ok(tables.meta.get(setting_key(name))?.map(|value| value.to_vec()))
}
