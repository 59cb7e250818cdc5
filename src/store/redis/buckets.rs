//! Events by the time of their ids: which are on record, which is the newest.

use futures_util::future::try_join_all;
use redis::cmd;

use super::answer::{all_bytes, event_id, number, numbers};
use super::shared::Shared;
use crate::domain::{EventId, ShardId};
use crate::store::StoreError;

/// Buckets looked at together.
const PER_CALL: usize = 64;

/// The newest event id on record.
pub async fn last_event(shared: &Shared) -> Result<Option<EventId>, StoreError> {
    let newest = ShardId::all().map(|shard| async move {
        let mut below = String::from("+inf");
        loop {
            let mut read = cmd("ZRANGE");
            read.arg(shared.keys.of(shard, b"b")).arg(&below).arg("-inf").arg("BYSCORE").arg("REV");
            read.arg("LIMIT").arg(0).arg(PER_CALL);
            let buckets = numbers(shared.link.run(&read).await?)?;
            let Some(oldest) = buckets.last() else { return Ok(None) };
            below = format!("({oldest}");
            let lengths = buckets.iter().map(|bucket| async move {
                let mut count = cmd("HLEN");
                count.arg(shared.keys.events(shard, *bucket));
                number(&shared.link.run(&count).await?)
            });
            let lengths = try_join_all(lengths).await?;
            if let Some((bucket, _)) = buckets.iter().zip(lengths).find(|(_, length)| *length > 0) {
                return Ok::<_, StoreError>(event_ids(shared, shard, *bucket).await?.pop());
            }
        }
    });
    Ok(try_join_all(newest).await?.into_iter().flatten().max())
}

/// The ids of a bucket, ascending.
pub async fn event_ids(shared: &Shared, shard: ShardId, bucket: u64) -> Result<Vec<EventId>, StoreError> {
    let mut read = cmd("HKEYS");
    read.arg(shared.keys.events(shard, bucket));
    let ids = all_bytes(shared.link.run(&read).await?)?;
    let mut ids = ids.iter().map(|id| event_id(id)).collect::<Result<Vec<_>, _>>()?;
    ids.sort_unstable();
    Ok(ids)
}
