//! Every failure of the API in the vendor's shape: `{"message": ["…"], "error": "Bad Request", "statusCode": 400}`.
//!
//! `message` is for the caller and names the field, the problem and the remedy. What only the operator may know goes to the log.

use std::collections::BTreeMap;
use std::time::Duration;

use actix_web::http::{StatusCode, header};
use actix_web::{HttpResponse, ResponseError};
use serde::Serialize;
use utoipa::openapi::response::{Response, ResponseBuilder};
use utoipa::openapi::{ContentBuilder, Ref, RefOr};
use utoipa::{IntoResponses, ToSchema};

use crate::engine::{IngestError, OperateError};
use crate::store::StoreError;

/// How soon a caller may come back when a store is not available.
const STORE_RETRY_AFTER: Duration = Duration::from_secs(5);

/// What a request can fail with. Each variant is one status and one code.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// 400; each entry names a field and its problem.
    #[error("{}", .0.join("; "))]
    BadRequest(Vec<String>),
    /// 401: no token, or none that we know.
    #[error("{0}")]
    Unauthorized(String),
    /// 403: known, but not allowed.
    #[error("{0}")]
    Forbidden(String),
    /// 404: not there, or not for this token.
    #[error("{0}")]
    NotFound(String),
    /// 405; `allow` lists the methods there are.
    #[error("{method} is not possible here; use {allow}")]
    MethodNotAllowed { method: String, allow: String },
    /// 408: the body came too slowly. The connection is closed.
    #[error("{0}")]
    RequestTimeout(String),
    /// 409
    #[error("{0}")]
    Conflict(String),
    /// 413
    #[error("{0}")]
    TooLarge(String),
    /// 415
    #[error("{0}")]
    UnsupportedMedia(String),
    /// 422: well formed, and yet it cannot be done.
    #[error("{0}")]
    Unprocessable(String),
    /// 429
    #[error("{message}")]
    TooManyRequests { message: String, retry_after: Duration },
    /// 500; the text is for the log only.
    #[error("{0}")]
    Internal(String),
    /// 503; `detail` is for the log only.
    #[error("{message}")]
    Unavailable { message: String, detail: String, retry_after: Duration },
}

/// The body of every error answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ErrorBody {
    /// All problems at once.
    #[schema(example = json!(["name is required: a text of 1 to 256 characters"]))]
    pub message: Vec<String>,
    #[schema(example = "Bad Request")]
    pub error: String,
    #[schema(example = 400)]
    pub status_code: u16,
}

impl ApiError {
    #[must_use]
    pub fn bad_request(problem: impl Into<String>) -> Self {
        Self::BadRequest(vec![problem.into()])
    }

    #[must_use]
    pub fn not_found(what: &str) -> Self {
        Self::NotFound(format!("{what} not found"))
    }

    /// A stable name for logs and metrics; never renamed.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::BadRequest(_) => "bad_request",
            Self::Unauthorized(_) => "unauthorized",
            Self::Forbidden(_) => "forbidden",
            Self::NotFound(_) => "not_found",
            Self::MethodNotAllowed { .. } => "method_not_allowed",
            Self::RequestTimeout(_) => "request_timeout",
            Self::Conflict(_) => "conflict",
            Self::TooLarge(_) => "too_large",
            Self::UnsupportedMedia(_) => "unsupported_media",
            Self::Unprocessable(_) => "unprocessable",
            Self::TooManyRequests { .. } => "too_many_requests",
            Self::Internal(_) => "internal",
            Self::Unavailable { .. } => "unavailable",
        }
    }

    fn messages(&self) -> Vec<String> {
        match self {
            Self::BadRequest(problems) => problems.clone(),
            Self::Internal(_) => vec!["something went wrong on our side; it has been logged".to_owned()],
            other => vec![other.to_string()],
        }
    }

    /// Seconds for `Retry-After`, rounded up and never 0.
    fn retry_after_s(&self) -> Option<u64> {
        match self {
            Self::TooManyRequests { retry_after, .. } | Self::Unavailable { retry_after, .. } => {
                Some(u64::try_from(retry_after.as_millis().div_ceil(1000)).unwrap_or(u64::MAX).max(1))
            }
            _ => None,
        }
    }
}

impl ResponseError for ApiError {
    fn status_code(&self) -> StatusCode {
        match self {
            Self::BadRequest(_) => StatusCode::BAD_REQUEST,
            Self::Unauthorized(_) => StatusCode::UNAUTHORIZED,
            Self::Forbidden(_) => StatusCode::FORBIDDEN,
            Self::NotFound(_) => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed { .. } => StatusCode::METHOD_NOT_ALLOWED,
            Self::RequestTimeout(_) => StatusCode::REQUEST_TIMEOUT,
            Self::Conflict(_) => StatusCode::CONFLICT,
            Self::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::UnsupportedMedia(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Unprocessable(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Self::TooManyRequests { .. } => StatusCode::TOO_MANY_REQUESTS,
            Self::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Unavailable { .. } => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    fn error_response(&self) -> HttpResponse {
        let status = self.status_code();
        match self {
            Self::Internal(detail) => tracing::error!(code = self.code(), %detail, "request failed"),
            Self::Unavailable { detail, .. } => tracing::warn!(code = self.code(), %detail, "request refused"),
            _ => {}
        }
        let mut answer = HttpResponse::build(status);
        match self {
            Self::Unauthorized(_) => answer.insert_header((header::WWW_AUTHENTICATE, "Bearer")),
            Self::MethodNotAllowed { allow, .. } => answer.insert_header((header::ALLOW, allow.as_str())),
            // What is left of the body is not waited for.
            Self::RequestTimeout(_) | Self::TooLarge(_) => answer.force_close(),
            _ => &mut answer,
        };
        if let Some(seconds) = self.retry_after_s() {
            answer.insert_header((header::RETRY_AFTER, seconds));
        }
        answer.json(ErrorBody {
            message: self.messages(),
            error: status.canonical_reason().unwrap_or("Error").to_owned(),
            status_code: status.as_u16(),
        })
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        let detail = error.to_string();
        let unavailable = |message: &str| Self::Unavailable {
            message: message.to_owned(),
            detail: detail.clone(),
            retry_after: STORE_RETRY_AFTER,
        };
        match error {
            StoreError::Full(_) => unavailable("the store is full; nothing was changed"),
            StoreError::Unavailable(_) | StoreError::Fenced { .. } => {
                unavailable("the store is not available; try again")
            }
            StoreError::Closed => unavailable("the service is shutting down; try again"),
            StoreError::Corrupt(_) | StoreError::Locked(_) | StoreError::NewerFormat(_) => Self::Internal(detail),
        }
    }
}

impl From<IngestError> for ApiError {
    fn from(error: IngestError) -> Self {
        let message = error.to_string();
        match error {
            IngestError::UnknownInstance => Self::NotFound(message),
            IngestError::Backlog { retry_after, .. } => Self::TooManyRequests { message, retry_after },
            IngestError::Busy { retry_after, .. } => {
                Self::Unavailable { detail: message.clone(), message, retry_after }
            }
            IngestError::ShuttingDown => {
                Self::Unavailable { detail: message.clone(), message, retry_after: STORE_RETRY_AFTER }
            }
            IngestError::Store(error) => error.into(),
        }
    }
}

impl From<OperateError> for ApiError {
    fn from(error: OperateError) -> Self {
        match error {
            OperateError::UnknownWebhook | OperateError::UnknownDelivery => Self::NotFound(error.to_string()),
            OperateError::InFlight => Self::Conflict(error.to_string()),
            OperateError::Refused(why) => Self::Unprocessable(why),
            OperateError::Store(error) => error.into(),
        }
    }
}

/// The failures any route may have, for the OpenAPI document.
impl IntoResponses for ApiError {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        let known = [
            ("400", "A field is wrong; `message` lists all problems"),
            ("401", "The token is missing or not known"),
            ("403", "Not allowed"),
            ("404", "Not there, or not for this token"),
            ("408", "The body came too slowly"),
            ("409", "In conflict with what is there"),
            ("413", "The body is too large"),
            ("415", "The body is not JSON"),
            ("429", "Too many requests; see `Retry-After`"),
            ("500", "Our fault; it has been logged"),
            ("503", "Not now; see `Retry-After`"),
        ];
        let schema = || ContentBuilder::new().schema(Some(Ref::from_schema_name("ErrorBody"))).build();
        let response = |text| ResponseBuilder::new().description(text).content("application/json", schema()).build();
        known.into_iter().map(|(status, text)| (status.to_owned(), RefOr::T(response(text)))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn body(error: &ApiError) -> serde_json::Value {
        let bytes = actix_web::body::to_bytes(error.error_response().into_body()).await.expect("a body in memory");
        serde_json::from_slice(&bytes).expect("JSON")
    }

    #[actix_web::test]
    async fn the_shape_is_the_vendors_to_the_letter() {
        let error = ApiError::BadRequest(vec!["name is required".into(), "url is required".into()]);
        let expected = serde_json::json!(
            {"message": ["name is required", "url is required"], "error": "Bad Request", "statusCode": 400});
        assert_eq!(body(&error).await, expected);
    }

    #[actix_web::test]
    async fn what_only_the_operator_may_know_stays_inside() {
        for error in [StoreError::Corrupt("/srv/secret.bin".into()), StoreError::Unavailable("10.0.0.7:6379".into())] {
            let text = body(&ApiError::from(error)).await.to_string();
            assert!(!text.contains("secret.bin") && !text.contains("10.0.0.7"), "{text}");
        }
    }

    #[test]
    fn a_full_backlog_is_too_much_asked_and_a_full_intake_a_matter_of_moments() {
        let retry_after = Duration::from_secs(1);
        let backlog = ApiError::from(IngestError::Backlog { max: 5, retry_after });
        let intake = ApiError::from(IngestError::Busy { bound: "max_in_flight_bytes", retry_after });
        assert_eq!((backlog.status_code().as_u16(), intake.status_code().as_u16()), (429, 503));
    }

    #[test]
    fn retry_after_is_rounded_up_and_never_zero() {
        for (millis, seconds) in [(0, "1"), (1, "1"), (1_001, "2")] {
            let error =
                ApiError::TooManyRequests { message: "slow".into(), retry_after: Duration::from_millis(millis) };
            assert_eq!(error.error_response().headers().get(header::RETRY_AFTER).expect("header"), seconds);
        }
    }

    #[test]
    fn a_wrong_method_is_told_the_right_ones() {
        let error = ApiError::MethodNotAllowed { method: "PUT".into(), allow: "GET, POST".into() };
        assert_eq!(error.error_response().headers().get(header::ALLOW).expect("header"), "GET, POST");
    }
}
