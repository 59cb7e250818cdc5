//! One instance: seen, switched on and off, given a new token. What changes is told to its webhooks as an event.

use actix_web::HttpResponse;
use actix_web::web::Data;
use serde_json::{Value, json};

use super::admin::OldToken;
use super::objects::{ConnectionState, InstanceObject, NewToken};
use crate::api::access::InstanceAccess;
use crate::api::error::ApiError;
use crate::api::json::Json;
use crate::api::state::ApiState;
use crate::domain::{Effects, EventKind, Instance, InstanceId, InstanceState, NewEvent, Timestamp};
use crate::engine::IngestError;
use crate::store::DirectoryChange;

/// The instance.
#[utoipa::path(get, path = "/api/v2/instance/{instanceId}", tag = "instance", params(("instanceId" = String, Path)),
    security(("bearer" = []), ("apikey" = [])), responses((status = 200, body = InstanceObject), ApiError))]
pub async fn get(instance: InstanceAccess) -> HttpResponse {
    HttpResponse::Ok().json(InstanceObject::from(&*instance.0))
}

/// Whether the instance is online.
#[utoipa::path(get, path = "/api/v2/instance/{instanceId}/connection-state", tag = "instance",
    params(("instanceId" = String, Path)), security(("bearer" = []), ("apikey" = [])),
    responses((status = 200, body = ConnectionState), ApiError))]
pub async fn connection_state(instance: InstanceAccess) -> HttpResponse {
    let Instance { connection, status_reason, .. } = &*instance.0;
    HttpResponse::Ok().json(ConnectionState { state: connection.as_str(), status_reason: *status_reason })
}

/// Give the instance a new token; the old one is refused from now on. Emits `newJwt`.
#[utoipa::path(patch, path = "/api/v2/instance/{instanceId}/refresh-token", tag = "instance",
    params(("instanceId" = String, Path)), request_body = OldToken, security(("bearer" = []), ("apikey" = [])),
    responses((status = 200, body = NewToken), ApiError))]
pub async fn refresh_token(
    instance: InstanceAccess,
    state: Data<ApiState>,
    body: Json<OldToken>,
) -> Result<HttpResponse, ApiError> {
    let (id, now) = (&instance.0.id, Timestamp::now());
    let new_token = state.auth.issue(id, now)?;
    let auth_id = state
        .directory
        .transact(|records| {
            let old = records.instance(id).ok_or_else(|| ApiError::not_found("instance"))?;
            body.0.check(&old.jwt)?;
            let new =
                Instance { jwt: new_token.clone(), auth_updated_at: now, updated_at: now, ..Instance::clone(old) };
            let auth_id = new.auth_id.clone();
            Ok::<_, ApiError>((vec![DirectoryChange::PutInstance(Box::new(new))], auth_id))
        })
        .await?;
    // That there is a new token, not the token: none of ours ever travels to a receiver.
    let data = json!({"authId": auth_id, "instanceId": id, "updatedAt": now.to_rfc3339()});
    if let Err(problem) = emit(&state, id, EventKind::NewJwt, &data).await {
        // The old token is gone already: the caller must get the new one, told to the webhooks or not.
        tracing::warn!(instance = %id, %problem, "newJwt was not accepted");
    }
    Ok(HttpResponse::Ok().json(NewToken { new_token }))
}

/// Switch the instance on. Emits `stateInstance`.
#[utoipa::path(patch, path = "/api/v2/instance/{instanceId}/activate", tag = "instance",
    params(("instanceId" = String, Path)), security(("bearer" = []), ("apikey" = [])),
    responses((status = 200, body = InstanceObject), ApiError))]
pub async fn activate(instance: InstanceAccess, state: Data<ApiState>) -> Result<HttpResponse, ApiError> {
    switch(&state, &instance.0.id, InstanceState::Active, "on").await
}

/// Switch the instance off. Emits `stateInstance`.
#[utoipa::path(patch, path = "/api/v2/instance/{instanceId}/deactivate", tag = "instance",
    params(("instanceId" = String, Path)), security(("bearer" = []), ("apikey" = [])),
    responses((status = 200, body = InstanceObject), ApiError))]
pub async fn deactivate(instance: InstanceAccess, state: Data<ApiState>) -> Result<HttpResponse, ApiError> {
    switch(&state, &instance.0.id, InstanceState::Inactive, "off").await
}

/// Emits also when the state was this already: a caller that repeats after a 503 gets the event it missed.
async fn switch(state: &ApiState, id: &InstanceId, to: InstanceState, told: &str) -> Result<HttpResponse, ApiError> {
    let instance = state.directory.update_instance(id, |instance| instance.state = to).await?;
    let instance = instance.ok_or_else(|| ApiError::not_found("instance"))?;
    emit(state, id, EventKind::StateInstance, &json!({"state": told})).await?;
    Ok(HttpResponse::Ok().json(InstanceObject::from(&*instance)))
}

async fn emit(state: &ApiState, id: &InstanceId, kind: EventKind, data: &Value) -> Result<(), IngestError> {
    let event = NewEvent {
        kind,
        data: data.to_string().into(),
        client_id: None,
        occurred_at: Some(Timestamp::now()),
        chat: None,
        // The instance has been moved already, by the call that emits this.
        effects: Effects::default(),
        traceparent: None,
    };
    state.engine.ingest(id, vec![event]).await.map(|_| ())
}
