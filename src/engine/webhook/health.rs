//! Disables a webhook that is gone or has only failed for days, and tells why.
//!
//! Since when it fails is written to the directory only after it has failed for a while: a receiver that fails now and then costs
//! no write, and a restart does not forget days of failure.

use std::sync::Arc;
use std::time::Duration;

use super::WebhookActor;
use crate::domain::{DisabledReason, Outcome, Timestamp, Webhook};

/// Failing for this long is worth remembering over a restart.
const WORTH_REMEMBERING: Duration = Duration::from_mins(10);

#[derive(Debug)]
pub(super) struct Health {
    failing_since: Option<Timestamp>,
    /// What the directory has on record.
    recorded: Option<Timestamp>,
}

impl Health {
    pub(super) fn new(webhook: &Webhook) -> Self {
        Self { failing_since: webhook.failing_since, recorded: webhook.failing_since }
    }
}

impl WebhookActor {
    pub(super) fn note_health(&mut self, outcome: &Outcome, at: Timestamp) {
        if outcome.is_success() {
            self.health.failing_since = None;
            if self.health.recorded.take().is_some() {
                self.change(|webhook| webhook.failing_since = None);
            }
            return;
        }
        let since = *self.health.failing_since.get_or_insert(at);
        let failing_for = at.since(since);
        if failing_for >= self.room.core.config.disable_after {
            self.disable(DisabledReason::FailingTooLong);
        } else if failing_for >= WORTH_REMEMBERING && self.health.recorded.is_none() {
            self.health.recorded = Some(since);
            self.change(move |webhook| webhook.failing_since = Some(since));
        }
    }

    /// Switches the webhook off; its deliveries are kept.
    pub(super) fn disable(&mut self, reason: DisabledReason) {
        if self.config.disabled_reason.is_some() {
            return;
        }
        self.room.core.meters.disabled(reason);
        tracing::warn!(webhook = %self.config.id, reason = reason.as_str(), "a webhook is disabled; its deliveries are kept");
        // At once for this actor; the directory's word follows with the change.
        Arc::make_mut(&mut self.config).disabled_reason = Some(reason);
        self.change(move |webhook| webhook.disabled_reason = Some(reason));
    }

    fn change(&self, change: impl FnOnce(&mut Webhook) + Send + 'static) {
        let (directory, id) = (Arc::clone(&self.room.core.directory), self.config.id);
        actix::spawn(async move {
            if let Err(error) = directory.update_webhook(id, change).await {
                tracing::error!(webhook = %id, %error, "could not record a change of a webhook's state");
            }
        });
    }
}
