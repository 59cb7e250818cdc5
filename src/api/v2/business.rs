//! A business sees and changes itself, and the webhook that receives the events of all its instances.

use actix_web::HttpResponse;
use actix_web::web::Data;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::objects::BusinessObject;
use super::webhook_body::{WebhookBody, fresh_webhook};
use super::webhook_object::WebhookObject;
use crate::api::access::BusinessAccess;
use crate::api::error::ApiError;
use crate::api::json::Json;
use crate::api::state::ApiState;
use crate::api::validate::{Fields, FromFields, Given, NAME_RULE, name};
use crate::domain::{Business, BusinessId, Secret, Timestamp, Webhook, WebhookOwner};
use crate::policy::CircuitState;
use crate::store::DirectoryChange;

/// The body that changes a business.
#[derive(Debug, ToSchema)]
pub struct BusinessChange {
    #[schema(min_length = 1, max_length = 256)]
    pub name: Option<String>,
    /// Takes the place of all attributes there were.
    #[schema(value_type = Option<Object>)]
    pub attributes: Given<Map<String, Value>>,
}

impl FromFields for BusinessChange {
    fn read(fields: &mut Fields<'_>, _: &ApiState) -> Self {
        Self { name: fields.optional("name", NAME_RULE, name), attributes: read_attributes(fields) }
    }
}

/// The field `attributes`, kept as it comes.
pub fn read_attributes(fields: &mut Fields<'_>) -> Given<Map<String, Value>> {
    fields.given("attributes", "must be an object", |value| match value {
        Value::Object(attributes) => Some(attributes),
        _ => None,
    })
}

/// Changes what was given.
///
/// # Errors
/// 404 when the business is gone.
pub async fn change(state: &ApiState, id: BusinessId, change: BusinessChange) -> Result<HttpResponse, ApiError> {
    let answer = state
        .directory
        .transact(|records| {
            let old = records.business(id).ok_or_else(|| ApiError::not_found("business"))?;
            let mut new = Business::clone(old);
            new.name = change.name.unwrap_or(new.name);
            change.attributes.store(&mut new.attributes, Map::new);
            new.updated_at = Timestamp::now();
            let answer = BusinessObject::from(&new);
            Ok::<_, ApiError>((vec![DirectoryChange::PutBusiness(Box::new(new))], answer))
        })
        .await?;
    Ok(HttpResponse::Ok().json(answer))
}

/// The business.
#[utoipa::path(get, path = "/api/v2/business/{businessId}", tag = "business", params(("businessId" = String, Path, format = "uuid")),
    security(("bearer" = []), ("apikey" = [])), responses((status = 200, body = BusinessObject), ApiError))]
pub async fn get(business: BusinessAccess) -> HttpResponse {
    HttpResponse::Ok().json(BusinessObject::from(&*business.0))
}

/// Change the business; only what is given changes.
#[utoipa::path(put, path = "/api/v2/business/{businessId}", tag = "business", params(("businessId" = String, Path, format = "uuid")),
    request_body = BusinessChange, security(("bearer" = []), ("apikey" = [])),
    responses((status = 200, body = BusinessObject), ApiError))]
pub async fn update(
    business: BusinessAccess,
    state: Data<ApiState>,
    body: Json<BusinessChange>,
) -> Result<HttpResponse, ApiError> {
    change(&state, business.0.id, body.0).await
}

/// The webhook of the business.
#[utoipa::path(get, path = "/api/v2/business/{businessId}/webhook", tag = "business",
    params(("businessId" = String, Path, format = "uuid")), security(("bearer" = []), ("apikey" = [])),
    responses((status = 200, body = WebhookObject), ApiError))]
pub async fn get_webhook(business: BusinessAccess, state: Data<ApiState>) -> Result<HttpResponse, ApiError> {
    let webhook = state.directory.business_webhook(business.0.id).ok_or_else(no_webhook)?;
    Ok(HttpResponse::Ok().json(WebhookObject::current(&webhook, &state).await))
}

/// Set the webhook that receives every event of all instances; 201 and its secret when there was none.
#[utoipa::path(put, path = "/api/v2/business/{businessId}/webhook", tag = "business",
    params(("businessId" = String, Path, format = "uuid")), request_body = WebhookBody, security(("bearer" = []), ("apikey" = [])),
    responses((status = 200, body = WebhookObject), (status = 201, body = WebhookObject), ApiError))]
pub async fn put_webhook(
    business: BusinessAccess,
    state: Data<ApiState>,
    body: Json<WebhookBody>,
) -> Result<HttpResponse, ApiError> {
    let id = business.0.id;
    let secret = Secret::random().map_err(|_| ApiError::Internal("no randomness for a secret".to_owned()))?;
    let (webhook, created) = state
        .directory
        .transact(|records| {
            if records.business(id).is_none() {
                return Err(ApiError::not_found("business"));
            }
            let now = Timestamp::now();
            let old = records.business_webhook(id);
            if old.is_none() && body.0.url.is_none() {
                return Err(ApiError::bad_request("url is required: the business has no webhook yet"));
            }
            let mut webhook =
                old.map_or_else(|| fresh_webhook(WebhookOwner::Business(id), secret, now), |old| Webhook::clone(old));
            body.0.apply(&mut webhook, now);
            webhook.updated_at = now;
            let put = DirectoryChange::PutWebhook(Box::new(webhook.clone()));
            Ok((vec![put], (webhook, old.is_none())))
        })
        .await?;
    if created {
        let answer = WebhookObject::new(&webhook, CircuitState::Closed).with_secret(&webhook);
        return Ok(HttpResponse::Created().json(answer));
    }
    Ok(HttpResponse::Ok().json(WebhookObject::current(&webhook, &state).await))
}

/// Delete the webhook of the business; its pending deliveries are cancelled.
#[utoipa::path(delete, path = "/api/v2/business/{businessId}/webhook", tag = "business",
    params(("businessId" = String, Path, format = "uuid")), security(("bearer" = []), ("apikey" = [])),
    responses((status = 200, body = WebhookObject), ApiError))]
pub async fn delete_webhook(business: BusinessAccess, state: Data<ApiState>) -> Result<HttpResponse, ApiError> {
    let webhook = state
        .directory
        .transact(|records| {
            let webhook = records.business_webhook(business.0.id).cloned().ok_or_else(no_webhook)?;
            Ok::<_, ApiError>((vec![DirectoryChange::DeleteWebhook(webhook.id)], webhook))
        })
        .await?;
    Ok(HttpResponse::Ok().json(WebhookObject::new(&webhook, CircuitState::Closed)))
}

fn no_webhook() -> ApiError {
    ApiError::NotFound("the business has no webhook".to_owned())
}
