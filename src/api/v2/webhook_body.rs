//! What a caller may set of a webhook, checked as a whole, then applied: only what was given changes.

use std::collections::BTreeMap;

use utoipa::ToSchema;

use super::webhook_fields::{URL_RULE, read_flags, read_headers, read_rate_limit, read_secret, set_flags, url_text};
use super::webhook_input::{EventsInput, FilterInput, RateLimitInput, RetryInput};
use super::webhook_object::ordering_name;
use crate::api::state::ApiState;
use crate::api::validate::{Fields, FromFields, Given, NAME_RULE, name};
use crate::domain::{
    Connection, EventFlags, EventKind, Filter, Format, Ordering, RateLimit, RetryPolicy, Secret, Secrets, ShardId,
    Timestamp, Webhook, WebhookOwner,
};
use crate::transport::Target;

const MAX_CHATS: usize = 1_000;

/// What may be set of a webhook. `null` sets a field of ours back to its default.
#[derive(Debug, ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct WebhookBody {
    #[schema(value_type = String, min_length = 1, max_length = 256)]
    pub name: Option<String>,
    /// Required on creation.
    #[schema(value_type = Option<String>, example = "https://example.com/hook")]
    pub url: Option<String>,
    pub enabled: Option<bool>,
    #[schema(rename = "WebhookEvents", value_type = Option<EventsInput>)]
    pub events: Vec<(EventKind, bool)>,
    #[schema(value_type = Option<BTreeMap<String, String>>)]
    pub headers: Given<BTreeMap<String, String>>,
    #[schema(value_type = Option<String>, example = "codechat")]
    pub format: Given<Format>,
    #[schema(value_type = Option<RateLimitInput>)]
    pub rate_limit: Given<RateLimit>,
    #[schema(value_type = Option<u16>, minimum = 1, maximum = 1_024)]
    pub concurrency: Given<u16>,
    #[schema(value_type = Option<String>, example = "none")]
    pub ordering: Given<Ordering>,
    #[schema(value_type = Option<u32>, minimum = 100, maximum = 120_000)]
    pub timeout_ms: Given<u32>,
    #[schema(value_type = Option<RetryInput>)]
    pub retry: Given<RetryChange>,
    #[schema(value_type = Option<FilterInput>)]
    pub filter: Given<FilterChange>,
}

/// The body of a webhook's creation: as for PUT, with the URL required and a secret of the caller's choice.
#[derive(Debug)]
pub struct NewWebhookBody {
    pub settings: WebhookBody,
    pub secret: Option<Secret>,
}

#[derive(Debug, Default)]
pub struct RetryChange {
    schedule_seconds: Given<Vec<u32>>,
    give_up_status: Given<Vec<u16>>,
}

#[derive(Debug, Default)]
pub struct FilterChange {
    ignore_groups: Option<bool>,
    ignore_status: Option<bool>,
    ignore_newsletters: Option<bool>,
    only_chats: Given<Vec<String>>,
    ignore_chats: Given<Vec<String>>,
    only_connections: Given<Vec<Connection>>,
}

impl FromFields for WebhookBody {
    fn read(fields: &mut Fields<'_>, state: &ApiState) -> Self {
        let name = fields.required("name", NAME_RULE, name);
        let url = fields.optional("url", URL_RULE, url_text);
        Self::read_rest(fields, state, name, url)
    }
}

impl FromFields for NewWebhookBody {
    fn read(fields: &mut Fields<'_>, state: &ApiState) -> Self {
        let name = fields.required("name", NAME_RULE, name);
        let url = fields.required("url", URL_RULE, url_text);
        let secret = read_secret(fields);
        Self { settings: WebhookBody::read_rest(fields, state, name, url), secret }
    }
}

impl WebhookBody {
    fn read_rest(fields: &mut Fields<'_>, state: &ApiState, name: Option<String>, url: Option<String>) -> Self {
        if let Some(Err(problem)) = url.as_deref().map(|url| Target::parse(url, &state.targets)) {
            fields.problem("url", format_args!("is not accepted: {problem}"));
        }
        let formats = Format::ALL.map(Format::as_str).join(", ");
        Self {
            name,
            url,
            enabled: fields.boolean("enabled"),
            events: fields.object("WebhookEvents", read_flags).value().unwrap_or_default(),
            headers: fields.object("headers", read_headers),
            format: fields.choice("format", &formats, |text| Format::ALL.into_iter().find(|f| f.as_str() == text)),
            rate_limit: fields.object("rateLimit", read_rate_limit),
            concurrency: fields.integer("concurrency", 1..=u64::from(Webhook::MAX_CONCURRENCY)).map(|n| n as u16),
            ordering: fields.choice("ordering", "none, chat, instance", |text| {
                [Ordering::None, Ordering::Chat, Ordering::Instance].into_iter().find(|o| ordering_name(*o) == text)
            }),
            timeout_ms: fields.integer("timeoutMs", 100..=120_000).map(|n| n as u32),
            retry: fields.object("retry", |fields| RetryChange {
                schedule_seconds: fields
                    .integers("scheduleSeconds", 32, 0..=604_800)
                    .map(|all| all.into_iter().map(|n| n as u32).collect()),
                give_up_status: fields
                    .integers("giveUpStatus", 200, 400..=599)
                    .map(|all| all.into_iter().map(|n| n as u16).collect()),
            }),
            filter: fields.object("filter", |fields| FilterChange {
                ignore_groups: fields.boolean("ignoreGroups"),
                ignore_status: fields.boolean("ignoreStatus"),
                ignore_newsletters: fields.boolean("ignoreNewsletters"),
                only_chats: fields.texts("onlyChats", MAX_CHATS, 128),
                ignore_chats: fields.texts("ignoreChats", MAX_CHATS, 128),
                only_connections: fields.given(
                    "onlyConnections",
                    "must be an array of open, connecting, close, refused",
                    |value| serde_json::from_value(value).ok().filter(|states: &Vec<_>| states.len() <= 4),
                ),
            }),
        }
    }

    /// Changes what was given. Switching a webhook on also lifts the engine's reason for having switched it off.
    pub fn apply(self, webhook: &mut Webhook, now: Timestamp) {
        if let Some(name) = self.name {
            webhook.name = name;
        }
        if let Some(url) = self.url {
            webhook.url = url;
        }
        if let Some(enabled) = self.enabled {
            webhook.enabled = enabled;
            if enabled {
                webhook.revive();
            }
        }
        set_flags(webhook, &self.events, now);
        self.headers.store(&mut webhook.headers, BTreeMap::new);
        self.format.store(&mut webhook.format, Format::default);
        match self.rate_limit {
            Given::Absent => {}
            Given::Null => webhook.rate_limit = None,
            Given::Value(rate) => webhook.rate_limit = Some(rate),
        }
        self.concurrency.store(&mut webhook.concurrency, || Webhook::DEFAULT_CONCURRENCY);
        self.ordering.store(&mut webhook.ordering, Ordering::default);
        self.timeout_ms.store(&mut webhook.timeout_ms, || Webhook::DEFAULT_TIMEOUT_MS);
        match self.retry {
            Given::Absent => {}
            Given::Null => webhook.retry = RetryPolicy::default(),
            Given::Value(change) => {
                let default = || RetryPolicy::default().schedule_seconds;
                change.schedule_seconds.store(&mut webhook.retry.schedule_seconds, default);
                change.give_up_status.store(&mut webhook.retry.give_up_status, Vec::new);
            }
        }
        match self.filter {
            Given::Absent => {}
            Given::Null => webhook.filter = Filter::default(),
            Given::Value(change) => change.apply(&mut webhook.filter),
        }
    }
}

impl FilterChange {
    fn apply(self, filter: &mut Filter) {
        filter.ignore_groups = self.ignore_groups.unwrap_or(filter.ignore_groups);
        filter.ignore_status = self.ignore_status.unwrap_or(filter.ignore_status);
        filter.ignore_newsletters = self.ignore_newsletters.unwrap_or(filter.ignore_newsletters);
        self.only_chats.store(&mut filter.only_chats, Vec::new);
        self.ignore_chats.store(&mut filter.ignore_chats, Vec::new);
        self.only_connections.store(&mut filter.only_connections, Vec::new);
    }
}

/// A webhook with every default of the vendor and of ours: not enabled, all flags on.
#[must_use]
pub fn fresh_webhook(owner: WebhookOwner, secret: Secret, now: Timestamp) -> Webhook {
    Webhook {
        id: ShardId::of_owner(&owner).webhook_id(),
        owner,
        name: String::new(),
        url: String::new(),
        enabled: false,
        paused: false,
        disabled_reason: None,
        failing_since: None,
        events: EventFlags::ALL,
        events_id: uuid::Uuid::new_v4().to_string(),
        events_created_at: now,
        events_updated_at: now,
        headers: BTreeMap::new(),
        format: Format::default(),
        secrets: Secrets::new(secret),
        rate_limit: None,
        concurrency: Webhook::DEFAULT_CONCURRENCY,
        ordering: Ordering::default(),
        timeout_ms: Webhook::DEFAULT_TIMEOUT_MS,
        retry: RetryPolicy::default(),
        filter: Filter::default(),
        created_at: now,
        updated_at: now,
    }
}
