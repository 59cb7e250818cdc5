//! The API over the memory store and an engine that only takes notes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use actix_web::http::Method;
use actix_web::http::header::HeaderMap;
use actix_web::web::{self, Data};
use actix_web::{App, test};
use futures_util::future::{FutureExt as _, LocalBoxFuture};
use parking_lot::Mutex;
use serde_json::{Value, json};

use super::auth::Auth;
use super::endpoint::unknown_path;
use super::ports::EnginePort;
use super::state::{ApiState, Limits};
use super::v2;
use crate::cluster::Alone;
use crate::directory::Directory;
use crate::domain::{DeliveryStatus, EventId, EventKind, InstanceId, NewEvent, Timestamp, WebhookId};
use crate::engine::{Accepted, IngestError, OperateError, TestReport, WebhookStatus};
use crate::store::Store;
use crate::store::memory::MemoryStore;
use crate::transport::TargetPolicy;

pub const ADMIN: &str = "the-admin-token";

#[derive(Debug, Default)]
pub struct NotingEngine {
    pub ingested: Mutex<Vec<(InstanceId, EventKind, Value)>>,
    pub busy: AtomicBool,
}

impl EnginePort for NotingEngine {
    fn ingest<'a>(
        &'a self,
        instance: &'a InstanceId,
        events: Vec<NewEvent>,
    ) -> LocalBoxFuture<'a, Result<Accepted, IngestError>> {
        let result = if self.busy.load(Ordering::Relaxed) {
            Err(IngestError::Busy { bound: "backlog", retry_after: Duration::from_secs(3) })
        } else {
            let read = |event: &NewEvent| serde_json::from_slice(&event.data).expect("data is JSON");
            self.ingested.lock().extend(events.iter().map(|event| (instance.clone(), event.kind, read(event))));
            Ok(Accepted::default())
        };
        async { result }.boxed_local()
    }

    fn status(&self, _: WebhookId) -> LocalBoxFuture<'_, WebhookStatus> {
        async { WebhookStatus::default() }.boxed_local()
    }

    fn retry(&self, _: WebhookId, _: EventId) -> LocalBoxFuture<'_, Result<(), OperateError>> {
        async { Err(OperateError::UnknownDelivery) }.boxed_local()
    }

    fn replay(
        &self,
        _: WebhookId,
        _: Timestamp,
        _: Timestamp,
        _: Vec<DeliveryStatus>,
    ) -> LocalBoxFuture<'_, Result<u64, OperateError>> {
        async { Err(OperateError::UnknownWebhook) }.boxed_local()
    }

    fn test(&self, _: WebhookId) -> LocalBoxFuture<'_, Result<TestReport, OperateError>> {
        async { Err(OperateError::UnknownWebhook) }.boxed_local()
    }

    fn is_ready(&self) -> bool {
        !self.busy.load(Ordering::Relaxed)
    }
}

#[derive(Debug)]
pub struct World {
    pub state: Data<ApiState>,
    pub engine: Arc<NotingEngine>,
    pub store: Arc<MemoryStore>,
}

#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Value,
}

impl Answer {
    /// A text of the body, by JSON pointer.
    pub fn text(&self, pointer: &str) -> String {
        let found = self.body.pointer(pointer).and_then(Value::as_str);
        found.unwrap_or_else(|| panic!("no text at {pointer} in {}", self.body)).to_owned()
    }

    /// The problems of an error, after checking its shape.
    pub fn problems(&self) -> Vec<String> {
        assert_eq!(self.body["statusCode"], self.status, "{}", self.body);
        assert!(self.body["error"].is_string() && self.body.as_object().map(serde_json::Map::len) == Some(3));
        serde_json::from_value(self.body["message"].clone()).expect("an array of texts")
    }
}

impl World {
    pub async fn new() -> Self {
        let store = Arc::new(MemoryStore::new());
        let directory = Directory::load(Arc::clone(&store) as Arc<dyn Store>).await.expect("an open store");
        let engine = Arc::new(NotingEngine::default());
        let state = Data::new(ApiState {
            directory: Arc::new(directory),
            store: Arc::clone(&store) as Arc<dyn Store>,
            engine: Arc::clone(&engine) as Arc<dyn EnginePort>,
            cluster: Arc::new(Alone::new("test", None, Timestamp::now())),
            targets: TargetPolicy::default(),
            auth: Auth::load(&*store, crate::api::auth::digest(ADMIN)).await.expect("a key"),
            limits: Limits { max_webhooks_per_instance: 3, max_body_bytes: 4_096 },
            intake: crate::api::intake::Intake::new(64 << 20),
        });
        Self { state, engine, store }
    }

    pub async fn send(&self, request: test::TestRequest) -> Answer {
        let scope = web::scope("/api/v2").configure(v2::configure);
        let app = App::new().app_data(self.state.clone()).service(scope).default_service(web::to(unknown_path));
        let app = test::init_service(app).await;
        let response = test::call_service(&app, request.to_request()).await;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let body = serde_json::from_slice(&test::read_body(response).await).unwrap_or(Value::Null);
        Answer { status, headers, body }
    }

    /// `method /api/v2{path}`; a body of null is none.
    pub async fn call(&self, method: Method, path: &str, token: &str, body: Value) -> Answer {
        let mut request = test::TestRequest::with_uri(&format!("/api/v2{path}")).method(method);
        if !token.is_empty() {
            request = request.insert_header(("authorization", format!("Bearer {token}")));
        }
        self.send(if body.is_null() { request } else { request.set_json(body) }).await
    }

    pub async fn get(&self, path: &str, token: &str) -> Answer {
        self.call(Method::GET, path, token, Value::Null).await
    }

    pub async fn post(&self, path: &str, token: &str, body: Value) -> Answer {
        self.call(Method::POST, path, token, body).await
    }

    pub async fn put(&self, path: &str, token: &str, body: Value) -> Answer {
        self.call(Method::PUT, path, token, body).await
    }

    pub async fn patch(&self, path: &str, token: &str, body: Value) -> Answer {
        self.call(Method::PATCH, path, token, body).await
    }

    pub async fn delete(&self, path: &str, token: &str) -> Answer {
        self.call(Method::DELETE, path, token, Value::Null).await
    }

    /// A new business: its id and token.
    pub async fn business(&self) -> (String, String) {
        let answer = self.post("/admin/business", ADMIN, json!({"name": "Loja"})).await;
        assert_eq!(answer.status, 201, "{}", answer.body);
        (answer.text("/businessId"), answer.text("/businessToken"))
    }

    /// A new instance of a business: its id and token.
    pub async fn instance(&self, business: &str) -> (String, String) {
        let answer = self.post(&format!("/business/{business}/instance"), ADMIN, Value::Null).await;
        assert_eq!(answer.status, 201, "{}", answer.body);
        (answer.text("/instanceId"), answer.text("/Auth/jwt"))
    }
}
