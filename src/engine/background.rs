//! The engine's slow tasks: instances that follow their events, actors that follow the directory, lanes of deleted webhooks.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use super::core::Core;
use super::handle::Lofts;
use super::loft::{Reconfigure, Remove};
use crate::directory::Changed;
use crate::domain::{Effects, InstanceId, InstanceState, WebhookId};
use crate::store::StoreError;

/// Entries of a deleted webhook cancelled at once: small, so that other commits come between.
const CANCEL_STEP: usize = 100;
const WATCH_EVERY: Duration = Duration::from_millis(250);
pub(super) const STORE_AWAY: Duration = Duration::from_secs(1);

/// Moves instances as their `connection.update` and `state.instance` events say, in the order of acceptance.
pub(super) async fn keep_instances(mut effects: mpsc::UnboundedReceiver<(InstanceId, Effects)>, core: Arc<Core>) {
    while let Some((id, effects)) = effects.recv().await {
        let state = match effects.state.as_deref() {
            Some("on") => Some(InstanceState::Active),
            Some("off" | "deleted") => Some(InstanceState::Inactive),
            _ => None,
        };
        let moved = core.directory.update_instance(&id, move |instance| {
            // Only what the event told: the rest may have been changed by somebody meanwhile.
            if let Some(connection) = effects.connection {
                (instance.connection, instance.status_reason) = connection;
            }
            if let Some(state) = state {
                instance.state = state;
            }
        });
        if let Err(error) = moved.await {
            tracing::error!(instance = %id, %error, "could not record the instance's new state");
        }
    }
}

/// Tells actors of changes, and ends those of deleted webhooks.
pub(super) async fn follow_directory(mut changes: mpsc::UnboundedReceiver<Changed>, core: Arc<Core>, lofts: Lofts) {
    while let Some(change) = changes.recv().await {
        match change {
            Changed::Webhook(id) => {
                if let Some(webhook) = core.directory.webhook(id) {
                    lofts.of_owner(&webhook.owner).do_send(Reconfigure(id));
                }
            }
            Changed::WebhookDeleted(id) => {
                let (core, lofts) = (Arc::clone(&core), lofts.clone());
                actix::spawn(async move {
                    for loft in lofts.all() {
                        let (reply, ended) = oneshot::channel();
                        loft.do_send(Remove(id, reply));
                        let _ended = ended.await;
                    }
                    cancel(id, core).await;
                });
            }
            // Routes are looked up for every request, bodies for every attempt: there is nothing to tell.
            Changed::Instance(_) | Changed::InstanceDeleted(_) => {}
        }
    }
}

/// Cancels what a deleted webhook was owed, in small steps beside everything else.
pub(super) async fn cancel(webhook: WebhookId, core: Arc<Core>) {
    core.settler.barrier().await;
    let before = core.store.count_lane(webhook).await.map_or(0, |counts| counts.unfinished());
    loop {
        let began = tokio::time::Instant::now();
        match core.store.cancel_lane(webhook, CANCEL_STEP).await {
            // Everybody writes through the same store: a rest as long as the step leaves half of its time to them.
            Ok(true) => tokio::time::sleep(began.elapsed()).await,
            Ok(false) => {
                let after = core.store.count_lane(webhook).await.map_or(0, |counts| counts.unfinished());
                return core.meters.cancelled.increment(before.saturating_sub(after));
            }
            Err(StoreError::Closed) => return,
            Err(error) => {
                tracing::warn!(%webhook, %error, "could not cancel the deliveries of a deleted webhook; trying again");
                tokio::time::sleep(STORE_AWAY).await;
            }
        }
    }
}

/// Holds the bound on unfinished deliveries, looked at now and then: exact to what is accepted in between.
pub(super) async fn watch_backlog(core: Weak<Core>) {
    loop {
        let Some(core) = core.upgrade() else { return };
        let is_full = core.store.unfinished() >= core.config.max_backlog;
        if core.backlog_is_full.swap(is_full, Ordering::Relaxed) != is_full {
            tracing::warn!(is_full, max_backlog = core.config.max_backlog, "the bound on unfinished deliveries");
        }
        drop(core);
        tokio::time::sleep(WATCH_EVERY).await;
    }
}
