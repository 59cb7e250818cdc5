//! `/metrics`: everything the process counts, in the Prometheus text format 0.0.4.

use std::future::{Ready, ready};

use actix_web::HttpResponse;
use actix_web::web::Data;

/// Tells all metrics in that format.
pub type Exposition = dyn Fn() -> String + Send + Sync;

/// The metrics of the process.
#[utoipa::path(
    get,
    path = "/metrics",
    operation_id = "metrics",
    tag = "process",
    security(()),
    responses((status = 200, content_type = "text/plain", body = String)),
)]
pub fn metrics(tell: Data<Exposition>) -> Ready<HttpResponse> {
    let metrics = tell.into_inner()();
    ready(HttpResponse::Ok().content_type("text/plain; version=0.0.4; charset=utf-8").body(metrics))
}
