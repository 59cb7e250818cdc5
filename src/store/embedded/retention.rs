//! What is past its time goes, a bounded number of records at a time.
//!
//! Events have ids in the order of their acceptance, so the pass walks from the old end and goes on where it stopped. What it had
//! to leave (an entry waits, a dead letter refers to it) it meets again when the walk begins anew, once an hour.

use std::time::Duration;

use fjall::{Readable as _, Snapshot};

use super::append::REMEMBERED;
use super::counts::{Change, Counts};
use super::deliveries::first_place;
use super::fault::corrupt;
use super::keys::{self, ATTEMPT, Key};
use super::marks::Marks;
use super::past::{Candidate, Past};
use super::rows::{DeadRow, HistoryRow, Standing, decode, decode_event};
use super::stage::Stage;
use super::tables::{Expiries, Table};
use crate::domain::{EventId, Timestamp, WebhookIdBits};
use crate::store::{Retention, RetentionStep, StoreError};

/// Between two walks from the start.
const ANEW_AFTER: Duration = Duration::from_hours(1);
/// Records looked at in one step: some milliseconds of the writer's time.
const EVENTS_PER_STEP: usize = 256;
const DEAD_PER_STEP: usize = 1_024;

/// Where the walks stand.
#[derive(Debug, Default)]
pub struct Walks {
    events: Walk,
    dead: Walk,
}

#[derive(Debug, Default)]
struct Walk {
    /// The last key looked at.
    after: Option<Key>,
    began: Option<Timestamp>,
}

impl Walk {
    /// Answers whether it does.
    fn begin_anew_when_due(&mut self, now: Timestamp) -> bool {
        let is_due = self.began.is_none_or(|began| now.since(began) >= ANEW_AFTER);
        if is_due {
            *self = Self { after: None, began: Some(now) };
        }
        is_due
    }

    fn start(&self) -> std::ops::Bound<Key> {
        self.after.clone().map_or(std::ops::Bound::Unbounded, std::ops::Bound::Excluded)
    }
}

/// What a step goes by.
pub struct Pass<'a> {
    pub now: Timestamp,
    pub retention: Retention,
    pub counts: &'a Counts,
    pub expiries: &'a Expiries,
    pub marks: &'a Marks,
}

impl Pass<'_> {
    /// One step. The stage must be empty.
    pub fn step(&self, stage: &mut Stage<'_>, walks: &mut Walks) -> Result<RetentionStep, StoreError> {
        self.expiries.client_ids.expire_before(self.now.before(REMEMBERED));
        self.expiries.messages.expire_before(self.now.before(self.retention.messages));
        self.expiries.client_ids.take_dropped();
        let messages = self.expiries.messages.take_dropped();
        let snapshot = stage.tables().snapshot();
        let mut step = RetentionStep { messages, ..RetentionStep::default() };
        walks.dead.begin_anew_when_due(self.now);
        if walks.events.begin_anew_when_due(self.now) {
            stage.tables().archive.walk_anew();
        }
        // Dead letters first: their events may go in a later step.
        self.remove_dead(stage, &snapshot, &mut walks.dead, &mut step)?;
        if !step.more {
            self.remove_events(stage, &snapshot, &mut walks.events, &mut step)?;
        }
        Ok(step)
    }

    fn remove_dead(
        &self,
        stage: &mut Stage<'_>,
        snapshot: &Snapshot,
        walk: &mut Walk,
        step: &mut RetentionStep,
    ) -> Result<(), StoreError> {
        let bound = self.now.before(self.retention.dead);
        let dead = &stage.tables().dead;
        let mut looked_at = 0;
        for guard in snapshot.range::<Key, _>(dead, (walk.start(), std::ops::Bound::Unbounded)).take(DEAD_PER_STEP) {
            let (key, value) = guard.into_inner()?;
            let row: DeadRow = decode("a dead letter", &value)?;
            let key = Key::from_slice(&key);
            if row.at < bound {
                let (webhook, event) =
                    keys::parse_delivery(&key).ok_or_else(|| corrupt("a dead letter", &"its key is malformed"))?;
                stage.remove(Table::Dead, key.clone());
                stage.change(Change::Undied { webhook, data_bytes: row.data_bytes });
                remove_history(stage, snapshot, webhook, event)?;
                if self.marks.floor.is_none_or(|floor| event >= floor) {
                    stage.spill_all_to(event);
                }
                step.dead += 1;
            }
            walk.after = Some(key);
            looked_at += 1;
        }
        // An event left behind by its dead letter only now: look at it soon, not within the hour.
        step.more = step.dead > 0 || looked_at == DEAD_PER_STEP;
        Ok(())
    }

    fn remove_events(
        &self,
        stage: &mut Stage<'_>,
        snapshot: &Snapshot,
        walk: &mut Walk,
        step: &mut RetentionStep,
    ) -> Result<(), StoreError> {
        let held_bytes = self.counts.totals(|totals| totals.held_bytes);
        let tables = stage.tables();
        let taken = self.marks.history_bytes + tables.archive.live_bytes();
        let mut excess = taken.saturating_sub(held_bytes).saturating_sub(self.retention.history_max_bytes);
        let expired_before = EventId::first_at(self.now.before(self.retention.history));
        let left = (walk.start(), std::ops::Bound::Unbounded);
        let mut candidates = Vec::new();
        for guard in snapshot.range::<Key, _>(&tables.events, left).take(EVENTS_PER_STEP) {
            let (key, value) = guard.into_inner()?;
            let raw: [u8; 16] = (*key).try_into().map_err(|_| corrupt("an event", &"its key is not 16 bytes long"))?;
            let id = EventId::from_be_bytes(raw);
            if id >= expired_before && excess == 0 {
                break;
            }
            let owed = decode_event(&value)?.0.owed(id).collect();
            candidates.push(Candidate { id, owed, value_bytes: value.len() });
        }
        step.more = candidates.len() == EVENTS_PER_STEP;
        let mut past = Past::of(tables, snapshot, self.counts, &candidates)?;
        for candidate in candidates {
            if candidate.id >= expired_before && excess == 0 {
                step.more = false;
                return Ok(());
            }
            walk.after = Some(keys::event(candidate.id));
            tables.archive.walked_to(candidate.id);
            if let Some((deliveries, bytes)) = remove_event(stage, snapshot, &candidate, &mut past)? {
                step.events += 1;
                step.deliveries += deliveries;
                excess = excess.saturating_sub(bytes);
            }
        }
        Ok(())
    }
}

/// Removes an event and its history unless something refers to it; answers its deliveries and its size.
fn remove_event(
    stage: &mut Stage<'_>,
    snapshot: &Snapshot,
    candidate: &Candidate,
    past: &mut Past,
) -> Result<Option<(u64, u64)>, StoreError> {
    let (tables, id) = (stage.tables(), candidate.id);
    for entry in &candidate.owed {
        let is_held = match past.holds(tables, snapshot, entry.webhook, id)? {
            Some(is_held) => is_held,
            None if !past.may_wait(entry.webhook) => false,
            None => stage.recent().holds(entry) || first_place(tables, snapshot, Some(*entry))?.is_some(),
        };
        if is_held {
            return Ok(None);
        }
    }
    let (mut archived, mut bytes) = (0, (size_of::<EventId>() + candidate.value_bytes) as u64);
    for entry in &candidate.owed {
        let rows = past.take(entry.webhook, id);
        archived += u64::from(rows.is_empty());
        for (key, value_bytes) in rows {
            bytes += (key.len() + value_bytes) as u64;
            stage.remove_sized(Table::History, key, value_bytes);
        }
    }
    stage.remove_sized(Table::Events, keys::event(id), candidate.value_bytes);
    // Their rows go later, with all of their file.
    bytes += tables.archive.forget(id, archived);
    Ok(Some((candidate.owed.len() as u64, bytes)))
}

/// Of a dead letter that has expired.
fn remove_history(
    stage: &mut Stage<'_>,
    snapshot: &Snapshot,
    webhook: WebhookIdBits,
    event: EventId,
) -> Result<(), StoreError> {
    let (mut was_attempted, mut knows_first) = (false, false);
    for guard in snapshot.prefix(&stage.tables().history, keys::delivery(webhook, event)) {
        let (key, value) = guard.into_inner()?;
        let (_, number, step) =
            keys::parse_history(&key).ok_or_else(|| corrupt("a history row", &"its key is malformed"))?;
        was_attempted |= number > 0;
        knows_first |= (number, step) == (1, ATTEMPT);
        stage.remove_sized(Table::History, Key::from_slice(&key), value.len());
    }
    // Its first attempt is in the archive, which is not changed.
    if was_attempted
        && !knows_first
        && let Some(archived) = stage.tables().archive.find((webhook, event))?
    {
        let gone = HistoryRow { standing: Standing::Gone, attempt: None, ..archived };
        stage.add_history(webhook, event, (1, ATTEMPT), &gone)?;
    }
    Ok(())
}
