//! The API of apiwhatsappweb.com, as its documents show it: `PUT /api/config/{kind}` and `GET /api/message/{messageId}`.
//!
//! Headers `apiKey` and `id` name the caller and the instance. Answers are `{"success": …}` or `{"error": "…"}`, nothing else.
//! What it sets is a webhook like any other, seen and changed in the v2 API.

pub mod answer;
pub mod config;
pub mod message;
pub mod webhook;

use std::sync::Arc;

use actix_web::HttpRequest;

use self::answer::LegacyError;
use super::state::ApiState;
use crate::domain::{Instance, InstanceId};

/// The instance of the header `id`, reached with the token of the header `apiKey`.
///
/// # Errors
/// 401 for a token nobody holds; 400 "Instance not found" when there is none or the token does not reach it.
fn instance(request: &HttpRequest, state: &ApiState) -> Result<Arc<Instance>, LegacyError> {
    let header = |name| request.headers().get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    let caller = header("apikey")
        .and_then(|token| state.auth.identify(token, &state.directory))
        .ok_or_else(LegacyError::unauthorized)?;
    let found = header("id")
        .and_then(|id| InstanceId::new(id).ok())
        .and_then(|id| caller.require_instance(&state.directory, &id).ok());
    found.ok_or_else(|| LegacyError::bad_request("Instance not found"))
}
