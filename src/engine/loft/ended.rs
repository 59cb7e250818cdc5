//! What a loft does when a child has ended that it did not tell to: it starts again, from directory and store.

use std::sync::Arc;

use actix::{Context, Handler, Message};

use super::{LoftActor, UNKNOWN};
use crate::domain::{DisabledReason, InstanceId, WebhookId};
use crate::engine::supervise::Exit;

/// A webhook's actor has ended.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(super) struct WebhookEnded {
    pub(super) id: WebhookId,
    pub(super) generation: u64,
    pub(super) exit: Exit,
}

/// An instance's actor has ended.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(super) struct InstanceEnded {
    pub(super) id: InstanceId,
    pub(super) generation: u64,
}

impl Handler<InstanceEnded> for LoftActor {
    type Result = ();

    fn handle(&mut self, InstanceEnded { id, generation }: InstanceEnded, _: &mut Context<Self>) {
        if self.instances.get(&id).is_some_and(|slot| slot.generation == generation) {
            self.core.meters.instance_restarts.increment(1);
            tracing::error!(instance = %id, "an instance's actor panicked; the next event starts it again");
            self.instances.remove(&id);
        }
    }
}

impl Handler<WebhookEnded> for LoftActor {
    type Result = ();

    fn handle(&mut self, WebhookEnded { id, generation, exit }: WebhookEnded, _: &mut Context<Self>) {
        // One that was told to end has left the map already.
        if exit == Exit::Stopped || self.webhooks.get(&id).is_none_or(|slot| slot.generation != generation) {
            return;
        }
        self.webhooks.remove(&id);
        // What it knew of its receiver may be what broke it.
        self.gates.remove(&id);
        let now = self.core.clock.mono();
        if self.restarts.entry(id).or_default().take(now) {
            self.core.meters.webhook_restarts.increment(1);
            tracing::error!(webhook = %id, "a webhook's actor panicked; it is rebuilt from the store");
            self.start(id, &UNKNOWN);
            return;
        }
        self.core.meters.disabled(DisabledReason::Faulted);
        tracing::error!(webhook = %id, "a webhook's actor panicked too often; the webhook is disabled as faulted");
        let directory = Arc::clone(&self.core.directory);
        actix::spawn(async move {
            let fault = directory.update_webhook(id, |webhook| webhook.disabled_reason = Some(DisabledReason::Faulted));
            if let Err(error) = fault.await {
                tracing::error!(webhook = %id, %error, "could not record that the webhook is faulted");
            }
        });
    }
}
