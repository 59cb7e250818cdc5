//! The webhooks of an instance: made, listed, changed, deleted.

use actix_web::HttpResponse;
use actix_web::web::Data;

use super::webhook_body::{NewWebhookBody, WebhookBody, fresh_webhook};
use super::webhook_object::WebhookObject;
use crate::api::access::{InstanceAccess, WebhookAccess};
use crate::api::error::ApiError;
use crate::api::json::Json;
use crate::api::state::ApiState;
use crate::domain::{Secret, Timestamp, WebhookOwner};
use crate::policy::CircuitState;
use crate::store::DirectoryChange;

/// Add a webhook to the instance. Its secret is in this answer only.
#[utoipa::path(post, path = "/api/v2/instance/{instanceId}/webhook", tag = "webhook",
    params(("instanceId" = String, Path)), request_body = WebhookBody, security(("bearer" = []), ("apikey" = [])),
    responses((status = 201, body = WebhookObject), ApiError))]
pub async fn create(
    instance: InstanceAccess,
    state: Data<ApiState>,
    body: Json<NewWebhookBody>,
) -> Result<HttpResponse, ApiError> {
    let Json(NewWebhookBody { settings, secret }) = body;
    let secret = match secret {
        Some(secret) => secret,
        None => Secret::random().map_err(|_| ApiError::Internal("no randomness for a secret".to_owned()))?,
    };
    let (id, now, max) = (&instance.0.id, Timestamp::now(), state.limits.max_webhooks_per_instance);
    let mut webhook = fresh_webhook(WebhookOwner::Instance(id.clone()), secret, now);
    settings.apply(&mut webhook, now);
    let answer = WebhookObject::new(&webhook, CircuitState::Closed).with_secret(&webhook);
    state
        .directory
        .transact(|records| {
            if records.instance(id).is_none() {
                return Err(ApiError::not_found("instance"));
            }
            if records.webhooks_of(id).len() >= max {
                let text = format!("the instance has {max} webhooks, the most allowed: delete one first");
                return Err(ApiError::Unprocessable(text));
            }
            Ok((vec![DirectoryChange::PutWebhook(Box::new(webhook))], ()))
        })
        .await?;
    Ok(HttpResponse::Created().json(answer))
}

/// The webhooks of the instance, oldest first.
#[utoipa::path(get, path = "/api/v2/instance/{instanceId}/webhook", tag = "webhook",
    params(("instanceId" = String, Path)), security(("bearer" = []), ("apikey" = [])),
    responses((status = 200, body = Vec<WebhookObject>), ApiError))]
pub async fn list(instance: InstanceAccess, state: Data<ApiState>) -> HttpResponse {
    let mut all = Vec::new();
    for webhook in state.directory.webhooks_of_instance(&instance.0.id) {
        all.push(WebhookObject::current(&webhook, &state).await);
    }
    HttpResponse::Ok().json(all)
}

/// One webhook.
#[utoipa::path(get, path = "/api/v2/instance/{instanceId}/webhook/{webhookId}", tag = "webhook",
    params(("instanceId" = String, Path), ("webhookId" = String, Path, format = "uuid")),
    security(("bearer" = []), ("apikey" = [])), responses((status = 200, body = WebhookObject), ApiError))]
pub async fn get(access: WebhookAccess, state: Data<ApiState>) -> HttpResponse {
    HttpResponse::Ok().json(WebhookObject::current(&access.webhook, &state).await)
}

/// Change a webhook; only what is given changes. Answers 201, as the vendor does.
#[utoipa::path(put, path = "/api/v2/instance/{instanceId}/webhook/{webhookId}", tag = "webhook",
    params(("instanceId" = String, Path), ("webhookId" = String, Path, format = "uuid")), request_body = WebhookBody,
    security(("bearer" = []), ("apikey" = [])), responses((status = 201, body = WebhookObject), ApiError))]
pub async fn update(
    access: WebhookAccess,
    state: Data<ApiState>,
    body: Json<WebhookBody>,
) -> Result<HttpResponse, ApiError> {
    let now = Timestamp::now();
    let webhook = state.directory.update_webhook(access.webhook.id, |webhook| body.0.apply(webhook, now)).await?;
    let webhook = webhook.ok_or_else(|| ApiError::not_found("webhook"))?;
    Ok(HttpResponse::Created().json(WebhookObject::current(&webhook, &state).await))
}

/// Delete a webhook; its pending deliveries are cancelled, their history is kept until its retention.
#[utoipa::path(delete, path = "/api/v2/instance/{instanceId}/webhook/{webhookId}", tag = "webhook",
    params(("instanceId" = String, Path), ("webhookId" = String, Path, format = "uuid")),
    security(("bearer" = []), ("apikey" = [])), responses((status = 200, body = WebhookObject), ApiError))]
pub async fn delete(access: WebhookAccess, state: Data<ApiState>) -> Result<HttpResponse, ApiError> {
    let id = access.webhook.id;
    let gone = state
        .directory
        .transact(|records| {
            let webhook = records.webhook(id).cloned().ok_or_else(|| ApiError::not_found("webhook"))?;
            Ok::<_, ApiError>((vec![DirectoryChange::DeleteWebhook(id)], webhook))
        })
        .await?;
    Ok(HttpResponse::Ok().json(WebhookObject::new(&gone, CircuitState::Closed)))
}
