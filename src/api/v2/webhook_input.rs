//! The parts of a webhook as a caller gives them, for the API's document: every field may be left out or be `null`.
//!
//! Requests are not read through these types: see [`super::webhook_body`], which collects all problems at once.

use utoipa::ToSchema;

use crate::domain::Connection;

/// Which kinds of events the receiver wants; what is left out or `null` stays as it is.
#[derive(Clone, Copy, Debug, ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct EventsInput {
    pub qrcode_update: Option<bool>,
    pub state_instance: Option<bool>,
    pub messages_set: Option<bool>,
    pub messages_upsert: Option<bool>,
    pub messages_update: Option<bool>,
    pub send_message: Option<bool>,
    pub contacts_set: Option<bool>,
    pub contacts_upsert: Option<bool>,
    pub contacts_update: Option<bool>,
    pub presence_update: Option<bool>,
    pub chats_set: Option<bool>,
    pub chats_update: Option<bool>,
    pub chats_upsert: Option<bool>,
    pub chats_delete: Option<bool>,
    pub groups_upsert: Option<bool>,
    pub group_update: Option<bool>,
    pub group_participants_update: Option<bool>,
    pub connection_update: Option<bool>,
    pub new_jwt: Option<bool>,
    /// Another name of `stateInstance`.
    pub status_instance: Option<bool>,
}

#[derive(Clone, Copy, Debug, ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct RateLimitInput {
    /// The most starts in any window of `periodMs`.
    #[schema(minimum = 1, maximum = 100_000)]
    pub limit: u32,
    #[schema(minimum = 100, maximum = 3_600_000, default = 1000)]
    pub period_ms: Option<u64>,
    /// Starts back to back, at most `limit`; `limit` when left out.
    #[schema(minimum = 1, maximum = 100_000)]
    pub burst: Option<u32>,
}

#[derive(Debug, ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct RetryInput {
    /// Seconds before the 2nd, 3rd, … attempt: each at most 604800.
    #[schema(max_items = 32)]
    pub schedule_seconds: Option<Vec<u32>>,
    /// Statuses that end a delivery at once: each from 400 to 599.
    #[schema(max_items = 200)]
    pub give_up_status: Option<Vec<u16>>,
}

#[derive(Debug, ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct FilterInput {
    pub ignore_groups: Option<bool>,
    pub ignore_status: Option<bool>,
    pub ignore_newsletters: Option<bool>,
    /// When not empty, only these jids pass.
    #[schema(max_items = 1_000)]
    pub only_chats: Option<Vec<String>>,
    #[schema(max_items = 1_000)]
    pub ignore_chats: Option<Vec<String>>,
    /// When not empty, of `connection.update` only these states pass: open | connecting | close | refused.
    #[schema(max_items = 4, value_type = Option<Vec<String>>)]
    pub only_connections: Option<Vec<Connection>>,
}
