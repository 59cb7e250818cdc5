//! Request bodies and queries: read within bounds, decoded, then checked as a whole.
//!
//! 413 before more than the bound is in memory (also for compressed bodies), 415 for what is not JSON, 400 with all problems.

use std::future::{Ready, ready};

use actix_web::{FromRequest, HttpMessage, HttpRequest, dev};
use futures_util::future::LocalBoxFuture;
use serde_json::{Map, Value};

use super::body;
use super::error::ApiError;
use super::state::ApiState;
use super::validate::{FromFields, read};

/// A JSON object in the body.
#[derive(Clone, Copy, Debug)]
pub struct Json<T>(pub T);

/// The parameters after the `?`.
#[derive(Clone, Copy, Debug)]
pub struct Query<T>(pub T);

impl<T: FromFields + 'static> FromRequest for Json<T> {
    type Error = ApiError;
    type Future = LocalBoxFuture<'static, Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, payload: &mut dev::Payload) -> Self::Future {
        let (request, payload) = (request.clone(), payload.take());
        Box::pin(async move {
            let state = ApiState::of(&request)?;
            let max = state.limits.max_body_bytes;
            let (body, _share) = body::read(payload, request.headers(), max, &state.intake).await?;
            let values = if body.is_empty() && T::MAY_BE_EMPTY { Map::new() } else { object(&request, &body)? };
            read(values, false, state).map(Self)
        })
    }
}

impl<T: FromFields> FromRequest for Query<T> {
    type Error = ApiError;
    type Future = Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _: &mut dev::Payload) -> Self::Future {
        let values = url::form_urlencoded::parse(request.query_string().as_bytes())
            .map(|(name, value)| (name.into_owned(), Value::String(value.into_owned())))
            .collect();
        ready(ApiState::of(request).and_then(|state| read(values, true, state)).map(Self))
    }
}

/// Refuses a body that says it is something other than JSON; one that says nothing is taken as JSON.
///
/// # Errors
/// 415.
pub fn check_content_type(request: &HttpRequest) -> Result<(), ApiError> {
    let kind = request.content_type();
    let essence = kind.to_ascii_lowercase();
    if essence.is_empty() || essence == "application/json" || essence.ends_with("+json") {
        return Ok(());
    }
    Err(ApiError::UnsupportedMedia(format!("Content-Type {kind}: send Content-Type: application/json")))
}

fn object(request: &HttpRequest, body: &[u8]) -> Result<Map<String, Value>, ApiError> {
    check_content_type(request)?;
    let text = std::str::from_utf8(body).map_err(|problem| {
        ApiError::bad_request(format!("the body is not UTF-8: wrong byte at offset {}", problem.valid_up_to()))
    })?;
    let value = serde_json::from_str(text)
        .map_err(|problem| ApiError::bad_request(format!("the body is not valid JSON: {problem}")))?;
    match value {
        Value::Object(values) => Ok(values),
        _ => Err(ApiError::bad_request("the body must be a JSON object")),
    }
}
