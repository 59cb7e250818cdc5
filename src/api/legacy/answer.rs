//! The two bodies of the legacy API.

use actix_web::http::{StatusCode, header};
use actix_web::{HttpResponse, ResponseError};
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::error::ApiError;

/// It was done.
#[derive(Serialize, ToSchema, Debug)]
pub struct Success {
    #[schema(example = "Webhook URL updated successfully!")]
    pub success: String,
}

/// It was not.
#[derive(Serialize, ToSchema, Debug)]
pub struct Failure {
    #[schema(example = "Instance not found")]
    pub error: String,
}

/// A failure in the legacy shape.
#[derive(Debug, thiserror::Error)]
#[error("{text}")]
pub struct LegacyError {
    status: StatusCode,
    text: String,
    retry_after: Option<header::HeaderValue>,
}

impl LegacyError {
    fn new(status: StatusCode, text: impl Into<String>) -> Self {
        Self { status, text: text.into(), retry_after: None }
    }

    pub fn bad_request(text: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, text)
    }

    pub fn not_found(text: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, text)
    }

    pub fn unauthorized() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "Invalid apiKey")
    }
}

impl<E: Into<ApiError>> From<E> for LegacyError {
    fn from(error: E) -> Self {
        let error: ApiError = error.into();
        // The v2 answer logs what only the operator may see; its text and headers are taken over.
        let answer = error.error_response();
        let text = match &error {
            ApiError::Internal(_) => "Internal error".to_owned(),
            other => other.to_string(),
        };
        Self { status: answer.status(), text, retry_after: answer.headers().get(header::RETRY_AFTER).cloned() }
    }
}

impl ResponseError for LegacyError {
    fn status_code(&self) -> StatusCode {
        self.status
    }

    fn error_response(&self) -> HttpResponse {
        let mut answer = HttpResponse::build(self.status);
        if let Some(retry_after) = &self.retry_after {
            answer.insert_header((header::RETRY_AFTER, retry_after.clone()));
        }
        answer.json(Failure { error: self.text.clone() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::StoreError;

    #[actix_web::test]
    async fn errors_have_one_key_and_hide_what_is_the_operators() {
        for (error, status) in [
            (LegacyError::bad_request("Instance not found"), 400),
            (LegacyError::unauthorized(), 401),
            (LegacyError::from(StoreError::Corrupt("/srv/secret".into())), 500),
            (LegacyError::from(StoreError::Unavailable("10.0.0.7".into())), 503),
        ] {
            let answer = error.error_response();
            assert_eq!(answer.status(), status);
            assert_eq!(answer.headers().contains_key(header::RETRY_AFTER), status == 503);
            let body = actix_web::body::to_bytes(answer.into_body()).await.unwrap();
            let body: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(&body).unwrap();
            assert_eq!(body.keys().collect::<Vec<_>>(), ["error"]);
            let text = body["error"].as_str().unwrap();
            assert!(!text.contains("secret") && !text.contains("10.0.0.7"), "{text}");
        }
    }
}
