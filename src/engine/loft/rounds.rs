//! What a loft does now and then: idle children go, and the state of the others is noted for the metrics.

use actix::{Context, Handler, Message};

use super::{Abandon, LoftActor};
use crate::domain::{ShardId, WebhookId};
use crate::engine::instance::Retire;
use crate::engine::observe::{self, AtWork, Observed};
use crate::engine::slot::Slot;
use crate::engine::top::Rank;
use crate::engine::webhook;

/// Look for idle children.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(in crate::engine) struct Sweep;

/// Say what the children are doing.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(in crate::engine) struct Observe;

impl Handler<Sweep> for LoftActor {
    type Result = ();

    fn handle(&mut self, _: Sweep, _: &mut Context<Self>) {
        let (now, idle_after) = (self.core.clock.mono(), self.core.config.idle_after);
        self.instances.retain(|_, slot| {
            let retires = slot.can_retire(now, idle_after);
            if retires {
                slot.address.do_send(Retire);
            }
            !retires
        });
        self.webhooks.retain(|_, slot| {
            let retires = slot.can_retire(now, idle_after);
            if retires {
                slot.address.do_send(webhook::Close(None));
            } else {
                slot.address.do_send(webhook::SweepConnections);
            }
            !retires
        });
        let webhooks = &self.webhooks;
        let forget_after = self.core.config.breaker.max_open * 2;
        self.gates.retain(|id, (_, last_used)| {
            if webhooks.contains_key(id) {
                *last_used = now;
            }
            now.duration_since(*last_used) < forget_after
        });
    }
}

impl Handler<Abandon> for LoftActor {
    type Result = ();

    fn handle(&mut self, Abandon(shard): Abandon, _: &mut Context<Self>) {
        let is_lost = |id: WebhookId| ShardId::of_webhook(id.as_u128()) == shard;
        self.webhooks.retain(|id, slot| {
            if is_lost(*id) {
                slot.address.do_send(webhook::Leave);
            }
            !is_lost(*id)
        });
        // What was known of pace and health is the next owner's to find out.
        self.gates.retain(|id, _| !is_lost(*id));
    }
}

impl Handler<Rank> for LoftActor {
    type Result = ();

    fn handle(&mut self, Rank { limit, reply }: Rank, _: &mut Context<Self>) {
        let _hung_up = reply.send(self.rank(limit));
    }
}

impl Handler<Observe> for LoftActor {
    type Result = ();

    fn handle(&mut self, _: Observe, _: &mut Context<Self>) {
        let mut observed = Observed {
            instances: self.instances.len() as u64,
            webhooks: self.webhooks.len() as u64,
            mailbox: self.instances.values().map(Slot::unhandled).sum(),
            ..Observed::default()
        };
        for (id, slot) in &self.webhooks {
            observed.mailbox += slot.unhandled();
            let presence = &slot.presence;
            if !presence.is_idle() {
                observed.note(&AtWork {
                    held_by: observe::held_by(presence.held_by()),
                    counts: self.core.store.lane_counts(*id),
                    in_flight: presence.in_flight() as u64,
                    oldest_due: presence.oldest_due(),
                    oldest_flight: presence.oldest_flight(),
                    oldest_retry: presence.oldest_retry(),
                });
            }
        }
        for (gate, _) in self.gates.values() {
            observed.note_circuit(gate.borrow().circuit());
        }
        self.core.observations.put(self.thread, observed);
    }
}
