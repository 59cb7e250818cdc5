//! The management API as the demo uses it.

use bytes::Bytes;
use serde_json::{Value, json};
use url::Url;

use crate::commands::http::{Client, ClientError};
use crate::domain::secret::InvalidSecret;
use crate::domain::{EventId, Secret};

#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    #[error("{path}: {status}: {body}")]
    Refused { path: String, status: u16, body: String },
    #[error("{path}: the answer has no {field}")]
    Missing { path: String, field: &'static str },
    #[error(transparent)]
    Client(#[from] ClientError),
}

/// Speaks to the engine as its admin.
#[derive(Debug)]
pub struct Api {
    client: Client,
    authorization: String,
}

/// A webhook as far as the demo needs it.
#[derive(Debug)]
pub struct NewWebhook {
    pub id: String,
    pub secret: Secret,
}

impl Api {
    /// # Errors
    /// When the URL is not usable.
    pub fn new(url: &Url, token: &str) -> Result<Self, ClientError> {
        Ok(Self { client: Client::new(url)?, authorization: format!("Bearer {token}") })
    }

    async fn call(&mut self, method: &str, path: &str, body: &Value) -> Result<Value, ApiError> {
        let headers = [("authorization", self.authorization.as_str()), ("content-type", "application/json")];
        let body = if body.is_null() { Bytes::new() } else { body.to_string().into() };
        let answer = self.client.send(method, path, &headers, body).await?;
        let text = || String::from_utf8_lossy(&answer.body).chars().take(500).collect();
        if !answer.status.is_success() {
            return Err(ApiError::Refused { path: path.to_owned(), status: answer.status.as_u16(), body: text() });
        }
        serde_json::from_slice(&answer.body).map_err(|_| ApiError::Refused {
            path: path.to_owned(),
            status: answer.status.as_u16(),
            body: text(),
        })
    }

    async fn create(&mut self, path: &str, body: &Value, field: &'static str) -> Result<(String, Value), ApiError> {
        let made = self.call("POST", path, body).await?;
        let id = text(&made, path, field)?;
        Ok((id, made))
    }

    /// # Errors
    /// [`ApiError`]; so with all calls below.
    pub async fn business(&mut self, name: &str) -> Result<String, ApiError> {
        Ok(self.create("/api/v2/admin/business", &json!({ "name": name }), "businessId").await?.0)
    }

    pub async fn instance(&mut self, business: &str, name: &str) -> Result<String, ApiError> {
        let path = format!("/api/v2/business/{business}/instance");
        let body = json!({ "instanceName": name, "externalId": name });
        Ok(self.create(&path, &body, "instanceId").await?.0)
    }

    /// `more`: fields beside name, URL and `enabled`.
    pub async fn webhook(
        &mut self,
        instance: &str,
        name: &str,
        url: &str,
        more: &Value,
    ) -> Result<NewWebhook, ApiError> {
        let path = format!("/api/v2/instance/{instance}/webhook");
        let mut body = json!({ "name": name, "url": url, "enabled": true });
        if let (Some(body), Some(more)) = (body.as_object_mut(), more.as_object()) {
            body.extend(more.clone());
        }
        let (id, made) = self.create(&path, &body, "webhookId").await?;
        let secret = Secret::parse(&text(&made, &path, "secret")?)
            .map_err(|InvalidSecret| ApiError::Missing { path, field: "usable secret" })?;
        Ok(NewWebhook { id, secret })
    }

    /// Where a delivery stands, e.g. `superseded`.
    pub async fn delivery_status(&mut self, instance: &str, webhook: &str, event: EventId) -> Result<String, ApiError> {
        let path = format!("/api/v2/instance/{instance}/webhook/{webhook}/deliveries/{event}");
        let timeline = self.call("GET", &path, &Value::Null).await?;
        text(&timeline, &path, "status")
    }
}

fn text(answer: &Value, path: &str, field: &'static str) -> Result<String, ApiError> {
    let found = answer.get(field).and_then(Value::as_str).map(str::to_owned);
    found.ok_or_else(|| ApiError::Missing { path: path.to_owned(), field })
}
