//! The webhook that stands for one URL of the legacy API.

use std::collections::BTreeMap;

use crate::domain::{
    Connection, EventFlags, EventKind, Filter, Format, InstanceId, Ordering, RetryPolicy, Secret, Secrets, ShardId,
    Timestamp, Webhook, WebhookId, WebhookOwner,
};

/// The five URLs of an instance. The vendor publishes the path of `sent` only; the siblings follow its pattern.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LegacyKind {
    Sent,
    Received,
    Status,
    Connected,
    Disconnected,
}

impl LegacyKind {
    pub const ALL: [Self; 5] = [Self::Sent, Self::Received, Self::Status, Self::Connected, Self::Disconnected];

    /// The last segment of its path.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Received => "received",
            Self::Status => "status",
            Self::Connected => "connected",
            Self::Disconnected => "disconnected",
        }
    }

    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }

    const fn event(self) -> EventKind {
        match self {
            Self::Sent => EventKind::SendMessage,
            Self::Received => EventKind::MessagesUpsert,
            Self::Status => EventKind::MessagesUpdate,
            Self::Connected | Self::Disconnected => EventKind::ConnectionUpdate,
        }
    }

    /// `connected` and `disconnected` are fed by one kind of event: its state tells them apart.
    fn connections(self) -> Vec<Connection> {
        match self {
            Self::Connected => vec![Connection::Open],
            Self::Disconnected => vec![Connection::Close],
            Self::Sent | Self::Received | Self::Status => Vec::new(),
        }
    }

    /// Whether `webhook` is the one that stands for this URL, whatever it was renamed to.
    #[must_use]
    pub fn is(self, webhook: &Webhook) -> bool {
        webhook.format == Format::Legacy
            && webhook.events == EventFlags::only(&[self.event()])
            && webhook.filter.only_connections == self.connections()
    }

    /// A new webhook for this URL.
    #[must_use]
    pub fn webhook(self, instance: &InstanceId, url: String, secret: Secret, now: Timestamp) -> Webhook {
        Webhook {
            id: ShardId::of_instance(instance).webhook_id(),
            owner: WebhookOwner::Instance(instance.clone()),
            name: format!("legacy-{}", self.as_str()),
            url,
            enabled: true,
            paused: false,
            disabled_reason: None,
            failing_since: None,
            events: EventFlags::only(&[self.event()]),
            events_id: WebhookId::random().to_string(),
            events_created_at: now,
            events_updated_at: now,
            headers: BTreeMap::new(),
            format: Format::Legacy,
            secrets: Secrets::new(secret),
            rate_limit: None,
            concurrency: Webhook::DEFAULT_CONCURRENCY,
            ordering: Ordering::None,
            timeout_ms: Webhook::DEFAULT_TIMEOUT_MS,
            retry: RetryPolicy::default(),
            filter: Filter { only_connections: self.connections(), ..Filter::default() },
            created_at: now,
            updated_at: now,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn webhook(kind: LegacyKind) -> Webhook {
        let instance = InstanceId::new("loja").unwrap();
        kind.webhook(&instance, "https://example.com".into(), Secret::random().unwrap(), Timestamp::from_millis(1))
    }

    #[test]
    fn each_webhook_stands_for_its_own_url_only() {
        for kind in LegacyKind::ALL {
            assert_eq!(LegacyKind::parse(kind.as_str()), Some(kind));
            for other in LegacyKind::ALL {
                assert_eq!(other.is(&webhook(kind)), other == kind);
            }
        }
    }

    #[test]
    fn connected_gets_open_only_and_disconnected_close_only() {
        let wants = |kind, state| webhook(kind).refuses(EventKind::ConnectionUpdate, None, Some(state)).is_none();
        for (kind, wanted) in [(LegacyKind::Connected, Connection::Open), (LegacyKind::Disconnected, Connection::Close)]
        {
            for state in [Connection::Open, Connection::Connecting, Connection::Close, Connection::Refused] {
                assert_eq!(wants(kind, state), state == wanted, "{kind:?} {state:?}");
            }
        }
        assert!(webhook(LegacyKind::Sent).refuses(EventKind::SendMessage, None, None).is_none());
        assert_eq!(
            webhook(LegacyKind::Sent).refuses(EventKind::MessagesUpsert, None, None),
            Some(crate::domain::HeldBack::Flag)
        );
    }
}
