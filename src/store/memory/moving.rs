//! All that is known, told to another store and taken from one.

use std::collections::BTreeMap;

use super::state::{End, Record as Kept, State, Stored};
use crate::domain::{AttemptOrigin, DeadReason, DeliveryStatus, EventId, InstanceId, LaneClass, LaneEntry};
use crate::store::Next;
use crate::store::moving::{DeliveryRecord, EventRecord, MessageName, MessageRecord, Record, message_hash};

pub fn records(state: &State) -> Vec<Record> {
    let mut by_event: BTreeMap<EventId, Vec<DeliveryRecord>> = BTreeMap::new();
    for kept in state.deliveries.values() {
        by_event.entry(kept.entry.event).or_default().push(delivery(kept));
    }
    let event = |(id, stored): (&EventId, &Stored)| {
        let deliveries = by_event.get(id).cloned().unwrap_or_default();
        Record::Event(EventRecord { event: stored.event.clone(), held_back: stored.held_back.clone(), deliveries })
    };
    let named = state.messages.iter().map(|((instance, id, reached), (at, number))| MessageRecord {
        instance: instance.clone(),
        id: MessageName::Id(id.clone()),
        states: vec![(*reached, *at, number.clone())],
    });
    let hashed = state.hashed_messages.iter().map(|((instance, hash), states)| MessageRecord {
        instance: instance.clone(),
        id: MessageName::Hash(*hash),
        states: states.clone(),
    });
    let is_known = |message: &MessageRecord| state.instances.contains_key(&message.instance);
    let messages = named.chain(hashed).filter(is_known).map(Record::Message);
    state.events.iter().map(event).chain(messages).collect()
}

fn delivery(kept: &Kept) -> DeliveryRecord {
    let entry = kept.entry;
    let was_live = LaneEntry {
        class: LaneClass::Live,
        due: entry.event.timestamp(),
        origin: AttemptOrigin::First,
        attempts: 0,
        round_attempts: 0,
        ..entry
    };
    let standing = match kept.end.map(|end| (end.status, end.reason)) {
        None => Next::Move(entry),
        Some((DeliveryStatus::Dead, reason)) => Next::Dead(reason.unwrap_or(DeadReason::Exhausted)),
        Some((DeliveryStatus::Superseded, _)) => Next::Superseded { by: EventId::MAX },
        Some((DeliveryStatus::Cancelled, _)) => Next::Cancelled,
        Some(_) => Next::Delivered,
    };
    DeliveryRecord {
        first: if entry.is_fresh() { entry } else { was_live },
        standing,
        at: kept.end.map_or(entry.event.timestamp(), |end| end.at),
        attempts: kept.attempts.values().cloned().collect(),
    }
}

/// Answers whether it was an event that is new.
pub fn restore(state: &mut State, record: Record) -> bool {
    let EventRecord { event, held_back, deliveries } = match record {
        Record::Event(event) => event,
        Record::Message(message) => {
            take_message(state, message);
            return false;
        }
    };
    if state.events.contains_key(&event.id) {
        return false;
    }
    if let Some(client_id) = &event.client_id {
        let first = state.client_ids.entry((event.instance.clone(), client_id.clone()));
        let first = first.or_insert((event.id, event.accepted_at));
        *first = (*first).max((event.id, event.accepted_at));
    }
    for delivery in deliveries {
        let entry = *delivery.waiting().unwrap_or(&delivery.first);
        let (status, reason) = match delivery.standing {
            Next::Move(_) => {
                state.enter(entry);
                (None, None)
            }
            Next::Dead(reason) => {
                state.counts(entry.webhook).dead += 1;
                (Some(DeliveryStatus::Dead), Some(reason))
            }
            Next::Delivered => (Some(DeliveryStatus::Delivered), None),
            Next::Superseded { .. } => (Some(DeliveryStatus::Superseded), None),
            Next::Cancelled => (Some(DeliveryStatus::Cancelled), None),
        };
        let end = status.map(|status| End { status, reason, at: delivery.at });
        let attempts = delivery.attempts.into_iter().map(|attempt| (attempt.number, attempt)).collect();
        state.deliveries.insert((entry.webhook, entry.event), Kept { entry, attempts, end });
    }
    state.events.insert(event.id, Stored { event, held_back });
    true
}

fn take_message(state: &mut State, message: MessageRecord) {
    match message.id {
        MessageName::Hash(hash) => {
            state.hashed_messages.entry((message.instance, hash)).or_default().extend(message.states);
        }
        MessageName::Id(id) => {
            for (reached, at, number) in message.states {
                let kept = state.messages.entry((message.instance.clone(), id.clone(), reached)).or_default();
                if at >= kept.0 {
                    *kept = (at, number);
                }
            }
        }
    }
}

/// Somebody asks for a message: what is known by the hash of its id has a name now.
pub fn name_message(state: &mut State, instance: &InstanceId, id: &str) {
    if let Some(states) = state.hashed_messages.remove(&(instance.clone(), message_hash(id))) {
        let id = MessageName::Id(id.into());
        take_message(state, MessageRecord { instance: instance.clone(), id, states });
    }
}
