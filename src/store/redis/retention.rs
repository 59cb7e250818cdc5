//! What is past its time goes, a bounded number of records at a time.
//!
//! Events are in buckets by the time of their ids, so the walk goes from the old end, bucket by bucket over all shards, and goes on
//! where it stopped. What it had to leave (an entry waits, a dead letter refers to it) it meets again when it begins anew, once an
//! hour. Records go before their event: a walk that is cut in between finds the event again.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use futures_util::future::try_join_all;
use redis::{Value, cmd};

use super::answer::{bytes, list, number, numbers};
use super::buckets::event_ids;
use super::counts::Counted;
use super::each::words;
use super::keys::{day, event_bucket, lane_name};
use super::rows::{EventRow, corrupt, decode_event, is_plain, member};
use super::script::Call;
use super::shared::Shared;
use crate::domain::{EventId, LaneClass, LaneEntry, ShardId, Timestamp, WebhookId, WebhookIdBits};
use crate::store::{LaneCounts, Retention, RetentionStep, StoreError};

/// Between two walks from the start.
const ANEW_AFTER: Duration = Duration::from_hours(1);
/// Records looked at in one step.
const EVENTS_PER_STEP: usize = 256;
const DEAD_PER_STEP: u64 = 256;
const DELIVERIES_PER_CALL: usize = 256;
/// A body whose append is under way has no entries yet. None is answered later than the time-out; clocks of nodes differ by less than this.
const CLOCKS_DIFFER: Duration = Duration::from_mins(1);
/// Buckets begun in one step.
const BUCKETS_PER_STEP: usize = 16;

/// Where the walk stands: the bucket it is in, and what of it is not looked at yet.
#[derive(Debug)]
pub struct Walk {
    began: Timestamp,
    bucket: u64,
    shard: Option<ShardId>,
    left: VecDeque<EventId>,
}

pub async fn retain(shared: &Shared, now: Timestamp, retention: Retention) -> Result<RetentionStep, StoreError> {
    let shards = shared.looked_after();
    shared.expire_messages(now.before(retention.messages));
    let mut step = RetentionStep::default();
    // Dead letters first: their events may go in a later step.
    bury(shared, &shards, now, retention, &mut step).await?;
    if step.more {
        return Ok(step);
    }
    let walk = shared.walk.lock().take();
    let mut walk = walk.filter(|walk| now.since(walk.began) < ANEW_AFTER).unwrap_or(Walk {
        began: now,
        bucket: 0,
        shard: None,
        left: VecDeque::new(),
    });
    step.more = remove_events(shared, &shards, now, retention, &mut walk, &mut step).await?;
    *shared.walk.lock() = Some(walk);
    Ok(step)
}

async fn bury(
    shared: &Shared,
    shards: &[ShardId],
    now: Timestamp,
    retention: Retention,
    step: &mut RetentionStep,
) -> Result<(), StoreError> {
    let (dead_before, first_day) = (now.before(retention.dead).millis(), day(now.before(retention.messages)));
    let has_some = async |index: &[u8], before: u64| {
        let end = format!("({before}");
        let ask = |shard| {
            let key = shared.keys.of(shard, index);
            words([b"ZRANGEBYSCORE", &key, b"-inf", end.as_bytes(), b"LIMIT", b"0", b"1"])
        };
        let found = shared.ask_each(shards, ask).await?.into_iter().map(list).collect::<Result<Vec<_>, _>>()?;
        Ok::<_, StoreError>(found.into_iter().map(|found| !found.is_empty()).collect::<Vec<_>>())
    };
    let (dead, days) = (has_some(b"x", dead_before).await?, has_some(b"td", first_day).await?);
    let due = shards.iter().zip(dead.into_iter().zip(days)).filter(|(_, (dead, days))| *dead || *days);
    let told = try_join_all(due.map(|(shard, _)| async move {
        let mut call = Call::new(shared.keys.base(*shard));
        call.number(dead_before).number(DEAD_PER_STEP).number(first_day);
        list(shared.link.call(&shared.scripts.bury, &call).await?)
    }));
    for told in told.await? {
        let (totals, webhooks) = told.split_at_checked(3).ok_or_else(|| corrupt("an answer of Redis", &"too short"))?;
        step.messages += number(&totals[1])?;
        step.dead += number(&totals[2])?;
        for pair in webhooks.chunks_exact(2) {
            let Some(webhook) = bytes(pair[0].clone())?.and_then(|raw| raw.try_into().ok()) else { continue };
            let dead = Counted::Dead(u128::from_be_bytes(webhook));
            shared.counts.tell(number(&totals[0])?, [(dead, number(&pair[1])?)]);
            if number(&pair[1])? == 0 {
                forget_deleted(shared, u128::from_be_bytes(webhook)).await?;
            }
        }
    }
    // An event left behind by its dead letter only now: look at it soon, not within the hour.
    step.more = step.dead > 0;
    Ok(())
}

/// The marks of the lanes of a webhook that was deleted go with its last dead letter. Those of one that exists keep its order.
async fn forget_deleted(shared: &Shared, webhook: WebhookIdBits) -> Result<(), StoreError> {
    let mut look = cmd("HEXISTS");
    look.arg(format!("{}records", shared.keys.directory())).arg(format!("w/{}", WebhookId::from_u128(webhook)));
    let exists = number(&shared.link.run(&look).await?)? == 1;
    shared.count([webhook]).await?;
    if exists || shared.counts.of(webhook) != LaneCounts::default() {
        return Ok(());
    }
    let mut forget = cmd("HDEL");
    forget.arg(shared.keys.of(ShardId::of_webhook(webhook), b"m"));
    for class in LaneClass::ALL {
        forget.arg(lane_name(webhook, class));
    }
    shared.link.run(&forget).await.map(drop)
}

/// By how much the finished part is too large.
async fn excess(shared: &Shared, shards: &[ShardId], max_bytes: u64) -> Result<u64, StoreError> {
    let ask = |shard| words([b"HMGET", &shared.keys.of(shard, b"s"), b"bytes", b"held"]);
    let sizes = shared.ask_each(shards, ask).await?.into_iter().map(numbers).collect::<Result<Vec<_>, _>>()?;
    let sum = |field: usize| sizes.iter().filter_map(|size| size.get(field)).sum::<u64>();
    // A node that looks after some of the shards has their share.
    let share = (u128::from(max_bytes) * shards.len() as u128 / ShardId::COUNT as u128) as u64;
    Ok(sum(0).saturating_sub(sum(1)).saturating_sub(share))
}

/// Answers whether there is more to do.
async fn remove_events(
    shared: &Shared,
    shards: &[ShardId],
    now: Timestamp,
    retention: Retention,
    walk: &mut Walk,
    step: &mut RetentionStep,
) -> Result<bool, StoreError> {
    let mut excess = excess(shared, shards, retention.history_max_bytes).await?;
    let expired_before = EventId::first_at(now.before(retention.history));
    for _ in 0..BUCKETS_PER_STEP {
        if walk.left.is_empty() && !next_bucket(shared, shards, walk).await? {
            return Ok(false);
        }
        let Some(shard) = walk.shard else { return Ok(false) };
        let is_over = |id: EventId, excess: u64| id >= expired_before && excess == 0;
        if walk.left.is_empty() {
            take_off(shared, shard, now, walk.bucket).await?;
            continue;
        }
        let looked_at: Vec<_> = walk.left.iter().copied().take(EVENTS_PER_STEP).collect();
        if looked_at.first().is_some_and(|id| is_over(*id, excess)) {
            return Ok(false);
        }
        let found = read_events(shared, shard, walk.bucket, &looked_at).await?;
        let sizes = removable(shared, now, &found).await?;
        let (mut going, mut reached) = (Vec::new(), None);
        for ((id, row, size), records) in found.into_iter().zip(sizes) {
            if is_over(id, excess) {
                reached = looked_at.iter().position(|looked_at| *looked_at == id);
                break;
            }
            if let Some(records) = records {
                excess = excess.saturating_sub(size + records);
                going.push((id, row));
            }
        }
        step.deliveries += forget(shared, &going).await?;
        step.events += going.len() as u64;
        if !going.is_empty() {
            drop_events(shared, shard, walk.bucket, &going).await?;
        }
        walk.left.drain(..reached.unwrap_or(looked_at.len()));
        if reached.is_some() {
            return Ok(false);
        }
        if !going.is_empty() {
            return Ok(true);
        }
    }
    Ok(true)
}

/// Goes to the next bucket over all shards, the oldest first.
async fn next_bucket(shared: &Shared, shards: &[ShardId], walk: &mut Walk) -> Result<bool, StoreError> {
    let (bucket, passed) = (walk.bucket, walk.shard);
    let ask = |shard| {
        let from = if passed.is_some_and(|passed| shard <= passed) { bucket + 1 } else { bucket };
        let key = shared.keys.of(shard, b"b");
        words([b"ZRANGEBYSCORE", &key, from.to_string().as_bytes(), b"+inf", b"LIMIT", b"0", b"1"])
    };
    let found = shared.ask_each(shards, ask).await?.into_iter().map(numbers).collect::<Result<Vec<_>, _>>()?;
    let next = shards.iter().zip(found).filter_map(|(shard, found)| Some((*found.first()?, *shard)));
    let Some((bucket, shard)) = next.min() else { return Ok(false) };
    let ids = event_ids(shared, shard, bucket).await?;
    (walk.bucket, walk.shard, walk.left) = (bucket, Some(shard), ids.into());
    Ok(true)
}

type Found = Vec<(EventId, EventRow, u64)>;

async fn read_events(shared: &Shared, shard: ShardId, bucket: u64, ids: &[EventId]) -> Result<Found, StoreError> {
    let mut read = cmd("HMGET");
    read.arg(shared.keys.events(shard, bucket));
    for id in ids {
        read.arg(&id.to_be_bytes()[..]);
    }
    let mut found = Vec::new();
    for (id, blob) in ids.iter().zip(list(shared.link.run(&read).await?)?) {
        let Some(blob) = bytes(blob)? else { continue };
        found.push((*id, decode_event(&blob)?.0, 16 + blob.len() as u64));
    }
    Ok(found)
}

/// What `standing.lua` says of each delivery.
async fn standing(shared: &Shared, deliveries: &[LaneEntry]) -> Result<Vec<i64>, StoreError> {
    let mut by_shard: BTreeMap<ShardId, Vec<usize>> = BTreeMap::new();
    for (place, entry) in deliveries.iter().enumerate() {
        by_shard.entry(ShardId::of_webhook(entry.webhook)).or_default().push(place);
    }
    let parts = by_shard.iter().flat_map(|(shard, all)| all.chunks(DELIVERIES_PER_CALL).map(move |part| (shard, part)));
    let answers = try_join_all(parts.map(|(shard, places)| async move {
        let mut call = Call::new(shared.keys.base(*shard));
        for place in places {
            // As it would wait without a record.
            let entry = LaneEntry { class: LaneClass::Live, ..deliveries[*place] };
            call.arg(&entry.webhook.to_be_bytes()).arg(&entry.event.to_be_bytes()).arg(&member(&entry)?);
            call.arg(if is_plain(&entry) { b"12" } else { b"" });
        }
        let told = list(shared.link.call(&shared.scripts.standing, &call).await?)?;
        Ok::<_, StoreError>((places, told))
    }));
    let mut standing = vec![0; deliveries.len()];
    for (places, told) in answers.await? {
        for (place, told) in places.iter().zip(told) {
            let Value::Int(told) = told else { return Err(corrupt("an answer of Redis", &"a number expected")) };
            standing[*place] = told;
        }
    }
    Ok(standing)
}

/// What was made since may be of appends under way.
fn on_their_way(shared: &Shared, now: Timestamp) -> Timestamp {
    now.before(shared.config.timeout + CLOCKS_DIFFER)
}

/// For each event the bytes of its deliveries' records; `None` when one of them holds it, or all may be on their way.
async fn removable(shared: &Shared, now: Timestamp, found: &Found) -> Result<Vec<Option<u64>>, StoreError> {
    let deliveries: Vec<_> = found.iter().flat_map(|(id, row, _)| row.owed(*id)).collect();
    let mut standing = standing(shared, &deliveries).await?.into_iter();
    let on_its_way = on_their_way(shared, now);
    let sum = |(id, row, _): &(EventId, EventRow, u64)| {
        let of_event: Vec<_> = standing.by_ref().take(row.owed(*id).count()).collect();
        let has_come = of_event.is_empty() || of_event.iter().any(|bytes| *bytes != 0);
        if !has_come && id.timestamp() >= on_its_way {
            return None;
        }
        of_event.into_iter().map(|bytes| u64::try_from(bytes).ok()).sum()
    };
    Ok(found.iter().map(sum).collect())
}

/// Answers how many deliveries had a record.
async fn forget(shared: &Shared, going: &[(EventId, EventRow)]) -> Result<u64, StoreError> {
    let mut by_shard: BTreeMap<ShardId, Vec<LaneEntry>> = BTreeMap::new();
    for entry in going.iter().flat_map(|(id, row)| row.owed(*id)) {
        by_shard.entry(ShardId::of_webhook(entry.webhook)).or_default().push(entry);
    }
    let parts = by_shard.iter().flat_map(|(shard, all)| all.chunks(DELIVERIES_PER_CALL).map(move |part| (shard, part)));
    let answers = try_join_all(parts.map(|(shard, entries)| async move {
        let mut call = Call::new(shared.keys.base(*shard));
        for entry in entries {
            call.arg(&entry.webhook.to_be_bytes()).arg(&entry.event.to_be_bytes());
        }
        numbers(shared.link.call(&shared.scripts.forget, &call).await?)
    }));
    Ok(answers.await?.iter().filter_map(|told| told.first()).sum())
}

/// Takes a bucket off the index if it is empty and stays so.
async fn take_off(shared: &Shared, shard: ShardId, now: Timestamp, bucket: u64) -> Result<(), StoreError> {
    if bucket >= event_bucket(EventId::first_at(on_their_way(shared, now))) {
        return Ok(());
    }
    drop_events(shared, shard, bucket, &[]).await
}

async fn drop_events(
    shared: &Shared,
    shard: ShardId,
    bucket: u64,
    going: &[(EventId, EventRow)],
) -> Result<(), StoreError> {
    let mut call = Call::new(shared.keys.base(shard));
    call.number(bucket);
    for (id, _) in going {
        call.arg(&id.to_be_bytes());
    }
    shared.link.call(&shared.scripts.drop, &call).await?;
    Ok(())
}
