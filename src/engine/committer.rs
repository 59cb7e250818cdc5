//! Makes accepted events durable in groups: the requests that wait while one commit runs ride together on the next (P1).
//!
//! Here events get their ids, so that over all lanes the order of ids is the order of commits: what a lane is handed always sorts
//! after what it has seen.

use std::sync::Arc;
use std::time::Instant;

use smallvec::SmallVec;
use tokio::sync::{mpsc, oneshot};

use super::carried::Carried;
use super::core::Core;
use super::lane::Waiting;
use super::{Accepted, IngestError};
use crate::domain::{Effects, Event, EventId, InstanceId, LaneEntry, ShardId, WebhookId, WebhookIdBits};
use crate::store::{Append, Appended, HeldBack, StoreError};
use crate::telemetry::meters::Meters;

/// An event that is routed but has no id yet: the id, the time of acceptance and what follows from them are filled in by [`Draft::seal`].
#[derive(Debug)]
pub(super) struct Draft {
    pub(super) event: Event,
    pub(super) entries: SmallVec<[LaneEntry; 4]>,
    /// The thread of each entry's webhook.
    pub(super) lofts: SmallVec<[usize; 4]>,
    pub(super) held_back: SmallVec<[(WebhookIdBits, HeldBack); 2]>,
    pub(super) effects: Effects,
}

impl Draft {
    fn seal(mut self, id: EventId) -> (Append, SmallVec<[usize; 4]>, Effects) {
        self.event.id = id;
        self.event.accepted_at = id.timestamp();
        for entry in &mut self.entries {
            entry.event = id;
            entry.due = id.timestamp();
        }
        let messages = std::mem::take(&mut self.effects.messages).into();
        let append = Append { event: Arc::new(self.event), entries: self.entries, held_back: self.held_back, messages };
        (append, self.lofts, self.effects)
    }
}

/// One request's events, routed.
#[derive(Debug)]
pub(super) struct Commit {
    pub(super) drafts: Vec<Draft>,
    pub(super) bytes: u64,
    pub(super) reply: oneshot::Sender<Result<Accepted, IngestError>>,
    /// Held until the events are durable or refused.
    pub(super) credit: Credit,
}

/// A share of the bytes that may be on their way to the store.
#[derive(Debug)]
pub(super) struct Credit {
    pub(super) _permit: tokio::sync::OwnedSemaphorePermit,
}

/// Events of one commit.
const MAX_EVENTS: usize = 4_096;
const MAX_BYTES: u64 = 8 << 20;

/// Hands committed entries to the threads of their webhooks.
pub(super) trait Dispatch {
    /// The webhooks' lanes may hold what is not handed on: they read the store.
    fn nudge(&self, webhooks: Vec<(usize, WebhookId)>);
    fn dispatch(&self, deliveries: Vec<(usize, WebhookId, Waiting)>);
}

/// What events say about their instance, for the task that keeps instances.
pub(super) type EffectQueue = mpsc::UnboundedSender<(InstanceId, Effects)>;

pub(super) async fn run(
    mut work: mpsc::UnboundedReceiver<Commit>,
    core: Arc<Core>,
    dispatch: impl Dispatch,
    effects: EffectQueue,
) {
    // Webhooks of events that the store refused: a commit that failed on its way to the disk may be found there all the same.
    let mut suspects = Vec::new();
    let mut refusal = Refusal::default();
    while let Some(first) = work.recv().await {
        let (mut events, mut bytes) = (first.drafts.len(), first.bytes);
        let mut group = vec![first];
        while events < MAX_EVENTS
            && bytes < MAX_BYTES
            && let Ok(next) = work.try_recv()
        {
            events += next.drafts.len();
            bytes += next.bytes;
            group.push(next);
        }
        if !suspects.is_empty() {
            if let Err(error) = core.store.flush().await {
                refusal.refuse(
                    group.into_iter().map(|commit| (0, commit.reply, commit.credit)).collect(),
                    &error,
                    &core.meters,
                );
                continue;
            }
            // Before anything newer is handed on, which would move their lanes past it.
            dispatch.nudge(std::mem::take(&mut suspects));
        }
        suspects = commit(group, events, &core, &dispatch, &effects, &mut refusal).await;
    }
}

/// Answers the webhooks whose entries may be in the store or not, when the store refused.
async fn commit(
    group: Vec<Commit>,
    events: usize,
    core: &Core,
    dispatch: &impl Dispatch,
    effects: &EffectQueue,
    refusal: &mut Refusal,
) -> Vec<(usize, WebhookId)> {
    let mut appends = Vec::with_capacity(events);
    let mut onward = Vec::with_capacity(events);
    let mut replies = Vec::with_capacity(group.len());
    let now = core.clock.wall();
    for commit in group {
        replies.push((commit.drafts.len(), commit.reply, commit.credit));
        for draft in commit.drafts {
            let id = core.ids.next_in(now, ShardId::of_instance(&draft.event.instance));
            let (append, lofts, effects) = draft.seal(id);
            onward.push((Arc::clone(&append.event), append.entries.clone(), lofts, effects));
            appends.push(append);
        }
    }
    let started = Instant::now();
    let results = match core.store.append(appends).await {
        Ok(results) => {
            refusal.is_over();
            results
        }
        Err(error) => {
            refusal.refuse(replies, &error, &core.meters);
            let owed = onward.iter().flat_map(|(_, entries, lofts, _)| lofts.iter().zip(entries));
            let mut suspects: Vec<_> = owed.map(|(loft, entry)| (*loft, entry.webhook_id())).collect();
            suspects.sort_unstable();
            suspects.dedup();
            return suspects;
        }
    };
    core.meters.commit_seconds.record(started.elapsed());
    core.meters.commit_events.record(onward.len() as f64);
    let ids: Vec<_> = onward.iter().map(|(event, ..)| event.id).collect();
    let mut deliveries = Vec::with_capacity(onward.iter().map(|(_, entries, ..)| entries.len()).sum());
    let mut behind = Vec::new();
    for ((event, entries, lofts, effect), result) in onward.into_iter().zip(&results) {
        if matches!(result, Appended::Duplicate(_)) {
            continue;
        }
        if effect.moves_instance() {
            // The keeper ends with the process.
            let _ended = effects.send((event.instance.clone(), effect));
        }
        if *result == Appended::Late {
            behind.extend(entries.iter().zip(lofts).map(|(entry, loft)| (loft, entry.webhook_id())));
            continue;
        }
        let carried = Carried::new(event, &core.budget);
        for (entry, loft) in entries.into_iter().zip(lofts) {
            if !core.serves(entry.webhook_id()) {
                // Its owner has been told by the store.
                continue;
            }
            deliveries.push((loft, entry.webhook_id(), Waiting { entry, carried: carried.clone() }));
        }
    }
    // First, so that what follows on the same lane is left to the store as well.
    dispatch.nudge(behind);
    dispatch.dispatch(deliveries);
    answer(replies, ids.into_iter().zip(results));
    Vec::new()
}

type Replies = Vec<(usize, oneshot::Sender<Result<Accepted, IngestError>>, Credit)>;

fn answer(replies: Replies, mut results: impl Iterator<Item = (EventId, Appended)>) {
    for (count, reply, _credit) in replies {
        let mut accepted = Accepted { ids: Vec::with_capacity(count), duplicates: 0 };
        for (id, result) in results.by_ref().take(count) {
            match result {
                Appended::New | Appended::Late => accepted.ids.push(id),
                Appended::Duplicate(first) => {
                    accepted.ids.push(first);
                    accepted.duplicates += 1;
                }
            }
        }
        // A caller that hung up has its events all the same.
        let _hung_up = reply.send(Ok(accepted));
    }
}

/// A time in which the store refuses events: said when it begins and when it is over, not for each commit.
#[derive(Debug, Default)]
struct Refusal {
    requests: usize,
}

impl Refusal {
    fn refuse(&mut self, replies: Replies, error: &StoreError, meters: &Meters) {
        meters.append_errors.increment(1);
        if self.requests == 0 {
            tracing::error!(%error, "the store refuses events; callers are told to try again");
        }
        self.requests += replies.len();
        for (_, reply, _credit) in replies {
            let _hung_up = reply.send(Err(IngestError::Store(error.clone())));
        }
    }

    fn is_over(&mut self) {
        let refused = std::mem::take(&mut self.requests);
        if refused > 0 {
            tracing::info!(refused, "the store takes events again");
        }
    }
}
