//! What must not come in does not: a clear refusal in the vendor's shape, and nothing stored.

mod access;
mod events;
mod idle;
mod management;
mod paths;
mod receivers;
mod repeated;
mod sizes;

use std::time::Duration;

use bytes::Bytes;
use pombo::commands::http::{Answer, Client};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::api::{Api, Hook};
use crate::support::pombo::{Pombo, TOKEN};
use crate::support::receiver::Inbox;

/// Checks status and shape of a refusal; answers its messages.
#[track_caller]
pub(super) fn refusal(answer: &Answer, status: u16) -> Vec<String> {
    let text = String::from_utf8_lossy(&answer.body);
    assert_eq!(answer.status.as_u16(), status, "{text}");
    let body: Value = serde_json::from_slice(&answer.body).unwrap_or_else(|error| panic!("{error}: {text}"));
    let mut names: Vec<_> = body.as_object().expect("an object").keys().collect();
    names.sort();
    assert_eq!(names, ["error", "message", "statusCode"]);
    assert_eq!((&body["statusCode"], body["error"].as_str()), (&json!(status), answer.status.canonical_reason()));
    let messages: Vec<String> = serde_json::from_value(body["message"].clone()).expect("message is an array of texts");
    assert!(!messages.is_empty() && messages.iter().all(|message| message.len() > 5), "{messages:?}");
    messages
}

/// A process, a tenant with a webhook, and a receiver at its end.
pub(super) struct World {
    pub(super) pombo: Pombo,
    pub(super) inbox: Inbox,
    pub(super) api: Api,
    pub(super) instance: String,
    pub(super) hook: Hook,
}

impl World {
    pub(super) async fn new() -> Self {
        let (pombo, inbox) = (Pombo::new().await, Inbox::open().await);
        let mut api = pombo.api();
        let instance = api.tenant("shop").await;
        let hook = api.webhook(&instance, &inbox.url("/hook"), &json!({})).await;
        Self { pombo, inbox, api, instance, hook }
    }

    pub(super) fn events_path(&self) -> String {
        format!("/api/v2/instance/{}/events", self.instance)
    }

    /// An ingest request with further headers.
    pub(super) async fn ingest(&self, headers: &[(&str, &str)], body: impl Into<Bytes>) -> Answer {
        let mut client = Client::new(&self.pombo.url()).unwrap();
        let authorization = format!("Bearer {TOKEN}");
        let mut all = vec![("authorization", authorization.as_str())];
        if !headers.iter().any(|(name, _)| *name == "content-type") {
            all.push(("content-type", "application/json"));
        }
        all.extend_from_slice(headers);
        client.send("POST", &self.events_path(), &all, body.into()).await.expect("an answer")
    }

    pub(super) async fn assert_nothing_stored(&mut self) {
        let stats = self.api.stats(&self.hook).await;
        assert_eq!((&stats["unfinished"], &stats["dead"], &stats["delivered"]), (&json!(0), &json!(0), &json!(0)));
        assert_eq!(self.api.deliveries(&self.hook, "").await, Vec::<Value>::new());
        assert_eq!(self.inbox.len(), 0);
    }
}

pub(super) fn event(data: &Value) -> Value {
    json!({ "event": "messages.upsert", "data": data })
}

/// Sends bytes as they are and reads until the end of the connection.
pub(super) async fn raw(port: u16, bytes: impl AsRef<[u8]>) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    stream.write_all(bytes.as_ref()).await.unwrap();
    let mut answer = Vec::new();
    // A reset after the answer is an end as well.
    let read = stream.read_to_end(&mut answer);
    let _reset = tokio::time::timeout(Duration::from_secs(30), read).await.expect("the connection is ended");
    String::from_utf8_lossy(&answer).into_owned()
}
