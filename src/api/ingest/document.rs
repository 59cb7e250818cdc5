//! Ingest as the API's document describes it. Requests are not read through these types: see [`super::envelope`].

use serde::Serialize;
use utoipa::ToSchema;

use crate::domain::EventId;

/// One event, or up to `max_events` of them.
#[derive(Serialize, ToSchema, Debug)]
#[serde(untagged)]
pub enum EventInput {
    One(EventEnvelope),
    Many(Vec<EventEnvelope>),
}

/// An event as a caller hands it in. Other fields are ignored.
#[derive(Serialize, ToSchema, Debug)]
#[serde(rename_all = "camelCase")]
pub struct EventEnvelope {
    /// A kind by its wire name or the name of its flag.
    #[schema(example = "messages.upsert")]
    pub event: String,
    /// Any JSON; receivers get exactly these bytes.
    #[schema(value_type = Value, example = json!({"messageId": "3EB0", "content": {"text": "oi"}}))]
    pub data: serde_json::Value,
    /// Makes a repeat within 24 hours harmless.
    #[schema(min_length = 1, max_length = 256)]
    pub id: Option<String>,
    #[schema(format = DateTime, example = "2024-04-14T14:11:05.660Z")]
    pub occurred_at: Option<String>,
}

/// What became of the events of a request.
#[derive(Serialize, ToSchema, Debug)]
pub struct IngestAnswer {
    /// Stored by this request.
    pub accepted: usize,
    /// Seen before, by their `id`; not stored again.
    pub duplicates: usize,
    /// In the order of the request; a duplicate has the id of the first time.
    #[schema(value_type = Vec<String>)]
    pub ids: Vec<EventId>,
}
