//! What is told of deliveries: lists, timelines, candidates of a replay. All of one snapshot.
//!
//! A list merges two sources by event: history, where the last row of a delivery is its state, and the lanes, for entries that
//! have no row yet. Those are sorted by due, not by event; but no entry is due before its event's id was made (but for
//! [`Totals::max_early_ms`](super::counts::Totals)), so reading from the latest due backwards can stop early.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use fjall::{Readable as _, Snapshot};
use parking_lot::RwLock;

use super::archive::Direction;
use super::counts::Counts;
use super::fault::corrupt;
use super::history::{History, histories, history_of};
use super::keys;
use super::read::with_snapshot;
use super::recent::Recent;
use super::rows::{Standing, decode_event, decode_lane};
use super::tables::Tables;
use crate::domain::{Delivery, DeliveryStatus, EventId, LaneClass, LaneEntry, WebhookId};
use crate::store::{DeliveryQuery, StoreError, Timeline};

/// See [`Store::deliveries`](crate::store::Store::deliveries).
pub fn list(
    tables: &Tables,
    recent: &RwLock<Recent>,
    counts: &Counts,
    query: &DeliveryQuery,
) -> Result<Vec<Delivery>, StoreError> {
    use DeliveryStatus::{Dead, Pending, Retrying};
    let webhook = query.webhook.as_u128();
    let held = counts.of(webhook);
    let is_none = match query.status {
        Some(Pending | Retrying) => held.unfinished() == 0,
        Some(Dead) => held.dead == 0,
        _ => false,
    };
    if is_none || query.limit == 0 {
        return Ok(Vec::new());
    }
    let (snapshot, in_memory) = with_snapshot(tables, recent, |recent| newest_in_memory(recent, query));
    if query.status == Some(Dead) {
        return list_dead(tables, &snapshot, query);
    }

    let mut fresh = match query.status {
        None | Some(Pending) => {
            fresh_newest(tables, &snapshot, in_memory, query, counts.totals(|all| all.max_early_ms))?
        }
        Some(_) => BTreeMap::new(),
    };
    let before = query.before.unwrap_or(EventId::MAX);
    let mut histories = histories(tables, &snapshot, webhook, EventId::MIN..before, Direction::Falling);
    let mut listed = Vec::new();
    while listed.len() < query.limit {
        let Some(next) = histories.next() else {
            listed.extend(fresh.values().rev().take(query.limit - listed.len()).map(Delivery::fresh));
            break;
        };
        let history = next?;
        let event = history.event;
        fresh.remove(&event);
        while listed.len() < query.limit
            && let Some(newer) = fresh.last_entry().filter(|newer| *newer.key() > event)
        {
            listed.push(Delivery::fresh(&newer.remove()));
        }
        let delivery =
            history.listed(webhook).filter(|delivery| listed.len() < query.limit && matches(query, delivery));
        if delivery.is_some() && is_there(tables, &snapshot, &history)? {
            listed.extend(delivery);
        }
    }
    Ok(listed)
}

/// Rows of the table go with their events, those of the archive later.
fn is_there(tables: &Tables, snapshot: &Snapshot, history: &History) -> Result<bool, StoreError> {
    Ok(!history.is_archived || snapshot.contains_key(&tables.events, keys::event(history.event))?)
}

fn matches(query: &DeliveryQuery, delivery: &Delivery) -> bool {
    query.status.is_none_or(|status| delivery.status == status) && query.kind.is_none_or(|kind| delivery.kind == kind)
}

/// By event: a due time tells little of it when the clock has stepped.
fn newest_in_memory(recent: &Recent, query: &DeliveryQuery) -> BTreeMap<EventId, LaneEntry> {
    let before = query.before.unwrap_or(EventId::MAX);
    let is_asked = |entry: &&LaneEntry| entry.event < before && query.kind.is_none_or(|kind| entry.kind == kind);
    let newest = recent.of(query.webhook.as_u128()).rev().filter(is_asked).take(query.limit);
    newest.map(|entry| (entry.event, *entry)).collect()
}

/// The newest entries that were never attempted nor moved, at most as many as asked for.
fn fresh_newest(
    tables: &Tables,
    snapshot: &Snapshot,
    mut newest: BTreeMap<EventId, LaneEntry>,
    query: &DeliveryQuery,
    max_early_ms: u64,
) -> Result<BTreeMap<EventId, LaneEntry>, StoreError> {
    let before = query.before.unwrap_or(EventId::MAX);
    for class in [LaneClass::Live, LaneClass::Low] {
        let part = keys::lane_class(query.webhook.as_u128(), class);
        for guard in snapshot.prefix(&tables.lanes, part).rev() {
            let (key, value) = guard.into_inner()?;
            let entry = decode_lane(&key, &value)?;
            if newest.len() >= query.limit
                && let Some((oldest, _)) = newest.first_key_value()
                && EventId::timestamp(*oldest).millis() > entry.due.millis().saturating_add(max_early_ms)
            {
                break;
            }
            if entry.event < before && entry.attempts == 0 && query.kind.is_none_or(|kind| entry.kind == kind) {
                newest.insert(entry.event, entry);
            }
            if newest.len() > query.limit {
                newest.pop_first();
            }
        }
    }
    Ok(newest)
}

fn list_dead(tables: &Tables, snapshot: &Snapshot, query: &DeliveryQuery) -> Result<Vec<Delivery>, StoreError> {
    let webhook = query.webhook.as_u128();
    let before = query.before.unwrap_or(EventId::MAX);
    let mut listed = Vec::new();
    let range = keys::delivery(webhook, EventId::MIN)..keys::delivery(webhook, before);
    for guard in snapshot.range(&tables.dead, range).rev() {
        let key = guard.key()?;
        let (_, event) = keys::parse_delivery(&key).ok_or_else(|| corrupt("a dead letter", &"its key is malformed"))?;
        let delivery = history_of(tables, snapshot, webhook, event)?.listed(webhook);
        listed.extend(delivery.filter(|delivery| matches(query, delivery)));
        if listed.len() >= query.limit {
            break;
        }
    }
    Ok(listed)
}

/// See [`Store::finished`](crate::store::Store::finished).
pub fn finished(
    tables: &Tables,
    webhook: WebhookId,
    range: Range<EventId>,
    statuses: &[DeliveryStatus],
    limit: usize,
) -> Result<Vec<EventId>, StoreError> {
    let snapshot = tables.snapshot();
    let mut found = Vec::new();
    for history in histories(tables, &snapshot, webhook.as_u128(), range, Direction::Rising) {
        if found.len() >= limit {
            break;
        }
        let history = history?;
        let standing = history.last().map(|row| row.standing);
        let is_finished = standing
            .is_some_and(|at_last| !matches!(at_last, Standing::Waiting(_)) && statuses.contains(&at_last.status()));
        if is_finished && is_there(tables, &snapshot, &history)? {
            found.push(history.event);
        }
    }
    Ok(found)
}

/// See [`Store::timeline`](crate::store::Store::timeline).
pub fn timeline(
    tables: &Tables,
    recent: &RwLock<Recent>,
    webhook: WebhookId,
    id: EventId,
) -> Result<Option<Timeline>, StoreError> {
    let webhook = webhook.as_u128();
    let Some(value) = tables.events.get(keys::event(id))? else { return Ok(None) };
    let (event, data) = decode_event(&value)?;
    let first = event.owed_to(webhook, id);
    let (snapshot, is_recent) = with_snapshot(tables, recent, |recent| first.is_some_and(|entry| recent.holds(&entry)));
    let history = history_of(tables, &snapshot, webhook, id)?;
    let delivery = match history.delivery(webhook, history.attempts().cloned().collect()) {
        Some(delivery) => Some(delivery),
        None if is_recent => first.as_ref().map(Delivery::fresh),
        None => first_place(tables, &snapshot, first)?.as_ref().map(Delivery::fresh),
    };
    let held_back = event.held_back(webhook);
    let concerns_webhook = delivery.is_some() || held_back.is_some();
    Ok(concerns_webhook.then(|| Timeline { event: Arc::new(event.into_event(id, data)), delivery, held_back }))
}

/// The entry a delivery without history waits as, if it has a row; `None` when it is not owed, in memory only, or gone with its expired
/// dead letter.
pub fn first_place(
    tables: &Tables,
    snapshot: &Snapshot,
    first: Option<LaneEntry>,
) -> Result<Option<LaneEntry>, StoreError> {
    let Some(entry) = first else { return Ok(None) };
    Ok(snapshot.contains_key(&tables.lanes, keys::lane(&entry))?.then_some(entry))
}
