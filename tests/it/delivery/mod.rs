//! What becomes of a delivery: sent as it should be, or not taken at once; and who keeps it waiting.

mod breaker;
mod business;
mod dead_letters;
mod effects;
mod held_back;
mod precedence;
mod retry;
mod signing;

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::api::{Api, Hook};
use crate::support::deadline::{until, until_true};
use crate::support::pombo::{Pombo, Setup};
use crate::support::scripted::{Call, Reply, Scripted};

pub(super) const SOON: Duration = Duration::from_secs(30);
pub(super) const SECOND: Duration = Duration::from_secs(1);

/// A process without jitter, a tenant, a receiver, and a webhook with these settings.
pub(super) struct World {
    pub(super) pombo: Pombo,
    pub(super) receiver: Scripted,
    pub(super) api: Api,
    pub(super) instance: String,
    pub(super) hook: Hook,
}

impl World {
    pub(super) async fn new(more: &Value, script: impl Fn(&Call) -> Reply + Send + Sync + 'static) -> Self {
        Self::with(Setup::default(), more, script).await
    }

    pub(super) async fn with(
        setup: Setup,
        more: &Value,
        script: impl Fn(&Call) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let pombo = setup.set("POMBO_RETRY_JITTER", "0").start().await;
        let receiver = Scripted::start(script).await;
        let mut api = pombo.api();
        let instance = api.tenant("shop").await;
        let hook = api.webhook(&instance, &receiver.url("/hook"), more).await;
        Self { pombo, receiver, api, instance, hook }
    }

    pub(super) async fn send(&mut self, data: Value) -> String {
        self.api.event(&self.instance, "messages.upsert", None, &data).await
    }

    pub(super) async fn send_many(&mut self, kind: &str, all: impl IntoIterator<Item = Value>) -> Vec<String> {
        let line = |data| json!({ "event": kind, "data": data }).to_string();
        self.api.events(&self.instance, all.into_iter().map(line).collect::<Vec<_>>().join("\n")).await.ids
    }

    /// The delivery's timeline once it has this status.
    pub(super) async fn until_status(&mut self, id: &str, status: &str) -> Value {
        let (api, hook) = (&mut self.api, &self.hook);
        until(&format!("{id} is {status}"), SOON, async || {
            let timeline = api.timeline(hook, id).await;
            if timeline["status"] == status { Ok(timeline) } else { Err(timeline) }
        })
        .await
    }

    pub(super) async fn until_taken(&self, taken: usize) {
        until_true("deliveries are taken", SOON, async || (self.receiver.taken() >= taken, self.receiver.calls()))
            .await;
    }

    pub(super) async fn until_settled(&mut self) {
        let (api, hook) = (&mut self.api, &self.hook);
        until_true("nothing is left", SOON, async || {
            let stats = api.stats(hook).await;
            (stats["unfinished"] == 0, stats)
        })
        .await;
    }

    pub(super) async fn webhook(&mut self) -> Value {
        self.api.get(&Api::path_of(&self.hook, "")).await
    }

    pub(super) async fn post(&mut self, what: &str, body: &Value) -> Value {
        self.api.call("POST", &Api::path_of(&self.hook, what), body).await
    }

    pub(super) async fn put(&mut self, mut body: Value) {
        body["name"] = json!("n");
        self.api.call("PUT", &Api::path_of(&self.hook, ""), &body).await;
    }
}

pub(super) fn steps(timeline: &Value) -> Vec<&str> {
    timeline["timeline"].as_array().unwrap().iter().map(|step| step["step"].as_str().unwrap()).collect()
}

/// The attempts of a timeline, oldest first.
pub(super) fn attempts(timeline: &Value) -> Vec<&Value> {
    let steps = timeline["timeline"].as_array().unwrap().iter();
    steps.filter(|step| step["step"] == "attempted").map(|step| &step["attempt"]).collect()
}

pub(super) fn ok(_: &Call) -> Reply {
    Reply::status(200)
}

/// Fails this many attempts of each delivery with a status.
pub(super) fn failing(times: u16, status: u16) -> impl Fn(&Call) -> Reply + Send + Sync {
    move |call| Reply::status(if call.attempt <= times { status } else { 200 })
}
