//! Changes that must see everything committed before them: putting back, cancelling a lane, the directory.
//! They run on the one thread that commits, so no commit is half applied while they read.

use std::ops::Bound;

use serde::Serialize;

use super::counts::Change;
use super::deliveries::first_place;
use super::fault::corrupt;
use super::history::history_of;
use super::keys::{self, CHANGE, Key};
use super::read::directory_key;
use super::rows::{DeadRow, HistoryRow, Placed, Standing, decode, decode_event, decode_lane};
use super::settle::settle;
use super::stage::Stage;
use super::tables::Table;
use crate::domain::{AttemptOrigin, EventId, LaneClass, LaneEntry, Timestamp, WebhookId};
use crate::store::{DirectoryChange, Next, Requeue, Settle, StoreError};

/// See [`Store::requeue`](crate::store::Store::requeue). The stage must be empty: it reads what is committed.
pub fn requeue(
    stage: &mut Stage<'_>,
    webhook: WebhookId,
    id: EventId,
    origin: AttemptOrigin,
    due: Timestamp,
) -> Result<Requeue, StoreError> {
    let (tables, webhook) = (stage.tables(), webhook.as_u128());
    let snapshot = tables.snapshot();
    let Some(value) = stage.get(Table::Events, &keys::event(id))? else { return Ok(Requeue::Unknown) };
    let (event, _) = decode_event(&value)?;
    let Some(first) = event.owed_to(webhook, id) else { return Ok(Requeue::Unknown) };
    let history = history_of(tables, &snapshot, webhook, id)?;
    let standing = match history.last() {
        Some(row) => row.standing,
        None if stage.recent().holds(&first) => return Ok(Requeue::Unfinished(first)),
        None => match first_place(tables, &snapshot, Some(first))? {
            Some(entry) => return Ok(Requeue::Unfinished(entry)),
            None => return Ok(Requeue::Unknown),
        },
    };
    if let Standing::Waiting(placed) = standing {
        return Ok(Requeue::Unfinished(placed.entry(webhook, id)));
    }

    let attempts = history.attempts().map(|attempt| attempt.number).max().unwrap_or(0);
    let entry = LaneEntry { class: LaneClass::Retry, due, origin, attempts, round_attempts: 0, ..first };
    let dead = keys::delivery(webhook, id);
    if let Some(value) = stage.get(Table::Dead, &dead)? {
        let row: DeadRow = decode("a dead letter", &value)?;
        stage.remove(Table::Dead, dead);
        stage.change(Change::Undied { webhook, data_bytes: row.data_bytes });
    }
    stage.enter_lane(&entry)?;
    let standing = Standing::Waiting(Placed::from(&entry));
    let row = HistoryRow { kind: entry.kind, at: Timestamp::now(), standing, attempt: None };
    stage.add_history(webhook, id, (attempts, CHANGE), &row)?;
    Ok(Requeue::Queued(entry))
}

/// Cancels the first `limit` entries of a lane past `after`; answers where the last one was. The stage must be empty.
///
/// `after` is where the step before ended: without it every step would pass by all that the steps before have removed.
pub fn cancel_lane(
    stage: &mut Stage<'_>,
    webhook: WebhookId,
    limit: usize,
    after: Option<&Key>,
) -> Result<Option<Key>, StoreError> {
    let at = Timestamp::now();
    let first = Key::from_slice(&webhook.as_u128().to_be_bytes());
    let mut end = first.clone();
    end.extend_from_slice(&[0xff; 33]);
    let start = after.map_or(Bound::Included(first), |after| Bound::Excluded(after.clone()));
    let mut found: Vec<(Key, LaneEntry, bool)> = Vec::new();
    for guard in stage.tables().lanes.range((start, Bound::Included(end))).take(limit) {
        let (key, value) = guard.into_inner()?;
        found.push((Key::from_slice(&key), decode_lane(&key, &value)?, true));
    }
    found.extend(stage.recent().of(webhook.as_u128()).map(|entry| (keys::lane(entry), *entry, false)));
    if found.len() > limit {
        found.select_nth_unstable_by(limit, |(a, ..), (b, ..)| a.cmp(b));
        found.truncate(limit);
    }
    found.sort_unstable_by(|(a, ..), (b, ..)| a.cmp(b));
    let mut last = after.cloned();
    for (key, entry, has_row) in found {
        settle(stage, Settle { entry, attempt: None, next: Next::Cancelled, at })?;
        last = if has_row { Some(key) } else { last };
    }
    Ok(last)
}

pub fn change_directory(stage: &mut Stage<'_>, change: &DirectoryChange) -> Result<(), StoreError> {
    fn json<T: Serialize>(record: &T) -> Result<Vec<u8>, StoreError> {
        serde_json::to_vec(record).map_err(|error| corrupt("a directory record", &error))
    }
    let (key, value) = match change {
        DirectoryChange::PutBusiness(business) => (directory_key::business(business.id), Some(json(business)?)),
        DirectoryChange::DeleteBusiness(id) => (directory_key::business(*id), None),
        DirectoryChange::PutInstance(instance) => (directory_key::instance(&instance.id), Some(json(instance)?)),
        DirectoryChange::DeleteInstance(id) => (directory_key::instance(id), None),
        DirectoryChange::PutWebhook(webhook) => (directory_key::webhook(webhook.id), Some(json(webhook)?)),
        DirectoryChange::DeleteWebhook(id) => (directory_key::webhook(*id), None),
    };
    match value {
        Some(value) => stage.put(Table::Directory, key, value),
        None => stage.remove(Table::Directory, key),
    }
    Ok(())
}
