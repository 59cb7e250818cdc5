//! Events come in: bodies, their first entries, what they tell of messages; repeated client ids are found.

use std::time::Duration;

use super::keys::{self, CHANGE};
use super::rows::{ClientIdRow, HistoryRow, MessageRow, Placed, Standing, decode, encode_event};
use super::stage::Stage;
use super::tables::Table;
use crate::domain::{Event, EventId, LaneEntry};
use crate::store::{Append, Appended, StoreError};

/// How long a caller's id is remembered.
pub const REMEMBERED: Duration = Duration::from_hours(24);

pub fn append(stage: &mut Stage<'_>, append: &Append) -> Result<Appended, StoreError> {
    let event = &append.event;
    if let Some(client_id) = &event.client_id
        && let Some(first) = remember(stage, event, client_id)?
    {
        return Ok(Appended::Duplicate(first));
    }
    for message in &append.messages {
        let key = keys::message_state(&event.instance, &message.message_id, message.state);
        stage.put_row(Table::Messages, key, &MessageRow { at: message.updated_at, number: message.number.clone() })?;
    }
    stage.put(Table::Events, keys::event(event.id), encode_event(append)?);
    for entry in &append.entries {
        enter(stage, entry)?;
    }
    Ok(Appended::New)
}

/// Notes the caller's id; answers the event that had it before.
fn remember(stage: &mut Stage<'_>, event: &Event, client_id: &str) -> Result<Option<EventId>, StoreError> {
    let key = keys::client_id(&event.instance, client_id);
    if let Some(value) = stage.get(Table::ClientIds, &key)? {
        let first: ClientIdRow = decode("a client id", &value)?;
        if event.accepted_at.since(first.at) < REMEMBERED {
            return Ok(Some(first.event));
        }
    }
    stage.put_row(Table::ClientIds, key, &ClientIdRow { at: event.accepted_at, event: event.id })?;
    Ok(None)
}

fn enter(stage: &mut Stage<'_>, entry: &LaneEntry) -> Result<(), StoreError> {
    if entry.is_fresh() {
        return stage.enter_first(entry);
    }
    stage.enter_lane(entry)?;
    // Lists find only plain entries without a row (see `deliveries`).
    let standing = Standing::Waiting(Placed::from(entry));
    let row = HistoryRow { kind: entry.kind, at: entry.event.timestamp(), standing, attempt: None };
    stage.add_history(entry.webhook, entry.event, (entry.attempts, CHANGE), &row)
}
