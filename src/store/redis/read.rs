//! Plain reads: lanes in pages, events by id, messages, the directory, settings, how much there is.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use futures_util::future::try_join_all;
use redis::cmd;
use serde::de::DeserializeOwned;

use super::answer::{all_bytes, bytes, list, number, numbers};
use super::counts::Counted;
use super::each::words;
use super::keys::{self, lane_name, named};
use super::rows::{MAX_SCORE, corrupt, decode_event, parse_member, parse_message_rows};
use super::script::Call;
use super::shared::Shared;
use crate::domain::{
    Event, EventId, InstanceId, LaneClass, LaneEntry, MessageStatus, ShardId, Timestamp, WebhookId, WebhookIdBits,
};
use crate::store::moving::{MessageName, message_hash};
use crate::store::{DirectoryRecords, LaneQuery, StoreError};

/// So many of the millisecond reached are expected to have been seen and to be there still.
const SEEN_ALREADY: usize = 64;
/// Greater than what follows a prefix in a member.
const PAST: [u8; 64] = [0xff; 64];
/// Webhooks counted by one call.
const COUNTED_PER_CALL: usize = 256;
/// Fields read by one call.
const PER_CALL: usize = 256;

fn lane_key(shared: &Shared, webhook: WebhookIdBits, class: LaneClass) -> Vec<u8> {
    shared.keys.of(ShardId::of_webhook(webhook), &named("l:", &lane_name(webhook, class)))
}

pub async fn lane(shared: &Shared, query: &LaneQuery) -> Result<Vec<LaneEntry>, StoreError> {
    if query.class == LaneClass::Parked { parked(shared, query).await } else { scored(shared, query).await }
}

async fn parked(shared: &Shared, query: &LaneQuery) -> Result<Vec<LaneEntry>, StoreError> {
    let webhook = query.webhook.as_u128();
    let key = query.order_key.to_be_bytes();
    let start = match query.after {
        None => [b"[", &key[..]].concat(),
        Some((due, event)) => [b"(", &key[..], &due.millis().to_be_bytes(), &event.to_be_bytes(), &PAST].concat(),
    };
    let end = [b"(", &key[..], &PAST].concat();
    let mut read = cmd("ZRANGEBYLEX");
    read.arg(lane_key(shared, webhook, query.class)).arg(start).arg(end).arg("LIMIT").arg(0).arg(query.limit);
    let members = all_bytes(shared.link.run(&read).await?)?;
    members.iter().map(|member| parse_member(webhook, query.class, member, 0)).collect()
}

/// Scores are read from the one reached on; what of it was seen already is left out. In one command, made anew and larger when too
/// much had been seen: what is settled between two commands would move the rest, and some of it would be passed by (P2).
async fn scored(shared: &Shared, query: &LaneQuery) -> Result<Vec<LaneEntry>, StoreError> {
    let webhook = query.webhook.as_u128();
    let key = lane_key(shared, webhook, query.class);
    let from = query.after.map_or(0, |(due, _)| due.millis().min(MAX_SCORE));
    let after = query.after.map(|(due, event)| (Timestamp::from_millis(due.millis().min(MAX_SCORE)), event));
    let mut wanted = if after.is_some() { query.limit + SEEN_ALREADY } else { query.limit };
    loop {
        let mut read = cmd("ZRANGEBYSCORE");
        read.arg(&key).arg(from).arg("+inf").arg("WITHSCORES").arg("LIMIT").arg(0).arg(wanted);
        let mut page = entries(webhook, query.class, list(shared.link.run(&read).await?)?)?;
        let is_all = page.len() < wanted;
        page.retain(|entry| after.is_none_or(|after| (entry.due, entry.event) > after));
        if is_all || page.len() >= query.limit {
            page.truncate(query.limit);
            return Ok(page);
        }
        wanted *= 2;
    }
}

/// Members and scores, one after the other.
pub fn entries(
    webhook: WebhookIdBits,
    class: LaneClass,
    items: Vec<redis::Value>,
) -> Result<Vec<LaneEntry>, StoreError> {
    let mut entries = Vec::with_capacity(items.len() / 2);
    let mut items = items.into_iter();
    while let (Some(member), Some(score)) = (items.next(), items.next()) {
        let member = bytes(member)?.unwrap_or_default();
        entries.push(parse_member(webhook, class, &member, number(&score)?)?);
    }
    Ok(entries)
}

/// The newest places of a lane's part, the latest due first.
pub async fn lane_backwards(
    shared: &Shared,
    webhook: WebhookIdBits,
    class: LaneClass,
    offset: usize,
    limit: usize,
) -> Result<Vec<LaneEntry>, StoreError> {
    let mut read = cmd("ZREVRANGE");
    read.arg(lane_key(shared, webhook, class)).arg(offset).arg(offset + limit - 1).arg("WITHSCORES");
    entries(webhook, class, list(shared.link.run(&read).await?)?)
}

pub async fn parked_keys(shared: &Shared, webhook: WebhookId, limit: usize) -> Result<Vec<u64>, StoreError> {
    let mut found: Vec<u64> = Vec::new();
    while found.len() < limit {
        let wanted = (limit - found.len()).min(PER_CALL);
        let mut call = Call::new(shared.keys.base(ShardId::of_webhook(webhook.as_u128())));
        call.arg(&webhook.to_be_bytes());
        call.arg(&found.last().map(|key| key.to_be_bytes().to_vec()).unwrap_or_default()).number(wanted as u64);
        let keys = all_bytes(shared.link.call(&shared.scripts.parked, &call).await?)?;
        let is_last = keys.len() < wanted;
        for key in keys {
            let key: [u8; 8] = key.try_into().map_err(|_| corrupt("a parked entry", &"its key is malformed"))?;
            found.push(u64::from_be_bytes(key));
        }
        if is_last {
            break;
        }
    }
    Ok(found)
}

/// The stored event and the shard it is in: that which its id tells, or, for ids made elsewhere, any.
pub async fn find_event(shared: &Shared, id: EventId) -> Result<Option<(ShardId, Vec<u8>)>, StoreError> {
    let found = find_events(shared, &[id]).await?;
    Ok(found.into_iter().next().flatten())
}

async fn events_in(shared: &Shared, shard: ShardId, ids: &[EventId]) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
    let mut by_bucket: BTreeMap<u64, Vec<usize>> = BTreeMap::new();
    for (place, id) in ids.iter().enumerate() {
        by_bucket.entry(keys::event_bucket(*id)).or_default().push(place);
    }
    let parts = by_bucket.iter().flat_map(|(bucket, places)| places.chunks(PER_CALL).map(move |part| (bucket, part)));
    let reads = parts.map(|(bucket, places)| async move {
        let mut read = cmd("HMGET");
        read.arg(shared.keys.events(shard, *bucket));
        for place in places {
            read.arg(&ids[*place].to_be_bytes()[..]);
        }
        let blobs = list(shared.link.run(&read).await?)?;
        blobs
            .into_iter()
            .zip(places)
            .map(|(blob, place)| Ok((*place, bytes(blob)?)))
            .collect::<Result<Vec<_>, StoreError>>()
    });
    let mut found = vec![None; ids.len()];
    for (place, blob) in try_join_all(reads).await?.into_iter().flatten() {
        found[place] = blob;
    }
    Ok(found)
}

async fn find_events(shared: &Shared, ids: &[EventId]) -> Result<Vec<Option<(ShardId, Vec<u8>)>>, StoreError> {
    let mut by_shard: BTreeMap<ShardId, Vec<usize>> = BTreeMap::new();
    for (place, id) in ids.iter().enumerate() {
        by_shard.entry(ShardId::of_event(*id)).or_default().push(place);
    }
    let mut found = vec![None; ids.len()];
    read_into(shared, ids, &by_shard, &mut found).await?;
    let missing: Vec<_> = (0..ids.len()).filter(|place| found[*place].is_none()).collect();
    if !missing.is_empty() {
        read_into(shared, ids, &ShardId::all().map(|shard| (shard, missing.clone())).collect(), &mut found).await?;
    }
    Ok(found)
}

async fn read_into(
    shared: &Shared,
    ids: &[EventId],
    by_shard: &BTreeMap<ShardId, Vec<usize>>,
    found: &mut [Option<(ShardId, Vec<u8>)>],
) -> Result<(), StoreError> {
    let reads = by_shard.iter().map(|(shard, places)| async move {
        let ids: Vec<_> = places.iter().map(|place| ids[*place]).collect();
        Ok::<_, StoreError>((*shard, places, events_in(shared, *shard, &ids).await?))
    });
    for (shard, places, blobs) in try_join_all(reads).await? {
        for (place, blob) in places.iter().zip(blobs) {
            if let Some(blob) = blob {
                found[*place] = Some((shard, blob));
            }
        }
    }
    Ok(())
}

pub async fn events(shared: &Shared, ids: &[EventId]) -> Result<Vec<Option<Arc<Event>>>, StoreError> {
    let found = find_events(shared, ids).await?;
    let event = |(id, found): (&EventId, Option<(ShardId, Vec<u8>)>)| {
        let Some((_, blob)) = found else { return Ok(None) };
        let (row, data) = decode_event(&blob)?;
        Ok(Some(Arc::new(row.into_event(*id, data))))
    };
    ids.iter().zip(found).map(event).collect()
}

pub async fn message(
    shared: &Shared,
    instance: &InstanceId,
    message_id: &str,
) -> Result<Option<MessageStatus>, StoreError> {
    let shard = ShardId::of_instance(instance);
    // An imported one may be known by the hash of its id; what was told later is under the id itself.
    let hashed = keys::of_message(instance, &MessageName::Hash(message_hash(message_id)));
    let field = keys::of_instance(instance, message_id);
    let days = {
        let mut read = cmd("ZRANGE");
        read.arg(shared.keys.of(shard, b"td")).arg(0).arg(-1);
        numbers(shared.link.run(&read).await?)?
    };
    let reads = days.into_iter().map(|day| {
        let mut read = cmd("HMGET");
        read.arg(shared.keys.of(shard, format!("t:{day}").as_bytes())).arg(&hashed).arg(&field);
        async move { list(shared.link.run(&read).await?) }
    });
    // By state; of two days the later one tells.
    let mut reached = BTreeMap::new();
    for rows in try_join_all(reads).await?.into_iter().flatten() {
        for (state, at, number) in parse_message_rows(&bytes(rows)?.unwrap_or_default())? {
            reached.insert(state, (at, number));
        }
    }
    let expired = shared.messages_before();
    reached.retain(|_, (at, _)| *at >= expired);
    let Some((state, (updated_at, _))) = reached.last_key_value() else { return Ok(None) };
    let (state, updated_at) = (*state, *updated_at);
    let number = reached.into_values().rev().map(|(_, number)| number).find(|number| !number.is_empty());
    Ok(Some(MessageStatus { message_id: message_id.into(), state, number: number.unwrap_or_default(), updated_at }))
}

pub async fn directory(shared: &Shared) -> Result<DirectoryRecords, StoreError> {
    fn parse<T: DeserializeOwned>(name: &[u8], text: &[u8]) -> Result<T, StoreError> {
        let what = format!("the directory record {}", String::from_utf8_lossy(name));
        serde_json::from_slice(text).map_err(|error| corrupt(&what, &error))
    }
    let mut read = cmd("HGETALL");
    read.arg(format!("{}records", shared.keys.directory()));
    let mut records = DirectoryRecords::default();
    for pair in all_bytes(shared.link.run(&read).await?)?.chunks_exact(2) {
        let (name, text) = (&pair[0], &pair[1]);
        match name.first() {
            Some(b'b') => records.businesses.push(parse(name, text)?),
            Some(b'i') => records.instances.push(parse(name, text)?),
            Some(b'w') => records.webhooks.push(parse(name, text)?),
            _ => {
                return Err(corrupt(
                    &format!("the directory record {}", String::from_utf8_lossy(name)),
                    &"unknown kind",
                ));
            }
        }
    }
    Ok(records)
}

pub async fn directory_version(shared: &Shared) -> Result<u64, StoreError> {
    let mut read = cmd("GET");
    read.arg(format!("{}version", shared.keys.directory()));
    match shared.link.run(&read).await? {
        redis::Value::Nil => Ok(0),
        version => number(&version),
    }
}

pub async fn setting(shared: &Shared, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
    let mut read = cmd("HGET");
    read.arg(format!("{}settings", shared.keys.directory())).arg(name);
    bytes(shared.link.run(&read).await?)
}

impl Shared {
    /// Looks at these webhooks' lengths now.
    pub async fn count(&self, webhooks: impl IntoIterator<Item = WebhookIdBits>) -> Result<(), StoreError> {
        let mut by_shard: HashMap<ShardId, Vec<WebhookIdBits>> = HashMap::new();
        for webhook in webhooks {
            by_shard.entry(ShardId::of_webhook(webhook)).or_default().push(webhook);
        }
        let parts =
            by_shard.iter().flat_map(|(shard, all)| all.chunks(COUNTED_PER_CALL).map(move |part| (shard, part)));
        try_join_all(parts.map(|(shard, webhooks)| async move {
            let mut call = Call::new(self.keys.base(*shard));
            for webhook in webhooks {
                call.arg(&webhook.to_be_bytes());
            }
            let told = numbers(self.link.call(&self.scripts.counts, &call).await?)?;
            let Some((sequence, lengths)) = told.split_first() else { return Ok(()) };
            for (webhook, lengths) in webhooks.iter().zip(lengths.chunks_exact(5)) {
                let parts = LaneClass::ALL.map(|class| Counted::Waiting(*webhook, class));
                let parts = parts.into_iter().chain([Counted::Dead(*webhook)]);
                self.counts.tell(*sequence, parts.zip(lengths.iter().copied()));
            }
            Ok::<_, StoreError>(())
        }))
        .await?;
        Ok(())
    }

    /// Looks at the lengths of all lanes now: of those shards in which anything has changed since it did so last.
    pub async fn count_all(&self) -> Result<(), StoreError> {
        let all: Vec<_> = ShardId::all().collect();
        let sequences = self.ask_each(&all, |shard| words([b"HGET", &self.keys.of(shard, b"s"), b"seq"])).await?;
        let sequences = sequences.iter().map(number).collect::<Result<Vec<_>, _>>()?;
        let known = *self.counted_at.lock();
        let changed = all.iter().zip(sequences).filter(|(shard, now)| known[shard.index()] != Some(*now));
        let changed: Vec<_> = changed.map(|(shard, now)| (*shard, now)).collect();
        let shards: Vec<_> = changed.iter().map(|(shard, _)| *shard).collect();
        let names = self.ask_each(&shards, |shard| words([b"HKEYS", &self.keys.of(shard, b"m")])).await?;
        let mut webhooks = Vec::new();
        for names in names {
            for name in all_bytes(names)? {
                let webhook = name.first_chunk::<16>().ok_or_else(|| corrupt("a lane", &"its name is too short"))?;
                webhooks.push(u128::from_be_bytes(*webhook));
            }
        }
        webhooks.sort_unstable();
        webhooks.dedup();
        self.count(webhooks).await?;
        let mut counted_at = self.counted_at.lock();
        for (shard, sequence) in changed {
            counted_at[shard.index()] = Some(sequence);
        }
        Ok(())
    }
}
