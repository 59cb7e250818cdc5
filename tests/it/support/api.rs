//! The API as the tests speak it: one kept connection, answers as JSON, failures with what was said.

use bytes::Bytes;
use pombo::commands::http::{Answer, Client};
use pombo::domain::Secret;
use serde_json::{Value, json};
use url::Url;

/// A webhook that was made.
#[derive(Clone, Debug)]
pub struct Hook {
    pub instance: String,
    pub id: String,
    pub secret: Secret,
    /// Of its URL: what ledgers know it by.
    pub path: String,
}

/// What an ingest request came to.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::struct_field_names, reason = "the names of the API")]
pub struct Accepted {
    pub accepted: u64,
    pub duplicates: u64,
    pub ids: Vec<String>,
}

/// One client, one connection. Any other answer than success fails the test, except through [`Api::send`].
#[derive(Debug)]
pub struct Api {
    client: Client,
    authorization: String,
}

impl Api {
    pub fn new(url: &Url, token: &str) -> Self {
        let client = Client::new(url).expect("an http URL");
        Self { client, authorization: format!("Bearer {token}") }
    }

    /// One request as it is; `Err` when the connection failed.
    pub async fn send(
        &mut self,
        method: &str,
        path: &str,
        content_type: &str,
        body: impl Into<Bytes>,
    ) -> Result<Answer, pombo::commands::http::ClientError> {
        let headers = [("authorization", self.authorization.as_str()), ("content-type", content_type)];
        self.client.send(method, path, &headers, body.into()).await
    }

    /// One request with a JSON body (none for null), answered with success and JSON.
    pub async fn call(&mut self, method: &str, path: &str, body: &Value) -> Value {
        let text = if body.is_null() { String::new() } else { body.to_string() };
        let answer = self.send(method, path, "application/json", text).await;
        let answer = answer.unwrap_or_else(|error| panic!("{method} {path}: {error}"));
        let text = String::from_utf8_lossy(&answer.body);
        assert!(answer.status.is_success(), "{method} {path}: {}: {text}", answer.status);
        if text.is_empty() { Value::Null } else { serde_json::from_str(&text).expect("answers are JSON") }
    }

    pub async fn get(&mut self, path: &str) -> Value {
        self.call("GET", path, &Value::Null).await
    }

    pub async fn business(&mut self, name: &str) -> String {
        let made = self.call("POST", "/api/v2/admin/business", &json!({ "name": name })).await;
        text(&made, "businessId")
    }

    /// An instance whose id is its name.
    pub async fn instance(&mut self, business: &str, name: &str) -> String {
        let body = json!({ "instanceName": name, "externalId": name });
        let made = self.call("POST", &format!("/api/v2/business/{business}/instance"), &body).await;
        text(&made, "instanceId")
    }

    /// A business and one instance in it.
    pub async fn tenant(&mut self, name: &str) -> String {
        let business = self.business(name).await;
        self.instance(&business, name).await
    }

    /// An enabled webhook; `more` holds fields beside name and URL, and wins.
    pub async fn webhook(&mut self, instance: &str, url: &str, more: &Value) -> Hook {
        let parsed: Url = url.parse().expect("a URL");
        let mut body = json!({ "name": parsed.path(), "url": url, "enabled": true });
        for (name, value) in more.as_object().into_iter().flatten() {
            body[name] = value.clone();
        }
        let made = self.call("POST", &format!("/api/v2/instance/{instance}/webhook"), &body).await;
        Hook {
            instance: instance.to_owned(),
            id: text(&made, "webhookId"),
            secret: Secret::parse(&text(&made, "secret")).expect("a secret"),
            path: parsed.path().to_owned(),
        }
    }

    /// One event, given or without an id; answers the event's id, which receivers see as `webhook-id`.
    pub async fn event(&mut self, instance: &str, kind: &str, id: Option<&str>, data: &Value) -> String {
        let mut event = json!({ "event": kind, "data": data });
        if let Some(id) = id {
            event["id"] = json!(id);
        }
        let answer = self.call("POST", &format!("/api/v2/instance/{instance}/events"), &event).await;
        answer["ids"][0].as_str().expect("an accepted event has an id").to_owned()
    }

    /// A batch as NDJSON, byte for byte as given.
    pub async fn events(&mut self, instance: &str, ndjson: impl Into<Bytes>) -> Accepted {
        let answer = self.try_events(instance, ndjson).await;
        answer.unwrap_or_else(|refused| panic!("ingest for {instance}: {refused}"))
    }

    /// As [`Api::events`]; `Err` with the reason when the connection failed or the answer is not a 202.
    pub async fn try_events(&mut self, instance: &str, ndjson: impl Into<Bytes>) -> Result<Accepted, String> {
        let path = format!("/api/v2/instance/{instance}/events");
        let answer =
            self.send("POST", &path, "application/x-ndjson", ndjson).await.map_err(|error| error.to_string())?;
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        if answer.status.as_u16() != 202 {
            return Err(format!("{}: {text}", answer.status));
        }
        let body: Value = serde_json::from_str(&text).map_err(|error| format!("{error}: {text}"))?;
        let ids = body["ids"].as_array().ok_or("no ids")?.iter();
        Ok(Accepted {
            accepted: body["accepted"].as_u64().ok_or("no accepted")?,
            duplicates: body["duplicates"].as_u64().ok_or("no duplicates")?,
            ids: ids.map(|id| id.as_str().expect("ids are texts").to_owned()).collect(),
        })
    }

    /// `what`: e.g. `/stats`, `/pause`, or empty for the webhook itself.
    pub fn path_of(hook: &Hook, what: &str) -> String {
        format!("/api/v2/instance/{}/webhook/{}{what}", hook.instance, hook.id)
    }

    pub async fn stats(&mut self, hook: &Hook) -> Value {
        self.get(&Self::path_of(hook, "/stats")).await
    }

    /// Deliveries that have not ended.
    pub async fn unfinished(&mut self, hook: &Hook) -> u64 {
        self.stats(hook).await["unfinished"].as_u64().expect("stats tell `unfinished`")
    }

    /// Every delivery of a webhook with this status (all of them for an empty one), newest first, page by page.
    pub async fn deliveries(&mut self, hook: &Hook, status: &str) -> Vec<Value> {
        let mut all = Vec::new();
        let filter = if status.is_empty() { String::new() } else { format!("&status={status}") };
        let mut before = String::new();
        loop {
            let mut page = self.get(&Self::path_of(hook, &format!("/deliveries?limit=200{filter}{before}"))).await;
            all.append(page["deliveries"].as_array_mut().expect("a page has deliveries"));
            match page["next"].as_str() {
                Some(next) => before = format!("&before={next}"),
                None => return all,
            }
        }
    }

    /// The whole story of one delivery.
    pub async fn timeline(&mut self, hook: &Hook, event: &str) -> Value {
        self.get(&Self::path_of(hook, &format!("/deliveries/{event}"))).await
    }
}

/// A field that must be there and be a text.
#[track_caller]
pub fn text(value: &Value, field: &str) -> String {
    value[field].as_str().unwrap_or_else(|| panic!("no text {field} in {value}")).to_owned()
}

/// Attempts again after 1, 1, 1, 2, 2, … seconds: soon enough for a test, often enough for a receiver that fails at random.
pub fn short_retries() -> Value {
    json!({ "retry": { "scheduleSeconds": [1, 1, 1, 2, 2, 2, 3, 3, 3, 3, 3, 3] } })
}
