//! What the memory store knows, as plain maps: a delivery has one [`Record`]; lanes are an index over the waiting ones.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use crate::domain::{
    Attempt, AttemptOrigin, Business, BusinessId, DeadReason, Delivery, DeliveryStatus, Event, EventId, Instance,
    InstanceId, LaneClass, LaneEntry, MessageState, Timestamp, Webhook, WebhookId, WebhookIdBits,
};
use crate::store::moving::StateReached;
use crate::store::{
    Append, Appended, DirectoryChange, HeldBack, LaneCounts, Next, Requeue, Retention, RetentionStep, Settle, Timeline,
};

/// How long a caller's id is remembered.
const REMEMBERED: Duration = Duration::from_hours(24);

#[derive(Debug)]
pub struct Stored {
    pub event: Arc<Event>,
    pub held_back: Vec<(WebhookIdBits, HeldBack)>,
}

/// One delivery.
#[derive(Debug)]
pub struct Record {
    /// As it waits, or as it waited last.
    pub entry: LaneEntry,
    /// By number: a repeated one replaces the one before.
    pub attempts: BTreeMap<u16, Attempt>,
    /// `None` while it waits.
    pub end: Option<End>,
}

#[derive(Clone, Copy, Debug)]
pub struct End {
    pub status: DeliveryStatus,
    pub reason: Option<DeadReason>,
    pub at: Timestamp,
}

impl Record {
    pub fn status(&self) -> DeliveryStatus {
        match self.end {
            Some(end) => end.status,
            None if self.entry.attempts > 0 => DeliveryStatus::Retrying,
            None => DeliveryStatus::Pending,
        }
    }

    pub fn holds_event(&self) -> bool {
        self.end.is_none_or(|end| end.status == DeliveryStatus::Dead)
    }

    pub fn delivery(&self, attempts: Vec<Attempt>) -> Delivery {
        Delivery {
            event: self.entry.event,
            webhook: self.entry.webhook_id(),
            kind: self.entry.kind,
            status: self.status(),
            dead_reason: self.end.and_then(|end| end.reason),
            next_attempt_at: self.end.is_none().then_some(self.entry.due),
            finished_at: self.end.map(|end| end.at),
            attempts,
        }
    }
}

/// Webhook, class, order key where the class sorts by it, due, event.
pub type Place = (WebhookIdBits, LaneClass, u64, Timestamp, EventId);

pub fn place(entry: &LaneEntry) -> Place {
    let key = if entry.class == LaneClass::Parked { entry.order_key } else { 0 };
    (entry.webhook, entry.class, key, entry.due, entry.event)
}

/// One state of a message that some event told.
pub type Reached = (InstanceId, Box<str>, MessageState);

#[derive(Debug, Default)]
pub struct State {
    pub closed: bool,
    pub commits: u64,
    pub events: BTreeMap<EventId, Stored>,
    pub deliveries: BTreeMap<(WebhookIdBits, EventId), Record>,
    pub lanes: BTreeMap<Place, LaneEntry>,
    pub counts: HashMap<WebhookIdBits, LaneCounts>,
    pub client_ids: HashMap<(InstanceId, Box<str>), (EventId, Timestamp)>,
    /// One per state reached: the latest state is the answer, whatever the order they came in.
    pub messages: BTreeMap<Reached, (Timestamp, Box<str>)>,
    /// Those of another store that knows ids of messages by their hashes only, until somebody asks by the id.
    pub hashed_messages: HashMap<(InstanceId, [u8; 16]), Vec<StateReached>>,
    pub businesses: BTreeMap<BusinessId, Business>,
    pub instances: BTreeMap<InstanceId, Instance>,
    pub webhooks: BTreeMap<WebhookId, Webhook>,
    pub settings: HashMap<&'static str, Vec<u8>>,
}

impl State {
    pub fn counts(&mut self, webhook: WebhookIdBits) -> &mut LaneCounts {
        self.counts.entry(webhook).or_default()
    }

    pub fn enter(&mut self, entry: LaneEntry) {
        self.lanes.insert(place(&entry), entry);
        self.counts(entry.webhook).waiting[entry.class as usize] += 1;
    }

    pub fn leave(&mut self, entry: &LaneEntry) -> bool {
        let held = self.lanes.get(&place(entry));
        let was_there = held.is_some_and(|held| held.attempts == entry.attempts);
        if was_there {
            self.lanes.remove(&place(entry));
            self.counts(entry.webhook).waiting[entry.class as usize] -= 1;
        }
        was_there
    }

    pub fn append(&mut self, append: Append) -> Appended {
        let event = append.event;
        if let Some(client_id) = &event.client_id {
            let key = (event.instance.clone(), client_id.clone());
            if let Some((first, at)) = self.client_ids.get(&key)
                && event.accepted_at.since(*at) < REMEMBERED
            {
                return Appended::Duplicate(*first);
            }
            self.client_ids.insert(key, (event.id, event.accepted_at));
        }
        for message in append.messages {
            let key = (event.instance.clone(), message.message_id, message.state);
            self.messages.insert(key, (message.updated_at, message.number));
        }
        for entry in append.entries {
            let record = Record { entry, attempts: BTreeMap::new(), end: None };
            self.deliveries.insert((entry.webhook, entry.event), record);
            self.enter(entry);
        }
        self.events.insert(event.id, Stored { event, held_back: append.held_back.into_vec() });
        Appended::New
    }

    pub fn settle(&mut self, settle: Settle) {
        let Settle { entry, attempt, next, at } = settle;
        if !self.leave(&entry) {
            return;
        }
        let record = self.deliveries.get_mut(&(entry.webhook, entry.event)).expect("an entry in a lane has its record");
        if let Some(attempt) = attempt {
            record.attempts.insert(attempt.number, attempt);
        }
        let (status, reason) = match next {
            Next::Move(moved) => {
                record.entry = moved;
                return self.enter(moved);
            }
            Next::Delivered => (DeliveryStatus::Delivered, None),
            Next::Dead(reason) => (DeliveryStatus::Dead, Some(reason)),
            Next::Superseded { .. } => (DeliveryStatus::Superseded, None),
            Next::Cancelled => (DeliveryStatus::Cancelled, None),
        };
        record.end = Some(End { status, reason, at });
        if status == DeliveryStatus::Dead {
            self.counts(entry.webhook).dead += 1;
        }
    }

    pub fn requeue(&mut self, webhook: WebhookId, event: EventId, origin: AttemptOrigin, due: Timestamp) -> Requeue {
        let Some(record) = self.deliveries.get_mut(&(webhook.as_u128(), event)) else { return Requeue::Unknown };
        let Some(end) = record.end.take() else { return Requeue::Unfinished(record.entry) };
        record.entry = LaneEntry { class: LaneClass::Retry, due, origin, round_attempts: 0, ..record.entry };
        record.entry.attempts = record.attempts.keys().next_back().copied().unwrap_or(0);
        let entry = record.entry;
        if end.status == DeliveryStatus::Dead {
            self.counts(entry.webhook).dead -= 1;
        }
        self.enter(entry);
        Requeue::Queued(entry)
    }

    pub fn cancel_lane(&mut self, webhook: WebhookId, limit: usize) -> bool {
        let first = (webhook.as_u128(), LaneClass::Retry, 0, Timestamp::default(), EventId::MIN);
        let of_webhook = self.lanes.range(first..).map(|(_, entry)| *entry);
        let entries: Vec<_> = of_webhook.take_while(|entry| entry.webhook == webhook.as_u128()).take(limit).collect();
        for entry in entries {
            self.settle(Settle { entry, attempt: None, next: Next::Cancelled, at: Timestamp::now() });
        }
        self.counts(webhook.as_u128()).unfinished() > 0
    }

    pub fn timeline(&self, webhook: WebhookId, event: EventId) -> Option<Timeline> {
        let stored = self.events.get(&event)?;
        let delivery = self
            .deliveries
            .get(&(webhook.as_u128(), event))
            .map(|record| record.delivery(record.attempts.values().cloned().collect()));
        let held_back = stored.held_back.iter().find(|(held, _)| *held == webhook.as_u128()).map(|(_, rule)| *rule);
        let concerns_webhook = delivery.is_some() || held_back.is_some();
        concerns_webhook.then(|| Timeline { event: stored.event.clone(), delivery, held_back })
    }

    pub fn change(&mut self, change: DirectoryChange) {
        match change {
            DirectoryChange::PutBusiness(business) => drop(self.businesses.insert(business.id, *business)),
            DirectoryChange::DeleteBusiness(id) => drop(self.businesses.remove(&id)),
            DirectoryChange::PutInstance(instance) => drop(self.instances.insert(instance.id.clone(), *instance)),
            DirectoryChange::DeleteInstance(id) => drop(self.instances.remove(&id)),
            DirectoryChange::PutWebhook(webhook) => drop(self.webhooks.insert(webhook.id, *webhook)),
            DirectoryChange::DeleteWebhook(id) => drop(self.webhooks.remove(&id)),
        }
    }

    pub fn retain(&mut self, now: Timestamp, retention: Retention) -> RetentionStep {
        let mut step = RetentionStep::default();
        let dead_before = now.before(retention.dead);
        let is_expired =
            |record: &Record| record.end.is_some_and(|end| end.status == DeliveryStatus::Dead && end.at < dead_before);
        for (_, record) in self.deliveries.extract_if(.., |_, record| is_expired(record)) {
            self.counts.entry(record.entry.webhook).or_default().dead -= 1;
            step.dead += 1;
        }

        let held: HashSet<_> =
            self.deliveries.values().filter(|record| record.holds_event()).map(|record| record.entry.event).collect();
        let finished = || self.events.iter().filter(|(id, _)| !held.contains(id));
        let mut bytes: u64 = finished().map(|(_, stored)| stored.event.data.len() as u64).sum();
        let oldest_kept = EventId::first_at(now.before(retention.history));
        let mut gone = HashSet::new();
        for (id, stored) in finished() {
            if *id >= oldest_kept && bytes <= retention.history_max_bytes {
                break;
            }
            bytes -= stored.event.data.len() as u64;
            gone.insert(*id);
        }
        self.events.retain(|id, _| !gone.contains(id));
        step.events = gone.len() as u64;
        step.deliveries = self.deliveries.extract_if(.., |(_, event), _| gone.contains(event)).count() as u64;

        let messages_before = now.before(retention.messages);
        step.messages = self.messages.extract_if(.., |_, (at, _)| *at < messages_before).count() as u64;
        self.client_ids.retain(|_, (_, at)| now.since(*at) < REMEMBERED);
        step
    }
}
