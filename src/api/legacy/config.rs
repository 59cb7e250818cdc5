//! `PUT /api/config/{sent|received|status|connected|disconnected}`: where one kind of notification goes.

use actix_web::HttpRequest;
use actix_web::web::{Data, Json, Payload};
use serde::Deserialize;
use tokio::sync::Mutex;
use utoipa::ToSchema;

use super::answer::{Failure, LegacyError, Success};
use super::instance;
use super::webhook::LegacyKind;
use crate::api::access::parse_segment;
use crate::api::body;
use crate::api::error::ApiError;
use crate::api::state::ApiState;
use crate::domain::{Instance, Secret, Timestamp};
use crate::store::DirectoryChange;
use crate::transport::Target;

/// Held from looking for a webhook until it is made, or two requests at once would make two.
#[derive(Debug, Default)]
pub struct ConfigLock(Mutex<()>);

/// Where to send.
#[derive(Deserialize, ToSchema, Debug)]
pub struct ConfigInput {
    #[serde(rename = "URL")]
    #[schema(example = "https://example.com/hooks/sent")]
    pub url: String,
}

/// Sets where one kind of notification goes.
#[utoipa::path(
    put,
    path = "/api/config/{kind}",
    operation_id = "legacyConfig",
    tag = "legacy",
    params(
        ("kind" = String, Path, description = "sent | received | status | connected | disconnected"),
        ("apiKey" = String, Header, description = "An instance, business or admin token."),
        ("id" = String, Header, description = "The instance's id."),
    ),
    request_body = ConfigInput,
    security(()),
    responses(
        (status = 200, body = Success),
        (status = 400, description = "Unknown instance, or a URL that cannot be used.", body = Failure),
        (status = 401, description = "Wrong apiKey.", body = Failure),
        (status = 404, description = "Unknown kind.", body = Failure),
        (status = 409, description = "The instance has as many webhooks as it may.", body = Failure),
        (status = 413, body = Failure),
        (status = 415, body = Failure),
        (status = 500, body = Failure),
        (status = 503, body = Failure),
    ),
)]
pub async fn config(
    request: HttpRequest,
    payload: Payload,
    state: Data<ApiState>,
    lock: Data<ConfigLock>,
) -> Result<Json<Success>, LegacyError> {
    let kind: String = parse_segment(&request, "kind")?;
    let kind = LegacyKind::parse(&kind).ok_or_else(|| LegacyError::not_found("Unknown webhook"))?;
    let instance = instance(&request, &state)?;
    let url = read_url(&request, payload, &state).await?;
    let _one_at_a_time = lock.0.lock().await;
    set(&state, &instance, kind, url).await?;
    Ok(Json(Success { success: "Webhook URL updated successfully!".to_owned() }))
}

async fn read_url(request: &HttpRequest, payload: Payload, state: &ApiState) -> Result<String, LegacyError> {
    let max = state.limits.max_body_bytes;
    let (body, _share) = body::read(payload, request.headers(), max, &state.intake).await?;
    // A type error of serde names the position in the body, which tells nothing: one sentence says what is wanted.
    let wanted = || LegacyError::bad_request("The body must be a JSON object with URL, a text");
    let input: ConfigInput = serde_json::from_slice(&body).map_err(|_| wanted())?;
    Target::parse(&input.url, &state.targets).map_err(LegacyError::bad_request)?;
    Ok(input.url)
}

async fn set(state: &ApiState, instance: &Instance, kind: LegacyKind, url: String) -> Result<(), ApiError> {
    let now = Timestamp::now();
    let webhooks = state.directory.webhooks_of_instance(&instance.id);
    if let Some(webhook) = webhooks.iter().find(|webhook| kind.is(webhook)) {
        let update = |webhook: &mut crate::domain::Webhook| {
            webhook.url = url;
            webhook.enabled = true;
            webhook.revive();
            webhook.updated_at = now;
        };
        state.directory.update_webhook(webhook.id, update).await?;
        return Ok(());
    }
    if webhooks.len() >= state.limits.max_webhooks_per_instance {
        let most = state.limits.max_webhooks_per_instance;
        return Err(ApiError::Conflict(format!("an instance has at most {most} webhooks; delete one first")));
    }
    let secret = Secret::random().map_err(|_| ApiError::Internal("no randomness for a secret".to_owned()))?;
    let webhook = kind.webhook(&instance.id, url, secret, now);
    Ok(state.directory.apply(vec![DirectoryChange::PutWebhook(Box::new(webhook))]).await?)
}
