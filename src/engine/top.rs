//! Which webhooks stand out: by what waits for them, by how long, by failures, by slowness. Each loft ranks its own from figures it
//! has at hand, and the best of all are taken: the cost is a look at each running actor, none at the store's disk.

use std::cmp::Reverse;

use actix::Message;
use tokio::sync::oneshot;

use super::handle::Engine;
use super::loft::LoftActor;
use super::slot::Slot;
use super::webhook::WebhookActor;
use crate::domain::{Timestamp, WaitReason, WebhookId};
use crate::policy::CircuitState;

/// How one running webhook stands.
#[derive(Clone, Debug)]
pub struct Standing {
    pub webhook: WebhookId,
    pub unfinished: u64,
    pub dead: u64,
    /// When the oldest delivery that is due was due.
    pub oldest_due: Option<Timestamp>,
    pub held_by: WaitReason,
    pub circuit: CircuitState,
    pub in_flight: u32,
    /// Of the last five to ten minutes.
    pub attempts: u32,
    pub failed: u32,
    pub mean_us: u64,
    /// Since the actor started.
    pub latency_p50_ms: f64,
    pub latency_p99_ms: f64,
}

/// The first few in each order; one that is in order does not appear in it.
#[derive(Clone, Debug, Default)]
pub struct Top {
    /// Most unfinished deliveries.
    pub backlog: Vec<Standing>,
    /// Longest due.
    pub oldest: Vec<Standing>,
    /// Largest share of failed attempts, lately.
    pub failures: Vec<Standing>,
    /// Longest attempts on average, lately.
    pub latency: Vec<Standing>,
}

/// Asks a loft for the first `limit` of its own.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(super) struct Rank {
    pub(super) limit: usize,
    pub(super) reply: oneshot::Sender<Top>,
}

impl Standing {
    fn failure_ratio(&self) -> f64 {
        f64::from(self.failed) / f64::from(self.attempts.max(1))
    }
}

impl Top {
    /// Puts the first `limit` of `all` in each order.
    fn of(all: &[Standing], limit: usize) -> Self {
        let by = |counts: fn(&Standing) -> bool, before: fn(&Standing, &Standing) -> std::cmp::Ordering| {
            let mut chosen: Vec<&Standing> = all.iter().filter(|standing| counts(standing)).collect();
            if chosen.len() > limit && limit > 0 {
                chosen.select_nth_unstable_by(limit - 1, |a, b| before(a, b));
            }
            chosen.truncate(limit);
            chosen.sort_by(|a, b| before(a, b));
            chosen.into_iter().cloned().collect()
        };
        Self {
            backlog: by(|one| one.unfinished > 0, |a, b| b.unfinished.cmp(&a.unfinished)),
            oldest: by(|one| one.oldest_due.is_some(), |a, b| a.oldest_due.cmp(&b.oldest_due)),
            failures: by(
                |one| one.failed > 0,
                |a, b| b.failure_ratio().total_cmp(&a.failure_ratio()).then(b.failed.cmp(&a.failed)),
            ),
            latency: by(|one| one.attempts > 0, |a, b| Reverse(a.mean_us).cmp(&Reverse(b.mean_us))),
        }
    }

    /// The first `limit` of several threads'.
    fn merged(parts: Vec<Self>, limit: usize) -> Self {
        let first = |list: fn(&mut Self) -> &mut Vec<Standing>, of: fn(Self) -> Vec<Standing>, parts: &mut [Self]| {
            let all: Vec<Standing> = parts.iter_mut().flat_map(|part| std::mem::take(list(part))).collect();
            of(Self::of(&all, limit))
        };
        let mut parts = parts;
        Self {
            backlog: first(|top| &mut top.backlog, |top| top.backlog, &mut parts),
            oldest: first(|top| &mut top.oldest, |top| top.oldest, &mut parts),
            failures: first(|top| &mut top.failures, |top| top.failures, &mut parts),
            latency: first(|top| &mut top.latency, |top| top.latency, &mut parts),
        }
    }
}

impl Engine {
    /// The first `limit` running webhooks of this node in each order.
    pub async fn top(&self, limit: usize) -> Top {
        let mut parts = Vec::new();
        for loft in self.inner.lofts.all() {
            let (reply, ranked) = oneshot::channel();
            loft.do_send(Rank { limit, reply });
            parts.extend(ranked.await);
        }
        Top::merged(parts, limit)
    }
}

impl LoftActor {
    pub(super) fn rank(&self, limit: usize) -> Top {
        let now = self.core.clock.wall();
        let all: Vec<Standing> = self.webhooks.iter().map(|(id, slot)| self.standing(*id, slot, now)).collect();
        let mut top = Top::of(&all, limit);
        // Only for those that are told: a quantile is a walk through a histogram.
        for standing in [&mut top.backlog, &mut top.oldest, &mut top.failures, &mut top.latency].into_iter().flatten() {
            if let Some(slot) = self.webhooks.get(&standing.webhook) {
                let stats = slot.presence.stats();
                standing.latency_p50_ms = stats.quantile_ms(0.5);
                standing.latency_p99_ms = stats.quantile_ms(0.99);
            }
        }
        top
    }

    fn standing(&self, webhook: WebhookId, slot: &Slot<WebhookActor>, now: Timestamp) -> Standing {
        let counts = self.core.store.lane_counts(webhook);
        let recent = slot.presence.stats().recent(now);
        let circuit = self.gates.get(&webhook).map_or(CircuitState::Closed, |(gate, _)| gate.borrow().circuit());
        Standing {
            webhook,
            unfinished: counts.unfinished(),
            dead: counts.dead,
            oldest_due: slot.presence.oldest_due(),
            held_by: slot.presence.held_by(),
            circuit,
            in_flight: u32::try_from(slot.presence.in_flight()).unwrap_or(u32::MAX),
            attempts: recent.attempts,
            failed: recent.failed,
            mean_us: recent.mean_us(),
            latency_p50_ms: 0.0,
            latency_p99_ms: 0.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn standing(number: u128, unfinished: u64, failed: u32, mean_us: u64) -> Standing {
        Standing {
            webhook: WebhookId::from_u128(number),
            unfinished,
            dead: 0,
            oldest_due: (unfinished > 0).then(|| Timestamp::from_millis(unfinished)),
            held_by: WaitReason::None,
            circuit: CircuitState::Closed,
            in_flight: 0,
            attempts: 10,
            failed,
            mean_us,
            latency_p50_ms: 0.0,
            latency_p99_ms: 0.0,
        }
    }

    fn ids(list: &[Standing]) -> Vec<u128> {
        list.iter().map(|standing| standing.webhook.as_u128()).collect()
    }

    #[test]
    fn each_order_has_its_own_first_ones_over_all_threads() {
        let one = Top::of(&[standing(1, 5, 0, 900), standing(2, 7, 10, 100), standing(3, 0, 1, 50)], 2);
        let other = Top::of(&[standing(4, 6, 0, 800), standing(5, 1, 5, 2_000)], 2);
        let top = Top::merged(vec![one, other], 2);
        assert_eq!(ids(&top.backlog), [2, 4]);
        assert_eq!(ids(&top.oldest), [5, 1]);
        assert_eq!(ids(&top.failures), [2, 5]);
        assert_eq!(ids(&top.latency), [5, 1]);
    }

    #[test]
    fn what_is_in_order_does_not_appear_and_fewer_than_asked_for_is_no_trouble() {
        let top = Top::of(&[standing(3, 0, 0, 50)], 10);
        assert!(top.backlog.is_empty() && top.oldest.is_empty() && top.failures.is_empty());
        assert_eq!(ids(&top.latency), [3]);
        assert!(Top::of(&[], 0).latency.is_empty());
    }
}
