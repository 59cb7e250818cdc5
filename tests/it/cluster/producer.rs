//! Who posts through a fault: one event at a time for an instance, to the nodes in turn, each again until it is taken.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use pombo::domain::Timestamp;
use serde_json::{Value, json};
use url::Url;

use crate::support::api::Api;
use crate::support::pombo::TOKEN;

pub const CHATS: u64 = 3;
/// Between two events of a producer.
const PACE: Duration = Duration::from_millis(10);
/// Between two tries of one event.
const AGAIN: Duration = Duration::from_millis(100);
/// A request without an answer for so long hangs.
pub const PATIENCE: Duration = Duration::from_secs(6);
/// An event that is not taken for so long never is.
const GIVES_UP: Duration = Duration::from_mins(1);

/// How one request was answered.
#[derive(Clone, Debug)]
pub struct Answered {
    pub producer: usize,
    /// Of the event, counted by its producer from 0.
    pub number: u64,
    pub node: usize,
    pub asked_at: Timestamp,
    pub at: Timestamp,
    /// 0: the connection failed; 1: no answer in time.
    pub status: u16,
    pub retry_after: Option<u64>,
    /// The event's, from a 202.
    pub id: Option<String>,
}

pub const FAILED: u16 = 0;
pub const HANGS: u16 = 1;

pub type Record = Arc<Mutex<Vec<Answered>>>;

/// One producer.
#[derive(Debug)]
pub struct Producer {
    pub number: usize,
    pub instance: String,
    pub nodes: Vec<Url>,
    /// Its first event has this number.
    pub first: u64,
    pub record: Record,
    pub stop: Arc<AtomicBool>,
}

impl Producer {
    /// Until told to stop, and the last event is taken.
    pub async fn run(self) {
        let mut apis: Vec<_> = self.nodes.iter().map(|url| Api::new(url, TOKEN)).collect();
        let mut number = self.first;
        while !self.stop.load(Ordering::Relaxed) {
            let (begun, mut node) = (Timestamp::now(), (self.number + number as usize) % apis.len());
            while !self.post(number, node, &mut apis).await {
                assert!(Timestamp::now().since(begun) < GIVES_UP, "event {number} of {} is never taken", self.instance);
                node = (node + 1) % apis.len();
                tokio::time::sleep(AGAIN).await;
            }
            number += 1;
            tokio::time::sleep(PACE).await;
        }
    }

    async fn post(&self, number: u64, node: usize, apis: &mut [Api]) -> bool {
        let path = format!("/api/v2/instance/{}/events", self.instance);
        let body = event(self.number, number).to_string();
        let asked_at = Timestamp::now();
        let request = apis[node].send("POST", &path, "application/json", body);
        let (status, retry_after, id) = match tokio::time::timeout(PATIENCE, request).await {
            Ok(Ok(answer)) => {
                let told: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
                let after = answer.headers.get("retry-after").and_then(|seconds| seconds.to_str().ok()?.parse().ok());
                (answer.status.as_u16(), after, told["ids"][0].as_str().map(str::to_owned))
            }
            Ok(Err(_)) => (FAILED, None, None),
            Err(_) => {
                apis[node] = Api::new(&self.nodes[node], TOKEN);
                (HANGS, None, None)
            }
        };
        let producer = self.number;
        let answered = Answered { producer, number, node, asked_at, at: Timestamp::now(), status, retry_after, id };
        self.record.lock().push(answered);
        status == 202
    }
}

fn event(producer: usize, number: u64) -> Value {
    let chat = format!("55119{producer:04}{:04}@s.whatsapp.net", number % CHATS);
    let data = json!({
        "messageId": format!("{producer}-{number}"), "keyRemoteJid": chat, "producer": producer, "number": number,
    });
    json!({ "event": "messages.upsert", "id": format!("{producer}-{number}"), "data": data })
}
