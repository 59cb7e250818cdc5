//! What is told of deliveries: lists, timelines, candidates of a replay. All of one snapshot.
//!
//! A list merges two sources by event: history, where the last row of a delivery is its state, and the lanes, for entries that
//! have no row yet. Those are sorted by due, not by event; but no entry is due before its event's id was made (but for
//! [`Totals::max_early_ms`](super::counts::Totals)), so reading from the latest due backwards can stop early.

use std::collections::BTreeMap;
use std::iter::Peekable;
use std::ops::Range;
use std::sync::Arc;

use fjall::{Iter, Readable as _, Snapshot};
use parking_lot::RwLock;

use super::counts::Counts;
use super::fault::corrupt;
use super::keys;
use super::read::with_snapshot;
use super::recent::Recent;
use super::rows::{HistoryRow, Standing, decode, decode_event, decode_lane};
use super::tables::Tables;
use crate::domain::{Attempt, Delivery, DeliveryStatus, EventId, LaneClass, LaneEntry, WebhookId, WebhookIdBits};
use crate::store::{DeliveryQuery, StoreError, Timeline};

/// The rows of one delivery, the oldest first.
pub struct History {
    pub event: EventId,
    pub rows: Vec<HistoryRow>,
}

impl History {
    /// `None` without rows: the delivery waits where its event was stored with it.
    pub fn last(&self) -> Option<&HistoryRow> {
        self.rows.last()
    }

    pub fn attempts(&self) -> impl DoubleEndedIterator<Item = &Attempt> {
        self.rows.iter().filter_map(|row| row.attempt.as_ref())
    }

    fn delivery(&self, webhook: WebhookIdBits, attempts: Vec<Attempt>) -> Option<Delivery> {
        let last = self.last()?;
        let (next_attempt_at, dead_reason) = match last.standing {
            Standing::Waiting(placed) => (Some(placed.entry(webhook, self.event).due), None),
            Standing::Dead(reason) => (None, Some(reason)),
            Standing::Delivered | Standing::Superseded { .. } | Standing::Cancelled => (None, None),
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

    fn listed(&self, webhook: WebhookIdBits) -> Option<Delivery> {
        self.delivery(webhook, self.attempts().next_back().cloned().into_iter().collect())
    }
}

/// The history of one delivery.
pub fn history_of(
    tables: &Tables,
    snapshot: &Snapshot,
    webhook: WebhookIdBits,
    event: EventId,
) -> Result<History, StoreError> {
    let mut rows = Vec::new();
    for guard in snapshot.prefix(&tables.history, keys::delivery(webhook, event)) {
        rows.push(decode("a history row", &guard.value()?)?);
    }
    Ok(History { event, rows })
}

/// Rows of one webhook, in either direction, gathered by delivery.
struct Histories<I: Iterator<Item = fjall::Guard>> {
    rows: Peekable<RowsOf<I>>,
}

struct RowsOf<I>(I);

impl<I: Iterator<Item = fjall::Guard>> Iterator for RowsOf<I> {
    type Item = Result<(EventId, HistoryRow), StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        let guard = self.0.next()?;
        Some(guard.into_inner().map_err(StoreError::from).and_then(|(key, value)| {
            let (_, event) =
                keys::parse_delivery(&key).ok_or_else(|| corrupt("a history row", &"its key is malformed"))?;
            Ok((event, decode("a history row", &value)?))
        }))
    }
}

impl<I: Iterator<Item = fjall::Guard>> Iterator for Histories<I> {
    type Item = Result<(EventId, Vec<HistoryRow>), StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        let (event, first) = match self.rows.next()? {
            Ok(row) => row,
            Err(error) => return Some(Err(error)),
        };
        let mut rows = vec![first];
        while let Some(Ok((_, row))) = self.rows.next_if(|next| next.as_ref().is_ok_and(|(id, _)| *id == event)) {
            rows.push(row);
        }
        Some(Ok((event, rows)))
    }
}

fn history_range(tables: &Tables, snapshot: &Snapshot, webhook: WebhookIdBits, events: Range<EventId>) -> Iter {
    let end = events.end.max(events.start);
    snapshot.range(&tables.history, keys::delivery(webhook, events.start)..keys::delivery(webhook, end))
}

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
    let newest_first = history_range(tables, &snapshot, webhook, EventId::MIN..before).rev();
    let mut histories = Histories { rows: RowsOf(newest_first).peekable() };
    let mut listed = Vec::new();
    while listed.len() < query.limit {
        let Some(next) = histories.next() else {
            listed.extend(fresh.values().rev().take(query.limit - listed.len()).map(Delivery::fresh));
            break;
        };
        let (event, mut rows) = next?;
        rows.reverse();
        fresh.remove(&event);
        while listed.len() < query.limit
            && let Some(newer) = fresh.last_entry().filter(|newer| *newer.key() > event)
        {
            listed.push(Delivery::fresh(&newer.remove()));
        }
        let delivery = History { event, rows }.listed(webhook);
        listed.extend(delivery.filter(|delivery| listed.len() < query.limit && matches(query, delivery)));
    }
    Ok(listed)
}

fn matches(query: &DeliveryQuery, delivery: &Delivery) -> bool {
    query.status.is_none_or(|status| delivery.status == status) && query.kind.is_none_or(|kind| delivery.kind == kind)
}

/// By event: a due time tells little of it when the clock has stepped.
fn newest_in_memory(recent: &Recent, query: &DeliveryQuery) -> BTreeMap<EventId, LaneEntry> {
    let before = query.before.unwrap_or(EventId::MAX);
    let mut newest = BTreeMap::new();
    for entry in recent.of(query.webhook.as_u128()) {
        if entry.event < before && query.kind.is_none_or(|kind| entry.kind == kind) {
            newest.insert(entry.event, *entry);
        }
        if newest.len() > query.limit {
            newest.pop_first();
        }
    }
    newest
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
    let snapshot = tables.db.snapshot();
    let rows = RowsOf(history_range(tables, &snapshot, webhook.as_u128(), range)).peekable();
    let mut found = Vec::new();
    for history in (Histories { rows }) {
        if found.len() >= limit {
            break;
        }
        let (event, rows) = history?;
        let standing = rows.last().map(|row| row.standing);
        let is_finished = standing
            .is_some_and(|at_last| !matches!(at_last, Standing::Waiting(_)) && statuses.contains(&at_last.status()));
        if is_finished {
            found.push(event);
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
