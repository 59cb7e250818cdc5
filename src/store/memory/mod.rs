//! The store in memory: what every other store is compared with. Simple and obviously right; gone with the process.
//!
//! One lock around plain maps (`state`).

mod state;

use std::ops::Range;
use std::sync::Arc;

use futures_util::FutureExt as _;
use parking_lot::Mutex;

use self::state::State;
use super::{
    Append, Appended, DeliveryQuery, DirectoryChange, DirectoryRecords, Durability, LaneCounts, LaneQuery,
    RecoveryReport, Requeue, Retention, RetentionStep, Settle, Store, StoreError, StoreFuture, StoreStats, Timeline,
};
use crate::domain::{
    AttemptOrigin, Delivery, DeliveryStatus, Event, EventId, InstanceId, LaneClass, LaneEntry, MessageState,
    MessageStatus, Timestamp, WebhookId,
};

/// See the module.
#[derive(Debug, Default)]
pub struct MemoryStore {
    state: Mutex<State>,
}

impl MemoryStore {
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Runs `work` under the lock, unless the store is closed.
    fn with<'a, T: Send + 'a>(&'a self, work: impl FnOnce(&mut State) -> T + Send + 'a) -> StoreFuture<'a, T> {
        async move {
            let mut state = self.state.lock();
            if state.closed { Err(StoreError::Closed) } else { Ok(work(&mut state)) }
        }
        .boxed()
    }
}

impl Store for MemoryStore {
    fn append(&self, batch: Vec<Append>) -> StoreFuture<'_, Vec<Appended>> {
        self.with(|state| {
            state.commits += 1;
            batch.into_iter().map(|append| state.append(append)).collect()
        })
    }

    fn settle(&self, batch: Vec<Settle>) -> StoreFuture<'_, ()> {
        self.with(|state| {
            state.commits += 1;
            for settle in batch {
                state.settle(settle);
            }
        })
    }

    fn flush(&self) -> StoreFuture<'_, ()> {
        self.with(|_| ())
    }

    fn lane(&self, query: LaneQuery) -> StoreFuture<'_, Vec<LaneEntry>> {
        self.with(move |state| {
            let key = if query.class == LaneClass::Parked { query.order_key } else { 0 };
            let part = (query.webhook.as_u128(), query.class, key);
            let all = (part.0, part.1, part.2, Timestamp::default(), EventId::MIN)
                ..=(part.0, part.1, part.2, Timestamp::MAX, EventId::MAX);
            let entries = state.lanes.range(all).map(|(_, entry)| *entry);
            entries
                .filter(|entry| query.after.is_none_or(|after| (entry.due, entry.event) > after))
                .take(query.limit)
                .collect()
        })
    }

    fn parked_keys(&self, webhook: WebhookId, limit: usize) -> StoreFuture<'_, Vec<u64>> {
        self.with(move |state| {
            let parked = state.lanes.keys().filter(|key| key.0 == webhook.as_u128() && key.1 == LaneClass::Parked);
            let mut keys: Vec<_> = parked.map(|key| key.2).collect();
            keys.dedup();
            keys.truncate(limit);
            keys
        })
    }

    fn active_lanes(&self) -> StoreFuture<'_, Vec<(WebhookId, LaneCounts)>> {
        self.with(|state| {
            let active = state.counts.iter().filter(|(_, counts)| counts.unfinished() > 0);
            active.map(|(webhook, counts)| (WebhookId::from_u128(*webhook), *counts)).collect()
        })
    }

    fn unfinished(&self) -> u64 {
        self.state.lock().counts.values().map(LaneCounts::unfinished).sum()
    }

    fn lane_counts(&self, webhook: WebhookId) -> LaneCounts {
        self.state.lock().counts.get(&webhook.as_u128()).copied().unwrap_or_default()
    }

    fn events(&self, ids: Vec<EventId>) -> StoreFuture<'_, Vec<Option<Arc<Event>>>> {
        self.with(move |state| ids.iter().map(|id| state.events.get(id).map(|stored| stored.event.clone())).collect())
    }

    fn deliveries(&self, query: DeliveryQuery) -> StoreFuture<'_, Vec<Delivery>> {
        self.with(move |state| {
            let webhook = query.webhook.as_u128();
            let end = (webhook, query.before.unwrap_or(EventId::MAX));
            let records = state.deliveries.range((webhook, EventId::MIN)..end).rev().map(|(_, record)| record);
            records
                .filter(|record| query.status.is_none_or(|status| record.status() == status))
                .filter(|record| query.kind.is_none_or(|kind| record.entry.kind == kind))
                .take(query.limit)
                .map(|record| record.delivery(record.attempts.values().next_back().cloned().into_iter().collect()))
                .collect()
        })
    }

    fn timeline(&self, webhook: WebhookId, event: EventId) -> StoreFuture<'_, Option<Timeline>> {
        self.with(move |state| state.timeline(webhook, event))
    }

    fn requeue(
        &self,
        webhook: WebhookId,
        event: EventId,
        origin: AttemptOrigin,
        due: Timestamp,
    ) -> StoreFuture<'_, Requeue> {
        self.with(move |state| state.requeue(webhook, event, origin, due))
    }

    fn finished(
        &self,
        webhook: WebhookId,
        range: Range<EventId>,
        statuses: Vec<DeliveryStatus>,
        limit: usize,
    ) -> StoreFuture<'_, Vec<EventId>> {
        self.with(move |state| {
            let webhook = webhook.as_u128();
            let (start, end) = (range.start, range.end.max(range.start));
            let records = state.deliveries.range((webhook, start)..(webhook, end)).map(|(_, record)| record);
            records
                .filter(|record| record.end.is_some_and(|end| statuses.contains(&end.status)))
                .map(|record| record.entry.event)
                .take(limit)
                .collect()
        })
    }

    fn cancel_lane(&self, webhook: WebhookId, limit: usize) -> StoreFuture<'_, bool> {
        self.with(move |state| state.cancel_lane(webhook, limit))
    }

    fn message(&self, instance: &InstanceId, message_id: &str) -> StoreFuture<'_, Option<MessageStatus>> {
        let (instance, message_id) = (instance.clone(), Box::<str>::from(message_id));
        self.with(move |state| {
            let reached = (instance.clone(), message_id.clone(), MessageState::Pending)
                ..=(instance, message_id.clone(), MessageState::Deleted);
            let mut latest_first = state.messages.range(reached).rev();
            let ((_, _, reached), (updated_at, number)) = latest_first.next()?;
            let number = std::iter::once(number).chain(latest_first.map(|(_, (_, number))| number));
            let number = number.into_iter().find(|number| !number.is_empty()).cloned().unwrap_or_default();
            Some(MessageStatus { message_id, state: *reached, number, updated_at: *updated_at })
        })
    }

    fn directory(&self) -> StoreFuture<'_, DirectoryRecords> {
        self.with(|state| DirectoryRecords {
            businesses: state.businesses.values().cloned().collect(),
            instances: state.instances.values().cloned().collect(),
            webhooks: state.webhooks.values().cloned().collect(),
        })
    }

    fn change_directory(&self, changes: Vec<DirectoryChange>) -> StoreFuture<'_, ()> {
        self.with(|state| changes.into_iter().for_each(|change| state.change(change)))
    }

    fn setting(&self, name: &'static str) -> StoreFuture<'_, Option<Vec<u8>>> {
        self.with(move |state| state.settings.get(name).cloned())
    }

    fn put_setting(&self, name: &'static str, value: Vec<u8>) -> StoreFuture<'_, ()> {
        self.with(move |state| drop(state.settings.insert(name, value)))
    }

    fn put_setting_if_absent(&self, name: &'static str, value: Vec<u8>) -> StoreFuture<'_, Vec<u8>> {
        self.with(move |state| state.settings.entry(name).or_insert(value).clone())
    }

    fn retain(&self, now: Timestamp, retention: Retention) -> StoreFuture<'_, RetentionStep> {
        self.with(move |state| state.retain(now, retention))
    }

    fn durability(&self) -> Durability {
        Durability::Memory
    }

    fn recovery(&self) -> RecoveryReport {
        RecoveryReport::default()
    }

    fn stats(&self) -> StoreStats {
        let state = self.state.lock();
        StoreStats {
            unfinished: state.lanes.len() as u64,
            dead: state.counts.values().map(|counts| counts.dead).sum(),
            commits: state.commits,
            ..StoreStats::default()
        }
    }

    fn check(&self) -> StoreFuture<'_, ()> {
        self.with(|_| ())
    }

    fn close(&self) -> StoreFuture<'_, ()> {
        async move {
            self.state.lock().closed = true;
            Ok(())
        }
        .boxed()
    }
}
