//! What is told of deliveries: lists, timelines, candidates of a replay.
//!
//! A list merges two sources by event: records, and the lanes for entries that have none. Lanes are read first: what is settled in
//! between is met again as a record. They are sorted by due, not by event; but no entry is due before its event's id was made (but
//! for the shard's greatest earliness, see `append`), so reading from the latest due backwards can stop early.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::sync::Arc;

use futures_util::future::try_join_all;
use redis::{Value, cmd};

use super::answer::{all_bytes, event_id, number};
use super::keys::{lane_name, named};
use super::read::{find_event, lane_backwards};
use super::rows::{Record, decode_event, is_plain, member};
use super::shared::Shared;
use crate::domain::{
    Delivery, DeliveryStatus, EventId, LaneClass, LaneEntry, ShardId, Timestamp, WebhookId, WebhookIdBits,
};
use crate::store::{DeliveryQuery, StoreError, Timeline};

/// Records or entries read at once.
const PAGE: usize = 256;

fn history_key(shared: &Shared, webhook: WebhookIdBits) -> Vec<u8> {
    shared.keys.of(ShardId::of_webhook(webhook), &named("h:", &webhook.to_be_bytes()))
}

/// The record of one delivery, as stored.
pub async fn record_of(shared: &Shared, webhook: WebhookIdBits, event: EventId) -> Result<Option<Vec<u8>>, StoreError> {
    let id = event.to_be_bytes();
    let mut read = cmd("ZRANGEBYLEX");
    read.arg(history_key(shared, webhook)).arg([b"[", &id[..]].concat()).arg([b"[", &id[..], b"\xff"].concat());
    Ok(all_bytes(shared.link.run(&read).await?)?.pop())
}

/// The entry a delivery without a record waits as; `None` when it does not wait.
pub async fn fresh_place(shared: &Shared, owed: &LaneEntry) -> Result<Option<LaneEntry>, StoreError> {
    for class in [LaneClass::Live, LaneClass::Low] {
        let fresh = LaneEntry { class, ..*owed };
        if !is_plain(&fresh) {
            return Ok(None);
        }
        let mut read = cmd("ZSCORE");
        let lane = named("l:", &lane_name(owed.webhook, class));
        read.arg(shared.keys.of(ShardId::of_webhook(owed.webhook), &lane)).arg(member(&fresh)?);
        match shared.link.run(&read).await? {
            Value::Nil => {}
            due => return Ok(Some(LaneEntry { due: Timestamp::from_millis(number(&due)?), ..fresh })),
        }
    }
    Ok(None)
}

/// Records of one webhook, the newest first.
struct Newest<'a> {
    shared: &'a Shared,
    webhook: WebhookIdBits,
    before: EventId,
    page: VecDeque<Vec<u8>>,
    is_last: bool,
}

impl<'a> Newest<'a> {
    const fn new(shared: &'a Shared, webhook: WebhookIdBits, before: EventId) -> Self {
        Self { shared, webhook, before, page: VecDeque::new(), is_last: false }
    }

    async fn next(&mut self) -> Result<Option<Record>, StoreError> {
        if self.page.is_empty() && !self.is_last {
            let mut read = cmd("ZREVRANGEBYLEX");
            read.arg(history_key(self.shared, self.webhook)).arg([b"(", &self.before.to_be_bytes()[..]].concat());
            read.arg("-").arg("LIMIT").arg(0).arg(PAGE);
            self.page = all_bytes(self.shared.link.run(&read).await?)?.into();
            self.is_last = self.page.len() < PAGE;
        }
        let Some(bytes) = self.page.pop_front() else { return Ok(None) };
        let record = Record::parse(&bytes)?;
        self.before = record.event;
        Ok(Some(record))
    }
}

/// See [`Store::deliveries`](crate::store::Store::deliveries).
pub async fn list(shared: &Shared, query: &DeliveryQuery) -> Result<Vec<Delivery>, StoreError> {
    let webhook = query.webhook.as_u128();
    if query.limit == 0 {
        return Ok(Vec::new());
    }
    if query.status == Some(DeliveryStatus::Dead) {
        return list_dead(shared, query).await;
    }
    let mut fresh = match query.status {
        None | Some(DeliveryStatus::Pending) => fresh_newest(shared, query).await?,
        Some(_) => BTreeMap::new(),
    };
    let mut records = Newest::new(shared, webhook, query.before.unwrap_or(EventId::MAX));
    let mut listed = Vec::new();
    while listed.len() < query.limit {
        let Some(record) = records.next().await? else {
            listed.extend(fresh.values().rev().take(query.limit - listed.len()).map(Delivery::fresh));
            break;
        };
        fresh.remove(&record.event);
        while listed.len() < query.limit
            && let Some(newer) = fresh.last_entry().filter(|newer| *newer.key() > record.event)
        {
            listed.push(Delivery::fresh(&newer.remove()));
        }
        let delivery = Some(record.listed(webhook));
        listed.extend(delivery.filter(|delivery| listed.len() < query.limit && matches(query, delivery)));
    }
    Ok(listed)
}

fn matches(query: &DeliveryQuery, delivery: &Delivery) -> bool {
    query.status.is_none_or(|status| delivery.status == status) && query.kind.is_none_or(|kind| delivery.kind == kind)
}

/// The newest entries that were never attempted nor moved, at most as many as asked for.
async fn fresh_newest(shared: &Shared, query: &DeliveryQuery) -> Result<BTreeMap<EventId, LaneEntry>, StoreError> {
    let webhook = query.webhook.as_u128();
    let mut read = cmd("HGET");
    read.arg(shared.keys.of(ShardId::of_webhook(webhook), b"s")).arg("early");
    let max_early_ms = number(&shared.link.run(&read).await?)?;
    let before = query.before.unwrap_or(EventId::MAX);
    let mut newest = BTreeMap::new();
    for class in [LaneClass::Live, LaneClass::Low] {
        let mut offset = 0;
        'class: loop {
            let page = lane_backwards(shared, webhook, class, offset, PAGE).await?;
            for entry in &page {
                if newest.len() >= query.limit
                    && let Some((oldest, _)) = newest.first_key_value()
                    && EventId::timestamp(*oldest).millis() > entry.due.millis().saturating_add(max_early_ms)
                {
                    break 'class;
                }
                if entry.event < before && is_plain(entry) && query.kind.is_none_or(|kind| entry.kind == kind) {
                    newest.insert(entry.event, *entry);
                }
                if newest.len() > query.limit {
                    newest.pop_first();
                }
            }
            if page.len() < PAGE {
                break;
            }
            offset += PAGE;
        }
    }
    Ok(newest)
}

async fn list_dead(shared: &Shared, query: &DeliveryQuery) -> Result<Vec<Delivery>, StoreError> {
    let webhook = query.webhook.as_u128();
    let key = shared.keys.of(ShardId::of_webhook(webhook), &named("d:", &webhook.to_be_bytes()));
    let mut before = query.before.unwrap_or(EventId::MAX);
    let mut listed = Vec::new();
    while listed.len() < query.limit {
        let mut read = cmd("ZREVRANGEBYLEX");
        read.arg(&key).arg([b"(", &before.to_be_bytes()[..]].concat()).arg("-").arg("LIMIT").arg(0).arg(PAGE);
        let page = all_bytes(shared.link.run(&read).await?)?;
        let ids = page.iter().map(|id| event_id(id)).collect::<Result<Vec<_>, _>>()?;
        let Some(last) = ids.last() else { break };
        before = *last;
        for record in try_join_all(ids.iter().map(|id| record_of(shared, webhook, *id))).await?.into_iter().flatten() {
            let delivery = Record::parse(&record)?.listed(webhook);
            listed.extend(Some(delivery).filter(|delivery| matches(query, delivery)));
        }
    }
    listed.truncate(query.limit);
    Ok(listed)
}

/// See [`Store::finished`](crate::store::Store::finished).
pub async fn finished(
    shared: &Shared,
    webhook: WebhookId,
    range: Range<EventId>,
    statuses: &[DeliveryStatus],
    limit: usize,
) -> Result<Vec<EventId>, StoreError> {
    let key = history_key(shared, webhook.as_u128());
    let end = [b"(", &range.end.max(range.start).to_be_bytes()[..]].concat();
    let mut start = [b"[", &range.start.to_be_bytes()[..]].concat();
    let mut found = Vec::new();
    while found.len() < limit {
        let mut read = cmd("ZRANGEBYLEX");
        read.arg(&key).arg(&start).arg(&end).arg("LIMIT").arg(0).arg(PAGE);
        let page = all_bytes(shared.link.run(&read).await?)?;
        for bytes in &page {
            let record = Record::parse(bytes)?;
            let status = record.standing.status();
            let is_finished = !matches!(status, DeliveryStatus::Pending | DeliveryStatus::Retrying);
            if is_finished && statuses.contains(&status) && found.len() < limit {
                found.push(record.event);
            }
        }
        let Some(last) = page.last().filter(|_| page.len() == PAGE) else { break };
        start = [b"(", &last[..]].concat();
    }
    Ok(found)
}

/// See [`Store::timeline`](crate::store::Store::timeline).
pub async fn timeline(shared: &Shared, webhook: WebhookId, id: EventId) -> Result<Option<Timeline>, StoreError> {
    let Some((_, blob)) = find_event(shared, id).await? else { return Ok(None) };
    let (event, data) = decode_event(&blob)?;
    let webhook = webhook.as_u128();
    let delivery = match event.owed_to(webhook, id) {
        Some(owed) => delivery_of(shared, &owed).await?,
        None => None,
    };
    let held_back = event.held_back(webhook);
    let concerns_webhook = delivery.is_some() || held_back.is_some();
    Ok(concerns_webhook.then(|| Timeline { event: Arc::new(event.into_event(id, data)), delivery, held_back }))
}

async fn delivery_of(shared: &Shared, owed: &LaneEntry) -> Result<Option<Delivery>, StoreError> {
    // Once more after the lane: it may have been settled in between.
    for _ in 0..2 {
        if let Some(bytes) = record_of(shared, owed.webhook, owed.event).await? {
            let mut record = Record::parse(&bytes)?;
            let attempts = std::mem::take(&mut record.attempts).into_values().collect();
            return Ok(Some(record.delivery(owed.webhook, attempts)));
        }
        if let Some(entry) = fresh_place(shared, owed).await? {
            return Ok(Some(Delivery::fresh(&entry)));
        }
    }
    Ok(None)
}
