//! Shard by shard, bucket by bucket: the ids of a bucket are all that is held between two pages.

use std::collections::{HashMap, VecDeque};

use futures_util::future::try_join_all;
use redis::cmd;

use super::super::answer::{all_bytes, bytes, fields, list, number, numbers};
use super::super::buckets::event_ids;
use super::super::deliveries::{fresh_place, record_of};
use super::super::keys;
use super::super::rows::{Record as Row, Standing, decode_event, parse_message_rows};
use super::super::shared::Shared;
use crate::domain::{EventId, InstanceId, LaneEntry, ShardId};
use crate::store::moving::{DeliveryRecord, EventRecord, MessageRecord, PAGE_BYTES, PAGE_RECORDS, Record};
use crate::store::{Next, StoreError};

/// How far it was told.
#[derive(Debug, Default)]
pub struct Reached {
    shard: usize,
    bucket: u64,
    /// Of the bucket before that one.
    left: VecDeque<EventId>,
    messages: Option<Days>,
    instances: HashMap<[u8; 10], InstanceId>,
}

/// Days of the messages of one shard.
#[derive(Debug)]
struct Days {
    left: VecDeque<u64>,
    cursor: u64,
}

/// The next page, empty ones among them; `None` at the end.
pub async fn page(shared: &Shared, reached: &mut Reached) -> Result<Option<Vec<Record>>, StoreError> {
    let Some(shard) = ShardId::from_index(reached.shard) else { return Ok(None) };
    if let Some(days) = &mut reached.messages {
        let told = messages(shared, shard, days, &reached.instances).await?;
        if told.is_none() {
            *reached = Reached {
                shard: reached.shard + 1,
                instances: std::mem::take(&mut reached.instances),
                ..Reached::default()
            };
        }
        return Ok(Some(told.unwrap_or_default()));
    }
    if reached.left.is_empty() && !next_bucket(shared, shard, reached).await? {
        if reached.instances.is_empty() {
            let known = super::super::read::directory(shared).await?.instances.into_iter();
            reached.instances = known.filter_map(|known| Some((*known.id.key().first_chunk()?, known.id))).collect();
        }
        let mut read = cmd("ZRANGE");
        read.arg(shared.keys.of(shard, b"td")).arg(0).arg(-1);
        let left = numbers(shared.link.run(&read).await?)?.into();
        reached.messages = Some(Days { left, cursor: 0 });
        return Ok(Some(Vec::new()));
    }
    events(shared, shard, reached).await.map(Some)
}

async fn next_bucket(shared: &Shared, shard: ShardId, reached: &mut Reached) -> Result<bool, StoreError> {
    let mut read = cmd("ZRANGEBYSCORE");
    read.arg(shared.keys.of(shard, b"b")).arg(reached.bucket).arg("+inf").arg("LIMIT").arg(0).arg(1);
    let Some(bucket) = numbers(shared.link.run(&read).await?)?.first().copied() else { return Ok(false) };
    let ids = event_ids(shared, shard, bucket).await?;
    (reached.bucket, reached.left) = (bucket + 1, ids.into());
    Ok(true)
}

async fn events(shared: &Shared, shard: ShardId, reached: &mut Reached) -> Result<Vec<Record>, StoreError> {
    let Some(first) = reached.left.front() else { return Ok(Vec::new()) };
    let key = shared.keys.events(shard, keys::event_bucket(*first));
    let count = reached.left.len().min(PAGE_RECORDS);
    let mut sizes = cmd("EVAL");
    // Lengths first: a page of bodies could be as large as a page of the largest.
    sizes.arg("local n = {} for i = 1, #ARGV do n[i] = redis.call('HSTRLEN', KEYS[1], ARGV[i]) end return n").arg(1);
    sizes.arg(&key);
    for id in reached.left.range(..count) {
        sizes.arg(&id.to_be_bytes()[..]);
    }
    let sizes = numbers(shared.link.run(&sizes).await?)?;
    let mut bytes_so_far = 0;
    let fits = sizes.iter().take_while(|size| {
        let is_room = bytes_so_far < PAGE_BYTES as u64;
        bytes_so_far += **size;
        is_room
    });
    let fits = fits.count().max(1);
    let ids: Vec<_> = reached.left.drain(..fits.min(count)).collect();
    let mut read = cmd("HMGET");
    read.arg(key);
    for id in &ids {
        read.arg(&id.to_be_bytes()[..]);
    }
    let blobs = list(shared.link.run(&read).await?)?;
    let told = ids.into_iter().zip(blobs).map(|(id, blob)| async move {
        let Some(blob) = bytes(blob)? else { return Ok(None) };
        let (row, data) = decode_event(&blob)?;
        let deliveries = try_join_all(row.owed(id).map(|first| delivery(shared, first))).await?;
        let held_back = row.all_held_back().to_vec();
        let event = row.into_event(id, data).into();
        let deliveries = deliveries.into_iter().flatten().collect();
        Ok::<_, StoreError>(Some(Record::Event(EventRecord { event, held_back, deliveries })))
    });
    Ok(try_join_all(told).await?.into_iter().flatten().collect())
}

async fn delivery(shared: &Shared, first: LaneEntry) -> Result<Option<DeliveryRecord>, StoreError> {
    let Some(row) = record_of(shared, first.webhook, first.event).await? else {
        let place = fresh_place(shared, &first).await?;
        return Ok(place.map(|entry| DeliveryRecord { standing: Next::Move(entry), ..DeliveryRecord::fresh(first) }));
    };
    let Row { at, standing, attempts, .. } = Row::parse(&row)?;
    let standing = match standing {
        Standing::Waiting(placed) => Next::Move(placed.entry(first.webhook, first.event)),
        Standing::Delivered => Next::Delivered,
        Standing::Dead(reason) => Next::Dead(reason),
        Standing::Superseded { by } => Next::Superseded { by: EventId::from_be_bytes(by) },
        Standing::Cancelled => Next::Cancelled,
    };
    Ok(Some(DeliveryRecord { first, standing, at, attempts: attempts.into_values().collect() }))
}

async fn messages(
    shared: &Shared,
    shard: ShardId,
    days: &mut Days,
    instances: &HashMap<[u8; 10], InstanceId>,
) -> Result<Option<Vec<Record>>, StoreError> {
    let Some(day) = days.left.front() else { return Ok(None) };
    let mut read = cmd("HSCAN");
    read.arg(shared.keys.of(shard, format!("t:{day}").as_bytes())).arg(days.cursor).arg("COUNT").arg(PAGE_RECORDS);
    let [cursor, page] = fields(shared.link.run(&read).await?)?;
    days.cursor = number(&cursor)?;
    if days.cursor == 0 {
        days.left.pop_front();
    }
    let mut told = Vec::new();
    for pair in all_bytes(page)?.chunks_exact(2) {
        let Some((instance, name)) = pair[0].split_first_chunk::<10>() else { continue };
        let (Some(instance), Some(id)) = (instances.get(instance), keys::message_name(name)) else { continue };
        let states = parse_message_rows(&pair[1])?;
        told.push(Record::Message(MessageRecord { instance: instance.clone(), id, states }));
    }
    Ok(Some(told))
}
