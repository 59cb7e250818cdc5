//! Single turns of a webhook: its flags, pause and resume, a new secret.

use std::time::Duration;

use actix_web::HttpResponse;
use actix_web::web::Data;
use utoipa::ToSchema;

use super::webhook_fields::{read_flags, read_secret, set_flags};
use super::webhook_input::EventsInput;
use super::webhook_object::WebhookObject;
use crate::api::access::WebhookAccess;
use crate::api::error::ApiError;
use crate::api::json::Json;
use crate::api::state::ApiState;
use crate::api::validate::{Fields, FromFields};
use crate::domain::{EventKind, Secret, Secrets, Timestamp, Webhook, WebhookId};

const DAY_S: u64 = 86_400;

/// Any subset of the flags.
#[derive(Debug)]
pub struct Flags(Vec<(EventKind, bool)>);

impl FromFields for Flags {
    fn read(fields: &mut Fields<'_>, _: &ApiState) -> Self {
        Self(read_flags(fields))
    }
}

/// The body of a rotation; may be left out.
#[derive(Debug, ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct Rotation {
    /// How long the old secret signs as well.
    #[schema(value_type = Option<u32>, maximum = 604_800, default = 86_400)]
    pub overlap_seconds: u64,
    /// `whsec_` and base64 of 24 to 64 bytes; made when left out.
    #[schema(value_type = Option<String>)]
    pub secret: Option<Secret>,
}

impl FromFields for Rotation {
    const MAY_BE_EMPTY: bool = true;

    fn read(fields: &mut Fields<'_>, _: &ApiState) -> Self {
        let overlap_seconds = fields.integer("overlapSeconds", 0..=7 * DAY_S).value().unwrap_or(DAY_S);
        Self { overlap_seconds, secret: read_secret(fields) }
    }
}

/// Choose the kinds of events; flags left out stay. `statusInstance` is another name of `stateInstance`.
#[utoipa::path(patch, path = "/api/v2/instance/{instanceId}/webhook/{webhookId}/events", tag = "webhook",
    params(("instanceId" = String, Path), ("webhookId" = String, Path, format = "uuid")), request_body = EventsInput,
    security(("bearer" = []), ("apikey" = [])), responses((status = 200, body = WebhookObject), ApiError))]
pub async fn set_events(
    access: WebhookAccess,
    state: Data<ApiState>,
    body: Json<Flags>,
) -> Result<HttpResponse, ApiError> {
    let now = Timestamp::now();
    turn(&state, access.webhook.id, |webhook| set_flags(webhook, &body.0.0, now)).await
}

/// Hold deliveries back; events are kept meanwhile.
#[utoipa::path(post, path = "/api/v2/instance/{instanceId}/webhook/{webhookId}/pause", tag = "webhook",
    params(("instanceId" = String, Path), ("webhookId" = String, Path, format = "uuid")),
    security(("bearer" = []), ("apikey" = [])), responses((status = 200, body = WebhookObject), ApiError))]
pub async fn pause(access: WebhookAccess, state: Data<ApiState>) -> Result<HttpResponse, ApiError> {
    turn(&state, access.webhook.id, |webhook| webhook.paused = true).await
}

/// Deliver again, also when the engine had switched the webhook off.
#[utoipa::path(post, path = "/api/v2/instance/{instanceId}/webhook/{webhookId}/resume", tag = "webhook",
    params(("instanceId" = String, Path), ("webhookId" = String, Path, format = "uuid")),
    security(("bearer" = []), ("apikey" = [])), responses((status = 200, body = WebhookObject), ApiError))]
pub async fn resume(access: WebhookAccess, state: Data<ApiState>) -> Result<HttpResponse, ApiError> {
    turn(&state, access.webhook.id, |webhook| {
        webhook.paused = false;
        webhook.revive();
    })
    .await
}

/// Sign with a new secret, for a while with the old one as well. The new one is in this answer only.
#[utoipa::path(post, path = "/api/v2/instance/{instanceId}/webhook/{webhookId}/secret/rotate", tag = "webhook",
    params(("instanceId" = String, Path), ("webhookId" = String, Path, format = "uuid")), request_body = Option<Rotation>,
    security(("bearer" = []), ("apikey" = [])), responses((status = 200, body = WebhookObject), ApiError))]
pub async fn rotate_secret(
    access: WebhookAccess,
    state: Data<ApiState>,
    body: Json<Rotation>,
) -> Result<HttpResponse, ApiError> {
    let Json(Rotation { overlap_seconds, secret }) = body;
    let secret = match secret {
        Some(secret) => secret,
        None => Secret::random().map_err(|_| ApiError::Internal("no randomness for a secret".to_owned()))?,
    };
    let until = Timestamp::now().after(Duration::from_secs(overlap_seconds));
    let webhook = change(&state, access.webhook.id, |webhook| {
        let old = std::mem::replace(&mut webhook.secrets, Secrets::new(secret)).current;
        webhook.secrets.previous = (overlap_seconds > 0).then_some((old, until));
    })
    .await?;
    Ok(HttpResponse::Ok().json(WebhookObject::current(&webhook, &state).await.with_secret(&webhook)))
}

async fn turn(
    state: &ApiState,
    id: WebhookId,
    how: impl FnOnce(&mut Webhook) + Send,
) -> Result<HttpResponse, ApiError> {
    let webhook = change(state, id, how).await?;
    Ok(HttpResponse::Ok().json(WebhookObject::current(&webhook, state).await))
}

async fn change(
    state: &ApiState,
    id: WebhookId,
    how: impl FnOnce(&mut Webhook) + Send,
) -> Result<std::sync::Arc<Webhook>, ApiError> {
    state.directory.update_webhook(id, how).await?.ok_or_else(|| ApiError::not_found("webhook"))
}
