//! The API over a memory store and an engine that writes down what it is asked.

use std::sync::Arc;

use actix_web::http::header::HeaderMap;
use actix_web::test::{TestRequest, call_service, init_service};
use actix_web::{App, HttpMessage as _, body, http};
use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::LocalBoxFuture;
use parking_lot::Mutex;
use serde_json::Value;

use super::{Shared, configure};
use crate::api::auth::Auth;
use crate::api::ingest::limits::IngestLimits;
use crate::api::legacy::webhook::LegacyKind;
use crate::api::ports::EnginePort;
use crate::api::state::{ApiState, Limits};
use crate::cluster::Alone;
use crate::directory::Directory;
use crate::domain::{
    Business, BusinessId, Connection, DeliveryStatus, EventId, EventIds, Instance, InstanceId, InstanceState, NewEvent,
    Secret, Timestamp, Webhook, WebhookId,
};
use crate::engine::{Accepted, IngestError, OperateError, TestReport, WebhookStatus};
use crate::store::contract::fixtures;
use crate::store::memory::MemoryStore;
use crate::store::{DirectoryChange, Store};
use crate::transport::TargetPolicy;

pub const ADMIN: &str = "admin-token";

/// What an engine was asked, and how it answers.
#[derive(Debug)]
pub struct Notebook {
    ids: EventIds,
    pub taken: Mutex<Vec<NewEvent>>,
    pub replays: Mutex<Vec<(Timestamp, Timestamp, Vec<DeliveryStatus>)>>,
    /// The next ingest is refused with it.
    pub refusal: Mutex<Option<IngestError>>,
    /// The next retry is refused with it.
    pub retry_refusal: Mutex<Option<OperateError>>,
    pub accepting: Mutex<bool>,
}

impl EnginePort for Notebook {
    fn ingest<'a>(
        &'a self,
        _: &'a InstanceId,
        events: Vec<NewEvent>,
    ) -> LocalBoxFuture<'a, Result<Accepted, IngestError>> {
        let answer = self.refusal.lock().take().map_or_else(
            || {
                let ids = events.iter().map(|_| self.ids.next(Timestamp::now())).collect();
                self.taken.lock().extend(events);
                Ok(Accepted { ids, duplicates: 0 })
            },
            Err,
        );
        async { answer }.boxed_local()
    }

    fn status(&self, _: WebhookId) -> LocalBoxFuture<'_, WebhookStatus> {
        async { WebhookStatus { in_flight: 3, ..WebhookStatus::default() } }.boxed_local()
    }

    fn retry(&self, _: WebhookId, _: EventId) -> LocalBoxFuture<'_, Result<(), OperateError>> {
        let refusal = self.retry_refusal.lock().take();
        async { refusal.map_or(Ok(()), Err) }.boxed_local()
    }

    fn replay(
        &self,
        _: WebhookId,
        from: Timestamp,
        to: Timestamp,
        statuses: Vec<DeliveryStatus>,
    ) -> LocalBoxFuture<'_, Result<u64, OperateError>> {
        self.replays.lock().push((from, to, statuses));
        async { Ok(7) }.boxed_local()
    }

    fn test(&self, _: WebhookId) -> LocalBoxFuture<'_, Result<TestReport, OperateError>> {
        let report = TestReport { event: fixtures::event_id(0, 0), attempt: fixtures::attempt(1, false) };
        async { Ok(report) }.boxed_local()
    }

    fn is_ready(&self) -> bool {
        *self.accepting.lock()
    }
}

/// A business with the instance `shop-1` of the store's fixtures and one webhook, and another business with `shop-2`.
#[derive(Debug)]
pub struct World {
    pub shared: Shared,
    pub engine: Arc<Notebook>,
    pub store: Arc<dyn Store>,
    pub directory: Arc<Directory>,
    pub webhook: Webhook,
    pub instance_token: String,
    pub other_token: String,
}

pub struct Reply {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Reply {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

impl World {
    pub async fn new() -> Self {
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
        let directory = Arc::new(Directory::load(Arc::clone(&store)).await.unwrap());
        let auth = Auth::load(&*store, crate::api::auth::digest(ADMIN)).await.unwrap();
        let now = Timestamp::now();
        let mut changes = Vec::new();
        let mut tokens = Vec::new();
        for name in ["shop-1", "shop-2"] {
            let business = Business {
                id: BusinessId::random(),
                name: name.into(),
                token: format!("business-of-{name}"),
                attributes: serde_json::Map::new(),
                created_at: now,
                updated_at: now,
            };
            let id = InstanceId::new(name).unwrap();
            let jwt = auth.issue(&id, now).unwrap();
            tokens.push(jwt.clone());
            let instance = instance(id, business.id, jwt, now);
            changes.push(DirectoryChange::PutBusiness(Box::new(business)));
            changes.push(DirectoryChange::PutInstance(Box::new(instance)));
        }
        let secret = Secret::random().unwrap();
        let mut webhook = LegacyKind::Sent.webhook(&fixtures::instance(), "https://example.com/a".into(), secret, now);
        webhook.id = fixtures::webhook(1);
        changes.push(DirectoryChange::PutWebhook(Box::new(webhook.clone())));
        directory.apply(changes).await.unwrap();

        let engine = Arc::new(Notebook {
            ids: EventIds::new(1),
            taken: Mutex::default(),
            replays: Mutex::default(),
            refusal: Mutex::default(),
            retry_refusal: Mutex::default(),
            accepting: Mutex::new(true),
        });
        let state = ApiState {
            directory: Arc::clone(&directory),
            store: Arc::clone(&store),
            engine: Arc::clone(&engine) as _,
            cluster: Arc::new(Alone::new("test", None, Timestamp::now())),
            targets: TargetPolicy::default(),
            auth,
            limits: Limits::default(),
            intake: crate::api::intake::Intake::new(64 << 20),
        };
        let limits = IngestLimits { max_body_bytes: 1 << 20, max_events: 100, ..IngestLimits::default() };
        let metrics = Arc::new(String::new);
        let [instance_token, other_token] = tokens.try_into().unwrap();
        let shared = Shared::new(state, limits, metrics);
        Self { shared, engine, store, directory, webhook, instance_token, other_token }
    }

    /// Sends `request` with the token of `shop-1`, unless it brings its own.
    pub async fn call(&self, request: TestRequest) -> Reply {
        let app = init_service(App::new().configure(|config| configure(config, &self.shared))).await;
        let mut request = request.to_request();
        let named = ["authorization", "apikey"].iter().any(|name| request.headers().contains_key(*name));
        if !named {
            let bearer = format!("Bearer {}", self.instance_token).parse().unwrap();
            request.headers_mut().insert(http::header::AUTHORIZATION, bearer);
        }
        let answer = call_service(&app, request).await;
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        Reply { status, headers, body: body::to_bytes(answer.into_body()).await.unwrap() }
    }

    /// A path below the webhook.
    pub fn below_webhook(&self, rest: &str) -> String {
        format!("/api/v2/instance/shop-1/webhook/{}{rest}", self.webhook.id)
    }
}

fn instance(id: InstanceId, business: BusinessId, jwt: String, now: Timestamp) -> Instance {
    Instance {
        name: id.to_string(),
        id,
        business,
        state: InstanceState::Active,
        connection: Connection::Open,
        status_reason: 0,
        auth_id: "a".into(),
        jwt,
        auth_updated_at: now,
        whatsapp: None,
        created_at: now,
        updated_at: now,
    }
}
