//! The table of routes. A path that is not in it is 404, a method that its path does not have is 405, both in the vendor's shape.
//!
//! Bodies have bounds where they are read: [`IngestLimits`] for events, `Limits::max_body_bytes` everywhere else.

use std::fmt;
use std::sync::Arc;

use actix_web::http::Method;
use actix_web::web::{self, Data, ServiceConfig};

use super::endpoint::{Endpoint, unknown_path};
use super::ingest::limits::IngestLimits;
use super::legacy::config::ConfigLock;
use super::process::document::{Document, reader};
use super::process::metrics::Exposition;
use super::state::ApiState;
use super::{deliveries, ingest, legacy, process, v2};

/// What all workers of the server share. Made once, before the server starts.
#[derive(Clone)]
pub struct Shared {
    state: Data<ApiState>,
    ingest_limits: Data<IngestLimits>,
    metrics: Data<Exposition>,
    document: Data<Document>,
    legacy_lock: Data<ConfigLock>,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("ingest_limits", &self.ingest_limits).finish_non_exhaustive()
    }
}

impl Shared {
    #[must_use]
    pub fn new(state: ApiState, ingest_limits: IngestLimits, metrics: Arc<Exposition>) -> Self {
        Self {
            state: Data::new(state),
            ingest_limits: Data::new(ingest_limits),
            metrics: Data::from(metrics),
            document: Data::new(Document::new()),
            legacy_lock: Data::default(),
        }
    }
}

/// Mounts the whole API.
pub fn configure(config: &mut ServiceConfig, shared: &Shared) {
    config
        .app_data(shared.state.clone())
        .app_data(shared.ingest_limits.clone())
        .app_data(shared.metrics.clone())
        .app_data(shared.document.clone())
        .app_data(shared.legacy_lock.clone());
    config
        .service(web::scope("/api/v2").configure(v2::configure).configure(events).configure(operation).configure(top));
    legacy(config);
    process(config);
    config.default_service(web::to(unknown_path));
}

fn events(config: &mut ServiceConfig) {
    config.service(Endpoint::at("/instance/{instanceId}/events").on(Method::POST, ingest::ingest).build()).service(
        Endpoint::at("/instance/{instanceId}/messages/{messageId}").on(Method::GET, deliveries::message::show).build(),
    );
}

fn top(config: &mut ServiceConfig) {
    config.service(Endpoint::at("/admin/top").on(Method::GET, deliveries::top::top).build());
}

fn operation(config: &mut ServiceConfig) {
    macro_rules! below_webhook {
        ($path:literal) => {
            Endpoint::at(concat!("/instance/{instanceId}/webhook/{webhookId}", $path))
        };
    }
    config
        .service(below_webhook!("/deliveries").on(Method::GET, deliveries::list::list).build())
        .service(below_webhook!("/deliveries/{deliveryId}").on(Method::GET, deliveries::list::show).build())
        .service(below_webhook!("/deliveries/{deliveryId}/retry").on(Method::POST, deliveries::act::retry).build())
        .service(below_webhook!("/replay").on(Method::POST, deliveries::act::replay).build())
        .service(below_webhook!("/test").on(Method::POST, deliveries::act::test).build())
        .service(below_webhook!("/stats").on(Method::GET, deliveries::stats::stats).build());
}

fn legacy(config: &mut ServiceConfig) {
    config
        .service(Endpoint::at("/api/config/{kind}").on(Method::PUT, legacy::config::config).build())
        .service(Endpoint::at("/api/message/{messageId}").on(Method::GET, legacy::message::message).build());
}

fn process(config: &mut ServiceConfig) {
    config
        .service(Endpoint::at("/livez").on(Method::GET, process::health::livez).build())
        .service(Endpoint::at("/readyz").on(Method::GET, process::health::readyz).build())
        .service(Endpoint::at("/metrics").on(Method::GET, process::metrics::metrics).build())
        .service(Endpoint::at("/openapi.json").on(Method::GET, process::document::show).build())
        .service(web::redirect("/docs", "/docs/"))
        .service(reader());
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod world;
