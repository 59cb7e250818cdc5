//! Events come in: one call per shard for all events of its instances, in order, at most [`EVENTS_PER_CALL`] at once.
//!
//! An event lives in the shard of its instance, with the client ids and messages. Entries for webhooks of another shard (those of
//! a business) are entered there in a second call, after the first has answered what is new. All or nothing holds for each
//! instance's events in their own shard. When the second call fails, the caller is refused although its instance's webhooks have
//! the event; when it comes again with its client id, what is missing is entered ([`repair`]).

use std::collections::BTreeMap;

use futures_util::future::try_join_all;

use super::answer::{bytes, number};
use super::keys::{self, lane_name};
use super::rows::{decode_event, member, score};
use super::script::Call;
use super::shared::Shared;
use super::staged::Staged;
use crate::domain::{EventId, InstanceId, LaneClass, LaneEntry, ShardId};
use crate::store::{Append, Appended, StoreError};

/// Events of one call: some milliseconds of Redis's only thread.
const EVENTS_PER_CALL: usize = 256;
/// Events of one instance that stand together, as a request brings them, are not cut below this.
const EVENTS_OF_ONE_REQUEST: usize = 1_024;

pub async fn append(shared: &Shared, batch: Vec<Append>) -> Result<Vec<Appended>, StoreError> {
    shared.is_safe_enough()?;
    let answers = append_all(shared, &batch).await;
    if answers.is_err() {
        let entries =
            batch.iter().flat_map(|append| append.entries.iter().map(|entry| ShardId::of_webhook(entry.webhook)));
        let homes = batch.iter().map(|append| ShardId::of_instance(&append.event.instance));
        shared.doubts.doubt(homes.chain(entries));
    }
    answers
}

async fn append_all(shared: &Shared, batch: &[Append]) -> Result<Vec<Appended>, StoreError> {
    let pledge = shared.pledge().await?;
    let mut by_shard: BTreeMap<ShardId, Vec<usize>> = BTreeMap::new();
    for (place, append) in batch.iter().enumerate() {
        by_shard.entry(ShardId::of_instance(&append.event.instance)).or_default().push(place);
    }
    let parts = by_shard.into_iter().map(|(shard, places)| append_to(shared, shard, batch, places));
    let mut answers = vec![Appended::New; batch.len()];
    for (place, answer) in try_join_all(parts).await?.into_iter().flatten() {
        answers[place] = answer;
    }
    append_elsewhere(shared, batch, &mut answers).await?;
    shared.confirm(pledge).await?;
    Ok(answers)
}

/// One shard's part: its calls one after the other, so that the order of events is the order of commits.
async fn append_to(
    shared: &Shared,
    shard: ShardId,
    batch: &[Append],
    places: Vec<usize>,
) -> Result<Vec<(usize, Appended)>, StoreError> {
    let mut answers = Vec::with_capacity(places.len());
    let mut left = &places[..];
    while !left.is_empty() {
        let (now, later) = left.split_at(cut(left, |place| &batch[place].event.instance));
        let mut staged = Staged::default();
        for place in now {
            staged.event(shard, &batch[*place])?;
        }
        let told = staged.send(shared, shard).await?;
        answers.extend(now.iter().copied().zip(told));
        left = later;
    }
    Ok(answers)
}

/// How many of `places` go together.
fn cut<'a>(places: &[usize], instance: impl Fn(usize) -> &'a InstanceId) -> usize {
    if places.len() <= EVENTS_PER_CALL {
        return places.len();
    }
    let of = |at: usize| instance(places[at]);
    let starts_run = |at: usize| of(at) != of(at - 1);
    let most = places.len().min(EVENTS_OF_ONE_REQUEST);
    let before = (1..=EVENTS_PER_CALL).rev().find(|at| starts_run(*at));
    let after = || (EVENTS_PER_CALL..most).find(|at| starts_run(*at));
    before.or_else(after).unwrap_or(most)
}

/// Entries whose webhook lives in another shard than its event.
async fn append_elsewhere(shared: &Shared, batch: &[Append], answers: &mut [Appended]) -> Result<(), StoreError> {
    let mut by_shard: BTreeMap<ShardId, BTreeMap<usize, Vec<LaneEntry>>> = BTreeMap::new();
    let mut repeated = Vec::new();
    for (place, append) in batch.iter().enumerate() {
        let home = ShardId::of_instance(&append.event.instance);
        let elsewhere = append.entries.iter().filter(|entry| ShardId::of_webhook(entry.webhook) != home);
        match answers[place] {
            Appended::Duplicate(first) => repeated.extend(elsewhere.map(|entry| (home, first, *entry))),
            Appended::New | Appended::Late => {
                for entry in elsewhere {
                    let shard = by_shard.entry(ShardId::of_webhook(entry.webhook)).or_default();
                    shard.entry(place).or_default().push(*entry);
                }
            }
        }
    }
    let parts = by_shard.into_iter().map(|(shard, events)| async move {
        let events: Vec<_> = events.into_iter().collect();
        let mut late = Vec::new();
        for now in events.chunks(EVENTS_PER_CALL) {
            let mut staged = Staged::default();
            for (place, entries) in now {
                staged.entries_only(batch[*place].event.id, entries);
            }
            let told = staged.send(shared, shard).await?;
            late.extend(now.iter().zip(told).filter(|(_, told)| *told == Appended::Late).map(|((place, _), _)| *place));
        }
        Ok::<_, StoreError>(late)
    });
    for place in try_join_all(parts).await?.into_iter().flatten() {
        answers[place] = Appended::Late;
    }
    if repeated.is_empty() { Ok(()) } else { repair(shared, repeated).await }
}

/// A client id came again: its first event may lack what a failed call should have entered.
async fn repair(shared: &Shared, repeated: Vec<(ShardId, EventId, LaneEntry)>) -> Result<(), StoreError> {
    for (home, first, entry) in repeated {
        let mut read = redis::cmd("HGET");
        read.arg(shared.keys.events(home, keys::event_bucket(first))).arg(&first.to_be_bytes()[..]);
        let Some(blob) = bytes(shared.link.run(&read).await?)? else { continue };
        let (row, _) = decode_event(&blob)?;
        let Some(owed) = row.owed_to(entry.webhook, first) else { continue };
        let plain = LaneEntry { class: LaneClass::Live, ..owed };
        let shard = ShardId::of_webhook(owed.webhook);
        let mut call = Call::new(shared.keys.base(shard));
        call.arg(&lane_name(owed.webhook, owed.class)).arg(&first.to_be_bytes());
        call.arg(score(&owed).as_bytes()).arg(&member(&owed)?).arg(&member(&plain)?);
        let entered = number(&shared.confirmed().call(&shared.scripts.repair, &call).await?)?;
        if entered > 0 {
            tracing::info!(event = %first, webhook = %owed.webhook_id(), "an append that failed half-way is complete now");
            shared.count([owed.webhook]).await?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_events_of_a_request_stay_together_within_reason() {
        let instances = [InstanceId::new("a").unwrap(), InstanceId::new("b").unwrap(), InstanceId::new("c").unwrap()];
        let cut_of = |lengths: &[usize]| {
            let owners: Vec<_> =
                lengths.iter().zip(&instances).flat_map(|(n, id)| std::iter::repeat_n(id, *n)).collect();
            cut(&(0..owners.len()).collect::<Vec<_>>(), |place| owners[place])
        };
        assert_eq!(cut_of(&[200]), 200);
        assert_eq!(cut_of(&[100, 300]), 100);
        assert_eq!(cut_of(&[100, 100, 300]), 200);
        assert_eq!(cut_of(&[700, 10]), 700);
        assert_eq!(cut_of(&[3_000]), EVENTS_OF_ONE_REQUEST);
    }
}
