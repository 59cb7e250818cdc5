//! Attempts are decided: entries leave their places, records are written, some take another place. One call per shard and
//! [`ENTRIES_PER_CALL`], fenced: a deposed owner settles nothing.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Write as _;

use futures_util::future::join_all;

use super::answer::{fields, number, numbers};
use super::counts::Counted;
use super::keys::lane_name;
use super::rows::{Record, Standing, attempt, dead_member, head, is_plain, member, score};
use super::script::Call;
use super::shared::Shared;
use super::staged::early_ms;
use crate::domain::{LaneClass, LaneEntry, ShardId, WebhookIdBits};
use crate::store::{Next, Settle, StoreError};

/// Settlements of one call.
const ENTRIES_PER_CALL: usize = 256;

/// Whether the process must be known as the owner.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Fencing {
    Checked,
    /// What any node may do: cancel what a deleted webhook was owed.
    Off,
}

pub async fn settle(shared: &Shared, batch: Vec<Settle>, fencing: Fencing) -> Result<(), StoreError> {
    let mut by_shard: BTreeMap<ShardId, Vec<Settle>> = BTreeMap::new();
    for settle in batch {
        by_shard.entry(ShardId::of_webhook(settle.entry.webhook)).or_default().push(settle);
    }
    let parts = by_shard.into_iter().map(|(shard, settles)| async move {
        for part in settles.chunks(ENTRIES_PER_CALL) {
            match settle_in(shared, shard, part, fencing).await {
                Err(StoreError::Fenced { .. }) => return Err(StoreError::Fenced { shards: shard.bit() }),
                answer => answer?,
            }
        }
        Ok(())
    });
    // All are waited for: what can be settled is. A failure that trying again may mend goes before a fence.
    let mut fenced = 0;
    let mut failed = None;
    for answer in join_all(parts).await {
        match answer {
            Ok(()) => {}
            Err(StoreError::Fenced { shards }) => fenced |= shards,
            Err(error) => failed = Some(error),
        }
    }
    match failed {
        Some(error) => Err(error),
        None if fenced != 0 => Err(StoreError::Fenced { shards: fenced }),
        None => Ok(()),
    }
}

/// What leaves one lane in one round. A delivery is once in a round; rounds follow each other, so the order within a delivery is kept.
#[derive(Default)]
struct Group {
    /// Delivered at once: members and records, what the script must know of all of them, and of each.
    members: Call,
    records: Call,
    record_bytes: u64,
    held: u64,
    scores: String,
    holds: String,
    has_far_bodies: bool,
    /// Everything else, and how many that are.
    others: Call,
    other_count: u64,
}

impl Group {
    fn stage(&mut self, settle: &Settle) -> Result<(), StoreError> {
        let Settle { entry, next: Next::Delivered, at, .. } = settle else { return self.stage_other(settle) };
        if !is_plain(entry) {
            return self.stage_other(settle);
        }
        let space = if self.members.is_empty() { "" } else { " " };
        let told = "a string takes what it is told";
        write!(self.scores, "{space}{}", score(entry)).expect(told);
        write!(self.holds, "{space}{}", entry.data_bytes).expect(told);
        let record = Record::bytes(entry.event, &head(entry.kind, *at, Standing::Delivered)?, &attempt(settle)?);
        self.record_bytes += record.len() as u64;
        self.held += u64::from(entry.data_bytes);
        self.has_far_bodies |= ShardId::of_event(entry.event) != ShardId::of_webhook(entry.webhook);
        self.members.arg(&member(entry)?);
        self.records.arg(&record);
        Ok(())
    }

    fn stage_other(&mut self, settle: &Settle) -> Result<(), StoreError> {
        self.other_count += 1;
        stage(&mut self.others, settle)
    }

    fn head(&self, call: &mut Call) {
        call.number(self.members.len() as u64).arg(self.scores.as_bytes()).number(self.record_bytes).number(self.held);
        call.arg(self.holds.as_bytes()).arg(if self.has_far_bodies { b"0" } else { b"1" }).number(self.other_count);
    }

    fn body(&self, call: &mut Call) {
        call.extend(&self.members).extend(&self.records).extend(&self.others);
    }
}

async fn settle_in(shared: &Shared, shard: ShardId, settles: &[Settle], fencing: Fencing) -> Result<(), StoreError> {
    let fence = if fencing == Fencing::Checked { shared.fence(shard) } else { Vec::new() };
    if fencing == Fencing::Checked && shared.config.many_nodes && fence.is_empty() {
        // Never this node's: an empty fence would let everything pass.
        return Err(StoreError::Fenced { shards: shard.bit() });
    }
    let mut groups: BTreeMap<(usize, WebhookIdBits, LaneClass), Group> = BTreeMap::new();
    let mut rounds = HashMap::new();
    let mut counted = BTreeSet::new();
    for settle in settles {
        let LaneEntry { webhook, event, class, .. } = settle.entry;
        let round = rounds.entry((webhook, event)).and_modify(|round| *round += 1).or_insert(0_usize);
        groups.entry((*round, webhook, class)).or_default().stage(settle)?;
        counted.insert(Counted::Waiting(webhook, class));
        match settle.next {
            Next::Move(moved) => drop(counted.insert(Counted::Waiting(webhook, moved.class))),
            Next::Dead(_) => drop(counted.insert(Counted::Dead(webhook))),
            Next::Delivered | Next::Superseded { .. } | Next::Cancelled => {}
        }
    }
    let mut call = Call::new(shared.keys.base(shard));
    call.arg(&fence).number(groups.len() as u64).number(counted.len() as u64);
    for ((_, webhook, class), group) in &groups {
        group.head(call.arg(&lane_name(*webhook, *class)));
    }
    for counted in &counted {
        call.arg(&counted.key());
    }
    for group in groups.values() {
        group.body(&mut call);
    }
    let [sequence, lengths] = fields(shared.link.call(&shared.scripts.settle, &call).await?)?;
    shared.counts.tell(number(&sequence)?, counted.into_iter().zip(numbers(lengths)?));
    Ok(())
}

fn stage(call: &mut Call, settle: &Settle) -> Result<(), StoreError> {
    let Settle { entry, next, at, .. } = settle;
    let moved = if let Next::Move(moved) = next { Some(moved) } else { None };
    let dead = matches!(next, Next::Dead(_));
    let becomes_plain = moved.is_some_and(is_plain);
    let mut flags = Vec::with_capacity(3);
    if becomes_plain {
        // It has no attempts, so its record, if there is one, tells nothing.
        flags.push(b'r');
    } else if !is_plain(entry) {
        flags.push(b'a');
    }
    flags.extend(dead.then_some(b'd'));
    flags.extend(moved.map(|_| b'm'));
    let still_holds = dead || moved.is_some();
    call.arg(&member(entry)?).arg(score(entry).as_bytes()).arg(&entry.event.to_be_bytes());
    call.arg(&head(entry.kind, *at, Standing::after(next))?).arg(&attempt(settle)?);
    call.number(if still_holds { 0 } else { u64::from(entry.data_bytes) }).arg(&flags);
    if dead {
        call.number(at.millis()).arg(&dead_member(entry));
    }
    if let Some(moved) = moved {
        call.arg(&lane_name(moved.webhook, moved.class)).arg(score(moved).as_bytes()).arg(&member(moved)?);
        call.number(if becomes_plain { early_ms(moved) } else { 0 });
    }
    Ok(())
}
