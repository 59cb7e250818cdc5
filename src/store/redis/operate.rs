//! What people do: putting back, cancelling a lane, changing the directory and settings.

use redis::cmd;
use serde::Serialize;

use super::answer::{fields, list, number};
use super::counts::Counted;
use super::deliveries::{fresh_place, record_of};
use super::feed::tell_owner;
use super::keys::{lane_name, named};
use super::read::{entries, find_event, lane};
use super::rows::{Record, Standing, corrupt, dead_member, decode_event, head, member, score};
use super::script::Call;
use super::settle::{Fencing, settle};
use super::shared::Shared;
use crate::domain::{AttemptOrigin, EventId, LaneClass, LaneEntry, ShardId, Timestamp, WebhookId};
use crate::store::{DirectoryChange, LaneQuery, Next, Requeue, Settle, StoreError};

/// A record changes between reading and writing only when it is settled just then.
const TRIES: usize = 8;

/// See [`Store::requeue`](crate::store::Store::requeue).
pub async fn requeue(
    shared: &Shared,
    webhook: WebhookId,
    id: EventId,
    origin: AttemptOrigin,
    due: Timestamp,
) -> Result<Requeue, StoreError> {
    let requeued = put_into_lane(shared, webhook, id, origin, due).await?;
    if !shared.looks_after(ShardId::of_webhook(webhook.as_u128())) {
        match requeued {
            Requeue::Queued(_) => tell_owner(shared, webhook, id, true).await?,
            Requeue::Unfinished(_) => tell_owner(shared, webhook, id, false).await?,
            Requeue::Unknown => {}
        }
    }
    Ok(requeued)
}

async fn put_into_lane(
    shared: &Shared,
    webhook: WebhookId,
    id: EventId,
    origin: AttemptOrigin,
    due: Timestamp,
) -> Result<Requeue, StoreError> {
    let Some((_, blob)) = find_event(shared, id).await? else { return Ok(Requeue::Unknown) };
    let (event, _) = decode_event(&blob)?;
    let Some(first) = event.owed_to(webhook.as_u128(), id) else { return Ok(Requeue::Unknown) };
    for _ in 0..TRIES {
        let Some(bytes) = record_of(shared, first.webhook, id).await? else {
            let waiting = fresh_place(shared, &first).await?;
            if let Some(entry) = waiting {
                return Ok(Requeue::Unfinished(entry));
            }
            if record_of(shared, first.webhook, id).await?.is_none() {
                return Ok(Requeue::Unknown);
            }
            continue;
        };
        let record = Record::parse(&bytes)?;
        if let Standing::Waiting(placed) = record.standing {
            return Ok(Requeue::Unfinished(placed.entry(first.webhook, id)));
        }
        let attempts = record.attempts.keys().next_back().copied().unwrap_or(0);
        let entry = LaneEntry { class: LaneClass::Retry, due, origin, attempts, round_attempts: 0, ..first };
        if put_back(shared, &bytes, &record, &entry).await? {
            return Ok(Requeue::Queued(entry));
        }
    }
    Err(StoreError::Unavailable("the delivery is being changed by others; try again".into()))
}

async fn put_back(shared: &Shared, bytes: &[u8], record: &Record, entry: &LaneEntry) -> Result<bool, StoreError> {
    let head = head(record.kind, Timestamp::now(), Standing::Waiting(entry.into()))?;
    let mut call = Call::new(shared.keys.base(ShardId::of_webhook(entry.webhook)));
    call.arg(&entry.webhook.to_be_bytes()).arg(&entry.event.to_be_bytes()).arg(bytes);
    call.arg(&Record::bytes(entry.event, &head, &record.tail)).arg(&lane_name(entry.webhook, entry.class));
    call.arg(score(entry).as_bytes()).arg(&member(entry)?).arg(&dead_member(entry));
    call.number(u64::from(entry.data_bytes));
    let [sequence, done, waiting, dead] = fields(shared.link.call(&shared.scripts.requeue, &call).await?)?;
    let told = [
        (Counted::Waiting(entry.webhook, entry.class), number(&waiting)?),
        (Counted::Dead(entry.webhook), number(&dead)?),
    ];
    shared.counts.tell(number(&sequence)?, told);
    Ok(number(&done)? == 1)
}

/// See [`Store::cancel_lane`](crate::store::Store::cancel_lane).
pub async fn cancel_lane(shared: &Shared, webhook: WebhookId, limit: usize) -> Result<bool, StoreError> {
    let mut found: Vec<LaneEntry> = Vec::new();
    for class in [LaneClass::Retry, LaneClass::Live, LaneClass::Low] {
        let limit = limit - found.len();
        found.extend(lane(shared, &LaneQuery { webhook, class, order_key: 0, after: None, limit }).await?);
    }
    if found.len() < limit {
        let mut read = cmd("ZRANGE");
        let shard = ShardId::of_webhook(webhook.as_u128());
        let name = named("l:", &lane_name(webhook.as_u128(), LaneClass::Parked));
        read.arg(shared.keys.of(shard, &name)).arg(0).arg(limit - found.len() - 1).arg("WITHSCORES");
        found.extend(entries(webhook.as_u128(), LaneClass::Parked, list(shared.link.run(&read).await?)?)?);
    }
    let at = Timestamp::now();
    let cancelled = found.into_iter().map(|entry| Settle { entry, attempt: None, next: Next::Cancelled, at });
    settle(shared, cancelled.collect(), Fencing::Off).await?;
    shared.count([webhook.as_u128()]).await?;
    let left = shared.counts.of(webhook.as_u128());
    if left.unfinished() == 0 && left.dead == 0 {
        // Its lanes are not counted any more at the next start.
        let mut forget = cmd("HDEL");
        forget.arg(shared.keys.of(ShardId::of_webhook(webhook.as_u128()), b"m"));
        for class in LaneClass::ALL {
            forget.arg(lane_name(webhook.as_u128(), class));
        }
        shared.link.run(&forget).await?;
    }
    Ok(left.unfinished() > 0)
}

pub async fn change_directory(shared: &Shared, changes: &[DirectoryChange]) -> Result<(), StoreError> {
    fn json<T: Serialize>(record: &T) -> Result<Vec<u8>, StoreError> {
        serde_json::to_vec(record).map_err(|error| corrupt("a directory record", &error))
    }
    let mut call = Call::new(shared.keys.directory());
    call.arg(shared.keys.directory_channel().as_bytes());
    for change in changes {
        let (name, text) = match change {
            DirectoryChange::PutBusiness(business) => (format!("b/{}", business.id), json(business)?),
            DirectoryChange::DeleteBusiness(id) => (format!("b/{id}"), Vec::new()),
            DirectoryChange::PutInstance(instance) => (format!("i/{}", instance.id), json(instance)?),
            DirectoryChange::DeleteInstance(id) => (format!("i/{id}"), Vec::new()),
            DirectoryChange::PutWebhook(webhook) => (format!("w/{}", webhook.id), json(webhook)?),
            DirectoryChange::DeleteWebhook(id) => (format!("w/{id}"), Vec::new()),
        };
        call.arg(name.as_bytes()).arg(&text);
    }
    let pledge = shared.pledge().await?;
    shared.confirmed().call(&shared.scripts.directory, &call).await?;
    shared.confirm(pledge).await
}

pub async fn put_setting(shared: &Shared, name: &str, value: &[u8]) -> Result<(), StoreError> {
    let mut write = cmd("HSET");
    write.arg(format!("{}settings", shared.keys.directory())).arg(name).arg(value);
    let pledge = shared.pledge().await?;
    shared.confirmed().run(&write).await?;
    shared.confirm(pledge).await
}

pub async fn put_setting_if_absent(shared: &Shared, name: &str, value: &[u8]) -> Result<Vec<u8>, StoreError> {
    let mut write = cmd("HSETNX");
    write.arg(format!("{}settings", shared.keys.directory())).arg(name).arg(value);
    let pledge = shared.pledge().await?;
    shared.confirmed().run(&write).await?;
    shared.confirm(pledge).await?;
    let in_force = super::read::setting(shared, name).await?;
    in_force.ok_or_else(|| StoreError::Unavailable(format!("the setting {name} was removed while it was written")))
}
