//! All that is on disk, told to another store in pages, and taken from one.

use std::collections::HashMap;
use std::ops::Bound;

use fjall::{Readable as _, Snapshot};
use parking_lot::RwLock;

use super::archive::Window;
use super::counts::Change;
use super::deliveries::first_place;
use super::fault::corrupt;
use super::history::history_with;
use super::keys::{self, ATTEMPT, CHANGE, Key};
use super::recent::Recent;
use super::rows::{ClientIdRow, DeadRow, HistoryRow, MessageRow, Placed, Standing, decode, decode_event, encode_event};
use super::stage::Stage;
use super::tables::{Table, Tables};
use crate::domain::{EventId, InstanceId, LaneEntry, MessageState};
use crate::store::moving::{DeliveryRecord, EventRecord, MessageName, MessageRecord, PAGE_BYTES, PAGE_RECORDS, Record};
use crate::store::{Append, Next, StoreError};

/// How far the tables were told.
#[derive(Debug)]
pub enum Reached {
    /// The last event told, and what was read of the archive for it and those that follow.
    Event(Option<(EventId, Option<Window>)>),
    Message(Option<Key>),
    End,
}

pub fn page(tables: &Tables, recent: &RwLock<Recent>, reached: Reached) -> Result<(Vec<Record>, Reached), StoreError> {
    match reached {
        Reached::Event(after) => {
            let (after, mut window) = after.map_or((None, None), |(after, window)| (Some(after), window));
            let (page, last) = events(tables, recent, after, &mut window)?;
            let next = last.map_or(Reached::Message(None), |last| Reached::Event(Some((last, window))));
            Ok((page, next))
        }
        Reached::Message(after) => {
            let (page, last) = messages(tables, after)?;
            Ok((page, last.map_or(Reached::End, |last| Reached::Message(Some(last)))))
        }
        Reached::End => Ok((Vec::new(), Reached::End)),
    }
}

fn events(
    tables: &Tables,
    recent: &RwLock<Recent>,
    after: Option<EventId>,
    window: &mut Option<Window>,
) -> Result<(Vec<Record>, Option<EventId>), StoreError> {
    // Held for the page: what is spilt meanwhile would be seen in neither place.
    let recent = recent.read();
    let snapshot = tables.snapshot();
    let start = after.map_or(Bound::Unbounded, |after| Bound::Excluded(keys::event(after)));
    let (mut page, mut last, mut bytes) = (Vec::new(), None, 0);
    for guard in snapshot.range(&tables.events, (start, Bound::<Key>::Unbounded)).take(PAGE_RECORDS) {
        let (key, value) = guard.into_inner()?;
        let id = (*key).try_into().map_err(|_| corrupt("an event", &"its key is malformed"))?;
        let id = EventId::from_be_bytes(id);
        let (row, data) = decode_event(&value)?;
        let archived = match window.take().filter(|window| window.holds(id)) {
            Some(window) => window,
            None => tables.archive.window(id)?,
        };
        let mut deliveries = Vec::new();
        for first in row.owed(id) {
            deliveries.extend(delivery(tables, &recent, &snapshot, &archived, first)?);
        }
        *window = Some(archived);
        let held_back = row.all_held_back().to_vec();
        page.push(Record::Event(EventRecord { event: row.into_event(id, data).into(), held_back, deliveries }));
        last = Some(id);
        bytes += value.len();
        if bytes >= PAGE_BYTES {
            break;
        }
    }
    Ok((page, last))
}

fn delivery(
    tables: &Tables,
    recent: &Recent,
    snapshot: &Snapshot,
    archived: &Window,
    first: LaneEntry,
) -> Result<Option<DeliveryRecord>, StoreError> {
    let LaneEntry { webhook, event: id, .. } = first;
    let history = history_with(tables, snapshot, webhook, id, || archived.row((webhook, id)))?;
    let Some(last) = history.last() else {
        if recent.holds(&first) {
            return Ok(Some(DeliveryRecord::fresh(first)));
        }
        return Ok(first_place(tables, snapshot, Some(first))?.map(DeliveryRecord::fresh));
    };
    let standing = match last.standing {
        Standing::Waiting(placed) => Next::Move(placed.entry(webhook, id)),
        Standing::Delivered => Next::Delivered,
        Standing::Dead(reason) => Next::Dead(reason),
        Standing::Superseded { by } => Next::Superseded { by },
        Standing::Cancelled | Standing::Gone => Next::Cancelled,
    };
    Ok(Some(DeliveryRecord { first, standing, at: last.at, attempts: history.attempts().cloned().collect() }))
}

/// Keys have hashes: of instances, which the directory knows, and of messages, which nobody does.
fn messages(tables: &Tables, after: Option<Key>) -> Result<(Vec<Record>, Option<Key>), StoreError> {
    let instances: HashMap<[u8; 16], InstanceId> =
        super::read::directory(tables)?.instances.into_iter().map(|known| (known.id.key(), known.id)).collect();
    let start = after.map_or(Bound::Unbounded, Bound::Excluded);
    let (mut page, mut last) = (Vec::new(), None);
    let snapshot = tables.snapshot();
    for guard in snapshot.range(&tables.messages, (start, Bound::<Key>::Unbounded)).take(4 * PAGE_RECORDS) {
        let (key, value) = guard.into_inner()?;
        last = Some(Key::from_slice(&key));
        let malformed = || corrupt("a message", &"its key is malformed");
        let (instance, rest) = key.split_first_chunk::<16>().ok_or_else(malformed)?;
        let (hash, state) = rest.split_first_chunk::<16>().ok_or_else(malformed)?;
        let state = MessageState::ALL.into_iter().find(|known| [*known as u8] == *state).ok_or_else(malformed)?;
        let Some(instance) = instances.get(instance) else { continue };
        let row: MessageRow = decode("a message", &value)?;
        page.push(Record::Message(MessageRecord {
            instance: instance.clone(),
            id: MessageName::Hash(*hash),
            states: vec![(state, row.at, row.number)],
        }));
    }
    Ok((page, last))
}

/// Answers whether it was an event that is new.
pub fn restore(stage: &mut Stage<'_>, record: Record) -> Result<bool, StoreError> {
    let EventRecord { event, held_back, deliveries } = match record {
        Record::Event(event) => event,
        Record::Message(message) => return restore_message(stage, message).map(|()| false),
    };
    if stage.get(Table::Events, &keys::event(event.id))?.is_some() {
        return Ok(false);
    }
    if let Some(client_id) = &event.client_id {
        let key = keys::client_id(&event.instance, client_id);
        let known = stage.get(Table::ClientIds, &key)?;
        let known: Option<ClientIdRow> = known.map(|value| decode("a client id", &value)).transpose()?;
        if known.is_none_or(|known| known.at < event.accepted_at) {
            stage.put_row(Table::ClientIds, key, &ClientIdRow { at: event.accepted_at, event: event.id })?;
        }
    }
    let append = Append {
        entries: deliveries.iter().map(|delivery| delivery.first).collect(),
        held_back: held_back.into(),
        messages: smallvec::smallvec![],
        event,
    };
    stage.put(Table::Events, keys::event(append.event.id), encode_event(&append)?);
    // All that waits of it gets a row.
    stage.spill_all_to(append.event.id);
    deliveries.into_iter().try_for_each(|delivery| restore_delivery(stage, delivery))?;
    Ok(true)
}

fn restore_delivery(stage: &mut Stage<'_>, delivery: DeliveryRecord) -> Result<(), StoreError> {
    let is_fresh = delivery.is_fresh();
    let DeliveryRecord { first, standing, at, attempts } = delivery;
    let (webhook, event) = (first.webhook, first.event);
    let mut number = 0;
    let standing = match standing {
        Next::Move(entry) => {
            stage.enter_lane(&entry)?;
            number = entry.attempts;
            Standing::Waiting(Placed::from(&entry))
        }
        Next::Dead(reason) => {
            let row = DeadRow { at, data_bytes: first.data_bytes };
            stage.put_row(Table::Dead, keys::delivery(webhook, event), &row)?;
            stage.change(Change::Died { webhook, data_bytes: first.data_bytes });
            Standing::Dead(reason)
        }
        Next::Delivered => Standing::Delivered,
        Next::Superseded { by } => Standing::Superseded { by },
        Next::Cancelled => Standing::Cancelled,
    };
    if is_fresh {
        return Ok(());
    }
    let kind = first.kind;
    let mut is_told = false;
    for attempt in attempts {
        // The last row is the delivery's state.
        is_told = attempt.number >= number;
        number = number.max(attempt.number);
        let place = (attempt.number, ATTEMPT);
        stage.add_history(webhook, event, place, &HistoryRow { kind, at, standing, attempt: Some(attempt) })?;
    }
    if is_told {
        return Ok(());
    }
    stage.add_history(webhook, event, (number, CHANGE), &HistoryRow { kind, at, standing, attempt: None })
}

fn restore_message(stage: &mut Stage<'_>, message: MessageRecord) -> Result<(), StoreError> {
    for (state, at, number) in message.states {
        let key = keys::message_of_hash(&message.instance, message.id.hash(), state);
        let known = stage.get(Table::Messages, &key)?;
        let known: Option<MessageRow> = known.map(|value| decode("a message", &value)).transpose()?;
        if known.is_none_or(|known| known.at <= at) {
            stage.put_row(Table::Messages, key, &MessageRow { at, number })?;
        }
    }
    Ok(())
}
