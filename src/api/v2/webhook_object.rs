//! A webhook as the API shows it: the vendor's names, ours beside them.

use std::collections::BTreeMap;

use serde::Serialize;
use utoipa::ToSchema;

use crate::api::state::ApiState;
use crate::domain::{EventFlags, EventKind, Ordering, Webhook, WebhookOwner};
use crate::policy::CircuitState;

#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Webhook)]
pub struct WebhookObject {
    pub name: String,
    pub url: String,
    pub enabled: bool,
    #[schema(example = "3fa85f64-5717-4562-b3fc-2c963f66afa6")]
    pub webhook_id: String,
    #[schema(format = DateTime)]
    pub created_at: String,
    #[schema(format = DateTime)]
    pub updated_at: String,
    /// Absent on the webhook of a business.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance_instance_id: Option<String>,
    /// Only on the webhook of a business.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub business_business_id: Option<String>,
    #[serde(rename = "WebhookEvents")]
    pub events: EventsObject,
    /// Extra headers of every request to the receiver.
    pub headers: BTreeMap<String, String>,
    #[schema(example = "codechat")]
    pub format: &'static str,
    /// `whsec_…`, the key of `webhook-signature`. Shown only on creation and rotation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
    pub rate_limit: Option<RateLimitObject>,
    /// The most requests in flight at once.
    pub concurrency: u16,
    #[schema(example = "none")]
    pub ordering: &'static str,
    /// Bounds a whole attempt, connecting included.
    pub timeout_ms: u32,
    pub retry: RetryObject,
    pub filter: FilterObject,
    /// Held back by its owner; its events are kept meanwhile.
    pub paused: bool,
    /// closed, open or probing.
    #[schema(value_type = String, example = "closed")]
    pub circuit: CircuitState,
    /// Why the engine has switched it off: gone, `failing_too_long` or faulted.
    pub disabled_reason: Option<&'static str>,
}

#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = RateLimit)]
pub struct RateLimitObject {
    /// The most starts in any window of `periodMs`.
    #[schema(minimum = 1, maximum = 100_000)]
    pub limit: u32,
    #[schema(minimum = 100, maximum = 3_600_000, default = 1000)]
    pub period_ms: u64,
    /// Starts back to back; `limit` when left out.
    #[schema(minimum = 1, maximum = 100_000)]
    pub burst: u32,
}

#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Retry)]
pub struct RetryObject {
    /// Seconds before the 2nd, 3rd, … attempt.
    #[schema(max_items = 32)]
    pub schedule_seconds: Vec<u32>,
    /// Statuses that end a delivery at once.
    pub give_up_status: Vec<u16>,
}

#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Filter)]
pub struct FilterObject {
    pub ignore_groups: bool,
    pub ignore_status: bool,
    pub ignore_newsletters: bool,
    /// When not empty, only these jids pass.
    #[schema(max_items = 1_000)]
    pub only_chats: Vec<String>,
    #[schema(max_items = 1_000)]
    pub ignore_chats: Vec<String>,
    /// When not empty, of `connection.update` only these states pass: open | connecting | close | refused.
    #[schema(max_items = 4)]
    pub only_connections: Vec<String>,
}

/// Which kinds of events the receiver wants.
#[expect(clippy::struct_excessive_bools, reason = "the vendor's object")]
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = WebhookEvents)]
pub struct EventsObject {
    #[schema(default = true)]
    pub qrcode_update: bool,
    #[schema(default = true)]
    pub state_instance: bool,
    #[schema(default = true)]
    pub messages_set: bool,
    #[schema(default = true)]
    pub messages_upsert: bool,
    #[schema(default = true)]
    pub messages_update: bool,
    #[schema(default = true)]
    pub send_message: bool,
    #[schema(default = true)]
    pub contacts_set: bool,
    #[schema(default = true)]
    pub contacts_upsert: bool,
    #[schema(default = true)]
    pub contacts_update: bool,
    #[schema(default = true)]
    pub presence_update: bool,
    #[schema(default = true)]
    pub chats_set: bool,
    #[schema(default = true)]
    pub chats_update: bool,
    #[schema(default = true)]
    pub chats_upsert: bool,
    #[schema(default = true)]
    pub chats_delete: bool,
    #[schema(default = true)]
    pub groups_upsert: bool,
    #[schema(default = true)]
    pub group_update: bool,
    #[schema(default = true)]
    pub group_participants_update: bool,
    #[schema(default = true)]
    pub connection_update: bool,
    #[schema(default = true)]
    pub new_jwt: bool,
    #[schema(read_only)]
    pub webhook_events_id: String,
    #[schema(format = DateTime, read_only)]
    pub created_at: String,
    #[schema(format = DateTime, read_only)]
    pub updated_at: String,
}

impl EventsObject {
    fn of(webhook: &Webhook) -> Self {
        let flags: EventFlags = webhook.events;
        let on = |kind| flags.contains(kind);
        Self {
            qrcode_update: on(EventKind::QrcodeUpdate),
            state_instance: on(EventKind::StateInstance),
            messages_set: on(EventKind::MessagesSet),
            messages_upsert: on(EventKind::MessagesUpsert),
            messages_update: on(EventKind::MessagesUpdate),
            send_message: on(EventKind::SendMessage),
            contacts_set: on(EventKind::ContactsSet),
            contacts_upsert: on(EventKind::ContactsUpsert),
            contacts_update: on(EventKind::ContactsUpdate),
            presence_update: on(EventKind::PresenceUpdate),
            chats_set: on(EventKind::ChatsSet),
            chats_update: on(EventKind::ChatsUpdate),
            chats_upsert: on(EventKind::ChatsUpsert),
            chats_delete: on(EventKind::ChatsDelete),
            groups_upsert: on(EventKind::GroupsUpsert),
            group_update: on(EventKind::GroupUpdate),
            group_participants_update: on(EventKind::GroupParticipantsUpdate),
            connection_update: on(EventKind::ConnectionUpdate),
            new_jwt: on(EventKind::NewJwt),
            webhook_events_id: webhook.events_id.clone(),
            created_at: webhook.events_created_at.to_rfc3339(),
            updated_at: webhook.events_updated_at.to_rfc3339(),
        }
    }
}

impl WebhookObject {
    /// Without its secret.
    #[must_use]
    pub fn new(webhook: &Webhook, circuit: CircuitState) -> Self {
        let (instance, business) = match &webhook.owner {
            WebhookOwner::Instance(id) => (Some(id.to_string()), None),
            WebhookOwner::Business(id) => (None, Some(id.to_string())),
        };
        Self {
            name: webhook.name.clone(),
            url: webhook.url.clone(),
            enabled: webhook.enabled,
            webhook_id: webhook.id.to_string(),
            created_at: webhook.created_at.to_rfc3339(),
            updated_at: webhook.updated_at.to_rfc3339(),
            instance_instance_id: instance,
            business_business_id: business,
            events: EventsObject::of(webhook),
            headers: webhook.headers.clone(),
            format: webhook.format.as_str(),
            secret: None,
            rate_limit: webhook.rate_limit.map(|rate| RateLimitObject {
                limit: rate.limit,
                period_ms: rate.period_ms,
                burst: rate.burst,
            }),
            concurrency: webhook.concurrency,
            ordering: ordering_name(webhook.ordering),
            timeout_ms: webhook.timeout_ms,
            retry: RetryObject {
                schedule_seconds: webhook.retry.schedule_seconds.clone(),
                give_up_status: webhook.retry.give_up_status.clone(),
            },
            filter: FilterObject {
                ignore_groups: webhook.filter.ignore_groups,
                ignore_status: webhook.filter.ignore_status,
                ignore_newsletters: webhook.filter.ignore_newsletters,
                only_chats: webhook.filter.only_chats.clone(),
                ignore_chats: webhook.filter.ignore_chats.clone(),
                only_connections: webhook
                    .filter
                    .only_connections
                    .iter()
                    .map(|state| state.as_str().to_owned())
                    .collect(),
            },
            paused: webhook.paused,
            circuit,
            disabled_reason: webhook.disabled_reason.map(crate::domain::DisabledReason::as_str),
        }
    }

    /// With what its actor says of the circuit; closed when there is none, for nothing is due then.
    pub async fn current(webhook: &Webhook, state: &ApiState) -> Self {
        let status = state.engine.status(webhook.id).await;
        Self::new(webhook, status.circuit.unwrap_or(CircuitState::Closed))
    }

    #[must_use]
    pub fn with_secret(self, webhook: &Webhook) -> Self {
        Self { secret: Some(webhook.secrets.current.reveal()), ..self }
    }
}

/// The name of an ordering in the API.
#[must_use]
pub const fn ordering_name(ordering: Ordering) -> &'static str {
    match ordering {
        Ordering::None => "none",
        Ordering::Chat => "chat",
        Ordering::Instance => "instance",
    }
}
