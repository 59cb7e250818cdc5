//! A receiver and how it wants to be served.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::event::stable_key;
use super::{BusinessId, Chat, Connection, EventFlags, EventKind, InstanceId, Secrets, Timestamp, WebhookId};

/// The body a receiver gets.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    #[default]
    Codechat,
    Legacy,
    CodechatV1,
    Standard,
    Cloudevents,
}

impl Format {
    pub const ALL: [Self; 5] = [Self::Codechat, Self::Legacy, Self::CodechatV1, Self::Standard, Self::Cloudevents];

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Codechat => "codechat",
            Self::Legacy => "legacy",
            Self::CodechatV1 => "codechat-v1",
            Self::Standard => "standard",
            Self::Cloudevents => "cloudevents",
        }
    }
}

/// Which deliveries wait for which.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Ordering {
    #[default]
    None,
    /// The next event of a chat waits until the one before is delivered or dead-lettered.
    Chat,
    /// One event of the instance at a time.
    Instance,
}

/// At most `limit` starts in any window of `period`; up to `burst` of them back to back.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RateLimit {
    pub limit: u32,
    pub period_ms: u64,
    pub burst: u32,
}

/// When to try again, and which answers end the delivery at once.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RetryPolicy {
    /// Seconds before the 2nd, 3rd, … attempt; after the last the delivery is a dead letter.
    pub schedule_seconds: Vec<u32>,
    pub give_up_status: Vec<u16>,
}

impl Default for RetryPolicy {
    /// 5 s, 30 s, 2 min, 10 min, 30 min, 1 h, 2 h, 5 h, 10 h.
    fn default() -> Self {
        Self {
            schedule_seconds: vec![5, 30, 120, 600, 1_800, 3_600, 7_200, 18_000, 36_000],
            give_up_status: Vec::new(),
        }
    }
}

/// The rule that kept an event from a webhook. Stored: append only.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum HeldBack {
    Disabled,
    Flag,
    IgnoreGroups,
    IgnoreStatus,
    IgnoreNewsletters,
    IgnoreChats,
    OnlyChats,
    OnlyConnections,
    /// The webhook's format has no body for this event.
    Format,
}

/// Events this webhook does not want although their kind is on.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Filter {
    pub ignore_groups: bool,
    pub ignore_status: bool,
    pub ignore_newsletters: bool,
    /// When not empty, only these jids pass; events without a chat always pass.
    pub only_chats: Vec<String>,
    pub ignore_chats: Vec<String>,
    /// When not empty, of `connection.update` only these states pass: the legacy API has one URL for `open`, another for `close`.
    pub only_connections: Vec<Connection>,
}

impl Filter {
    /// Why an event about `chat` is held back; `None` when it passes.
    #[must_use]
    pub fn refuses(&self, chat: Option<&Chat>) -> Option<HeldBack> {
        let chat = chat?;
        let listed = |list: &[String]| list.iter().any(|jid| **jid == *chat.jid);
        match () {
            () if self.ignore_groups && chat.is_group() => Some(HeldBack::IgnoreGroups),
            () if self.ignore_status && chat.is_status() => Some(HeldBack::IgnoreStatus),
            () if self.ignore_newsletters && chat.is_newsletter() => Some(HeldBack::IgnoreNewsletters),
            () if listed(&self.ignore_chats) => Some(HeldBack::IgnoreChats),
            () if !self.only_chats.is_empty() && !listed(&self.only_chats) => Some(HeldBack::OnlyChats),
            () => None,
        }
    }

    /// As [`Self::refuses`], for a `connection.update` that tells `state`.
    #[must_use]
    pub fn refuses_connection(&self, state: Option<Connection>) -> Option<HeldBack> {
        let passes =
            self.only_connections.is_empty() || state.is_some_and(|state| self.only_connections.contains(&state));
        if passes { None } else { Some(HeldBack::OnlyConnections) }
    }
}

/// Why the engine, not the owner, switched a webhook off.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DisabledReason {
    /// The receiver answered 410 Gone.
    Gone,
    /// Nothing but failures for the configured time (5 days by default).
    FailingTooLong,
    /// Its actor failed more often than its restart budget allows.
    Faulted,
}

impl DisabledReason {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Gone => "gone",
            Self::FailingTooLong => "failing_too_long",
            Self::Faulted => "faulted",
        }
    }
}

/// Whose events a webhook receives.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum WebhookOwner {
    Instance(InstanceId),
    /// Every event of all instances of the business.
    Business(BusinessId),
}

/// One receiver URL.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Webhook {
    pub id: WebhookId,
    pub owner: WebhookOwner,
    pub name: String,
    pub url: String,
    pub enabled: bool,
    pub paused: bool,
    pub disabled_reason: Option<DisabledReason>,
    /// Since when there have been nothing but failures, once that has lasted long enough to be worth recording.
    #[serde(default)]
    pub failing_since: Option<Timestamp>,
    pub events: EventFlags,
    pub events_id: String,
    pub events_created_at: Timestamp,
    pub events_updated_at: Timestamp,
    pub headers: BTreeMap<String, String>,
    pub format: Format,
    pub secrets: Secrets,
    pub rate_limit: Option<RateLimit>,
    /// The most requests in flight at once.
    pub concurrency: u16,
    pub ordering: Ordering,
    /// Bounds a whole attempt, connecting included.
    pub timeout_ms: u32,
    pub retry: RetryPolicy,
    pub filter: Filter,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

impl Webhook {
    pub const DEFAULT_CONCURRENCY: u16 = 32;
    pub const MAX_CONCURRENCY: u16 = 1_024;
    pub const DEFAULT_TIMEOUT_MS: u32 = 15_000;

    #[must_use]
    pub const fn timeout(&self) -> Duration {
        Duration::from_millis(self.timeout_ms as u64)
    }

    /// Whether deliveries are made for it now.
    #[must_use]
    pub const fn is_delivering(&self) -> bool {
        self.enabled && !self.paused && self.disabled_reason.is_none()
    }

    /// Lifts what the engine switched off, and forgets the failures that led to it: it gets its full time again.
    pub fn revive(&mut self) {
        if self.disabled_reason.take().is_some() {
            self.failing_since = None;
        }
    }

    /// Why an event is not owed to this webhook; `None` when it is. A paused webhook is still owed its events,
    /// one that the engine disabled keeps collecting them, one that its owner switched off is not.
    /// `connection` is what a `connection.update` tells; other kinds have none.
    #[must_use]
    pub fn refuses(&self, kind: EventKind, chat: Option<&Chat>, connection: Option<Connection>) -> Option<HeldBack> {
        match () {
            () if !self.enabled => Some(HeldBack::Disabled),
            () if !self.events.contains(kind) => Some(HeldBack::Flag),
            () if kind == EventKind::ConnectionUpdate => self.filter.refuses_connection(connection),
            () => self.filter.refuses(chat),
        }
    }

    /// The key whose deliveries wait for each other; 0 when nothing waits. A status that names its message but no chat
    /// waits for the other states of that message: an older one never comes last.
    #[must_use]
    pub fn order_key(&self, chat: Option<&Chat>, message_id: Option<&str>) -> u64 {
        match self.ordering {
            Ordering::None => 0,
            Ordering::Chat => chat.map(Chat::key).or_else(|| message_id.map(stable_key)).unwrap_or(0),
            Ordering::Instance => 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chat(jid: &str) -> Chat {
        Chat { jid: jid.into() }
    }

    #[test]
    fn filters_name_the_rule_that_held_an_event_back() {
        let filter =
            Filter { ignore_groups: true, ignore_status: true, only_chats: vec!["a@s".into()], ..Filter::default() };
        assert_eq!(filter.refuses(Some(&chat("1@g.us"))), Some(HeldBack::IgnoreGroups));
        assert_eq!(filter.refuses(Some(&chat("status@broadcast"))), Some(HeldBack::IgnoreStatus));
        assert_eq!(filter.refuses(Some(&chat("b@s"))), Some(HeldBack::OnlyChats));
        assert_eq!(filter.refuses(Some(&chat("a@s"))), None);
        assert_eq!(filter.refuses(None), None, "an event without a chat is not about a filtered chat");
    }
    #[test]
    fn a_connection_filter_passes_its_states_only() {
        let filter = Filter { only_connections: vec![Connection::Open], ..Filter::default() };
        assert_eq!(filter.refuses_connection(Some(Connection::Open)), None);
        assert_eq!(filter.refuses_connection(Some(Connection::Close)), Some(HeldBack::OnlyConnections));
        assert_eq!(filter.refuses_connection(None), Some(HeldBack::OnlyConnections));
        assert_eq!(Filter::default().refuses_connection(None), None);
    }
}
