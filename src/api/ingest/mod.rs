//! Where gateways hand events in: `POST /api/v2/instance/{instanceId}/events`.
//!
//! - 202 is answered after the events are durable, never before (P1).
//! - A request is taken whole or not at all: one bad entry, a body that breaks off, a bound that is passed, and nothing is stored.
//! - `data` reaches receivers byte for byte as it came.

pub mod depth;
pub mod document;
pub mod envelope;
pub mod limits;
pub mod parse;
pub mod traceparent;

use actix_web::http::header::CONTENT_TYPE;
use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse, web};
use bytes::Bytes;

use self::document::{EventInput, IngestAnswer};
use self::limits::IngestLimits;
use self::parse::{Media, ParseError, check_id, parse_events};
use super::access::InstanceAccess;
use super::body;
use super::error::ApiError;
use super::intake::Share;
use super::state::ApiState;
use crate::domain::{NewEvent, Timestamp};
use crate::format::inspect;

/// A longer body is parsed on the pool for blocking work: it would hold up the other connections of its thread.
const INLINE_PARSE_BYTES: usize = 256 << 10;

/// Hands in one event, an array of events, or one event a line.
///
/// Answered after the events are durable. Taken whole or not at all. An `id` (or `Idempotency-Key`) makes a repeat
/// within 24 hours harmless: it is answered with the id of the first time.
#[utoipa::path(
    post,
    path = "/api/v2/instance/{instanceId}/events",
    operation_id = "ingestEvents",
    tag = "events",
    params(
        ("instanceId" = String, Path, description = "The instance the events happened on."),
        ("Idempotency-Key" = Option<String>, Header, max_length = 256, description = "Stands for `id` of a single event."),
        ("traceparent" = Option<String>, Header, description = "W3C trace context; passed on to the deliveries."),
        ("Content-Encoding" = Option<String>, Header, description = "gzip or zstd."),
    ),
    request_body(content(
        (EventInput = "application/json"),
        (String = "application/x-ndjson", example = "{\"event\":\"messages.upsert\",\"data\":{}}\n"),
    )),
    responses((status = 202, description = "All events are durable.", body = IngestAnswer), ApiError),
)]
pub async fn ingest(
    InstanceAccess(instance): InstanceAccess,
    request: HttpRequest,
    payload: Payload,
    state: Data<ApiState>,
    limits: Data<IngestLimits>,
) -> Result<HttpResponse, ApiError> {
    let taken = take(&request, payload, &state, &limits).await;
    let (events, _share) = taken.inspect_err(|error| state.engine.note_refused(reason(error)))?;
    let accepted = state.engine.ingest(&instance.id, events).await?;
    Ok(HttpResponse::Accepted().json(IngestAnswer {
        accepted: accepted.ids.len().saturating_sub(accepted.duplicates),
        duplicates: accepted.duplicates,
        ids: accepted.ids,
    }))
}

/// The events of a request, with the share of the intake that their bodies take.
async fn take(
    request: &HttpRequest,
    payload: Payload,
    state: &ApiState,
    limits: &IngestLimits,
) -> Result<(Vec<NewEvent>, Share), ApiError> {
    let media = media(request)?;
    let (body, share) = body::read(payload, request.headers(), limits.max_body_bytes, &state.intake).await?;
    let now = Timestamp::now();
    let bounds = *limits;
    let mut events = if body.len() <= INLINE_PARSE_BYTES {
        read_events(&body, media, &bounds, now)?
    } else {
        web::block(move || read_events(&body, media, &bounds, now))
            .await
            .map_err(|error| ApiError::Internal(format!("parsing a large request: {error}")))??
    };
    apply_headers(request, &mut events, limits)?;
    Ok((events, share))
}

/// For the metric of refusals.
fn reason(error: &ApiError) -> &'static str {
    match error {
        ApiError::TooLarge(_) => "too_large",
        ApiError::UnsupportedMedia(_) => "unsupported",
        ApiError::Unavailable { .. } | ApiError::TooManyRequests { .. } => "crowded",
        _ => "invalid",
    }
}

fn media(request: &HttpRequest) -> Result<Media, ApiError> {
    let content_type = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    Media::parse(content_type).ok_or_else(|| {
        ApiError::UnsupportedMedia("Content-Type must be application/json or application/x-ndjson".to_owned())
    })
}

fn read_events(body: &Bytes, media: Media, limits: &IngestLimits, now: Timestamp) -> Result<Vec<NewEvent>, ParseError> {
    let mut events = parse_events(body, media, limits)?;
    for event in &mut events {
        (event.chat, event.effects) = inspect(event.kind, &event.data, now).split();
    }
    Ok(events)
}

fn apply_headers(request: &HttpRequest, events: &mut [NewEvent], limits: &IngestLimits) -> Result<(), ApiError> {
    if let Some(key) = request.headers().get("idempotency-key") {
        let key = key.to_str().map_err(|_| ApiError::bad_request("Idempotency-Key must be visible ASCII"))?;
        apply_key(key, events, limits).map_err(ApiError::bad_request)?;
    }
    let traceparent = request.headers().get("traceparent").and_then(|value| value.to_str().ok());
    if let Some(traceparent) = traceparent.filter(|text| traceparent::is_well_formed(text)) {
        for event in events {
            event.traceparent = Some(traceparent.into());
        }
    }
    Ok(())
}

fn apply_key(key: &str, events: &mut [NewEvent], limits: &IngestLimits) -> Result<(), String> {
    check_id("Idempotency-Key", key, limits)?;
    let [event] = events else {
        return Err("Idempotency-Key is for a single event; give each event of a batch its own id".to_owned());
    };
    match &event.client_id {
        Some(id) if **id != *key => Err("Idempotency-Key and id differ; send one of them".to_owned()),
        _ => {
            event.client_id = Some(key.into());
            Ok(())
        }
    }
}

impl From<ParseError> for ApiError {
    fn from(error: ParseError) -> Self {
        match error {
            ParseError::Invalid(sentences) => Self::BadRequest(sentences),
            ParseError::TooMany { .. } => Self::TooLarge(error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(entries: &[&str]) -> Vec<NewEvent> {
        let body = Bytes::from(format!("[{}]", entries.join(",")));
        parse_events(&body, Media::Json, &IngestLimits::default()).unwrap()
    }

    #[test]
    fn an_idempotency_key_stands_for_the_id_of_one_event() {
        let limits = IngestLimits::default();
        let mut one = events(&[r#"{"event":"new.jwt","data":1}"#]);
        assert_eq!(apply_key("k-1", &mut one, &limits), Ok(()));
        assert_eq!(one[0].client_id.as_deref(), Some("k-1"));
        assert!(apply_key("k-2", &mut one, &limits).unwrap_err().contains("differ"));
        assert_eq!(apply_key("k-1", &mut one, &limits), Ok(()));
        let entry = r#"{"event":"new.jwt","data":1}"#;
        assert!(apply_key("k", &mut events(&[entry, entry]), &limits).unwrap_err().contains("single event"));
        assert!(apply_key(&"k".repeat(257), &mut one, &limits).unwrap_err().contains("256"));
    }
}
