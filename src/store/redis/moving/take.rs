//! Events that are on record stay as they are. Those that are new: first what of their deliveries is in other shards, then, in one
//! call, the event with the rest. So an event on record is whole, and what was cut off before it is entered again without harm.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::future::try_join_all;
use redis::cmd;

use super::super::answer::number;
use super::super::keys::{self, lane_name};
use super::super::rows::{
    Record as Row, Standing, attempt_bytes, dead_member, encode_event, head, is_plain, member, message_row, score,
};
use super::super::script::Call;
use super::super::shared::Shared;
use super::super::staged::{Staged, early_ms};
use crate::domain::{EventId, LaneClass, ShardId, WebhookIdBits};
use crate::store::moving::{DeliveryRecord, EventRecord, MessageRecord, Record};
use crate::store::{Append, StoreError};

pub async fn restore(shared: &Shared, records: Vec<Record>) -> Result<u64, StoreError> {
    let (mut events, mut messages) = (Vec::new(), Vec::new());
    for record in records {
        match record {
            Record::Event(event) => events.push(event),
            Record::Message(message) => messages.push(message),
        }
    }
    let known = try_join_all(events.iter().map(|event| is_known(shared, event))).await?;
    let mut known = known.into_iter();
    events.retain(|_| !known.next().unwrap_or_default());

    let (mut here, mut elsewhere) = (BTreeMap::<_, Part>::new(), BTreeMap::<_, Part>::new());
    for event in &events {
        let home = ShardId::of_instance(&event.event.instance);
        here.entry(home).or_default().event(event)?;
        for delivery in &event.deliveries {
            let shard = ShardId::of_webhook(delivery.first.webhook);
            let parts = if shard == home { &mut here } else { &mut elsewhere };
            parts.entry(shard).or_default().delivery(delivery)?;
        }
    }
    let pledge = shared.pledge().await?;
    for parts in [elsewhere, here] {
        try_join_all(parts.into_iter().map(|(shard, part)| part.send(shared, shard))).await?;
    }
    restore_messages(shared, &messages).await?;
    let webhooks: BTreeSet<_> =
        events.iter().flat_map(|event| event.deliveries.iter().map(|delivery| delivery.first.webhook)).collect();
    shared.count(webhooks).await?;
    shared.confirm(pledge).await?;
    Ok(events.len() as u64)
}

async fn is_known(shared: &Shared, record: &EventRecord) -> Result<bool, StoreError> {
    let (shard, id) = (ShardId::of_instance(&record.event.instance), record.event.id);
    let mut read = cmd("HEXISTS");
    read.arg(shared.keys.events(shard, keys::event_bucket(id))).arg(&id.to_be_bytes()[..]);
    Ok(number(&shared.link.run(&read).await?)? == 1)
}

/// What goes to one shard.
#[derive(Default)]
struct Part {
    events: Call,
    event_count: u64,
    deliveries: Call,
    delivery_count: u64,
    /// The last event of those whose places rise.
    lanes: BTreeMap<(WebhookIdBits, LaneClass), Option<EventId>>,
    max_early_ms: u64,
}

impl Part {
    fn event(&mut self, record: &EventRecord) -> Result<(), StoreError> {
        let event = &record.event;
        let append = Append {
            event: event.clone(),
            entries: record.deliveries.iter().map(|delivery| delivery.first).collect(),
            held_back: record.held_back.iter().copied().collect(),
            messages: smallvec::smallvec![],
        };
        self.event_count += 1;
        let id = event.id.to_be_bytes();
        self.events.arg(&id).number(keys::event_bucket(event.id)).arg(&encode_event(&append)?);
        let bucket = keys::client_bucket(event.accepted_at);
        match &event.client_id {
            None => self.events.arg(b"").arg(b""),
            Some(client_id) => {
                self.events.arg(&keys::of_instance(&event.instance, client_id));
                self.events.arg(&[&id[..], event.accepted_at.millis().to_string().as_bytes()].concat())
            }
        };
        self.events.number(bucket);
        Ok(())
    }

    fn delivery(&mut self, delivery: &DeliveryRecord) -> Result<(), StoreError> {
        let DeliveryRecord { first, standing, at, attempts } = delivery;
        let (webhook, event) = (first.webhook, first.event);
        self.delivery_count += 1;
        self.deliveries.arg(&webhook.to_be_bytes()).arg(&event.to_be_bytes());
        let waiting = delivery.waiting();
        match waiting {
            None => self.deliveries.arg(b"").arg(b"").arg(b""),
            Some(entry) => {
                let lane = self.lanes.entry((webhook, entry.class)).or_default();
                if matches!(entry.class, LaneClass::Live | LaneClass::Low) {
                    *lane = (*lane).max(Some(event));
                }
                if is_plain(entry) {
                    self.max_early_ms = self.max_early_ms.max(early_ms(entry));
                }
                self.deliveries.arg(&lane_name(webhook, entry.class)).arg(score(entry).as_bytes());
                self.deliveries.arg(&member(entry)?)
            }
        };
        if waiting.is_some_and(is_plain) {
            self.deliveries.arg(b"");
        } else {
            let tail = attempts.iter().map(attempt_bytes).collect::<Result<Vec<_>, _>>()?.concat();
            let head = head(first.kind, *at, Standing::after(standing))?;
            self.deliveries.arg(&Row::bytes(event, &head, &tail));
        }
        self.deliveries.number(u64::from(first.data_bytes));
        if delivery.is_dead() {
            // By its lanes a webhook is known at the next start.
            self.lanes.entry((webhook, LaneClass::Live)).or_default();
            self.deliveries.arg(&dead_member(first)).number(at.millis());
        } else {
            self.deliveries.arg(b"").arg(b"");
        }
        Ok(())
    }

    async fn send(self, shared: &Shared, shard: ShardId) -> Result<(), StoreError> {
        let mut call = Call::new(shared.keys.base(shard));
        call.number(self.event_count).number(self.delivery_count).number(self.lanes.len() as u64);
        call.number(self.max_early_ms).extend(&self.events).extend(&self.deliveries);
        for ((webhook, class), last) in self.lanes {
            call.arg(&lane_name(webhook, class));
            match last {
                Some(event) => call.arg(&event.to_be_bytes()).number(event.timestamp().millis()),
                None => call.arg(b"").arg(b"0"),
            };
        }
        shared.confirmed().call(&shared.scripts.restore, &call).await.map(drop)
    }
}

/// As if an append had told them.
async fn restore_messages(shared: &Shared, messages: &[MessageRecord]) -> Result<(), StoreError> {
    let mut by_shard: BTreeMap<ShardId, Staged> = BTreeMap::new();
    for message in messages {
        let staged = by_shard.entry(ShardId::of_instance(&message.instance)).or_default();
        let field = keys::of_message(&message.instance, &message.id);
        for (state, at, number) in &message.states {
            staged.message(0, keys::day(*at), field.clone(), message_row(*state, *at, number));
        }
    }
    let calls = by_shard.into_iter().map(|(shard, staged)| staged.send(shared, shard));
    try_join_all(calls).await.map(drop)
}
