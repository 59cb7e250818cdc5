//! `/openapi.json`: the whole API as one document, and `/docs` to read and try it, from files in the binary.

use std::future::{Ready, ready};

use actix_web::HttpResponse;
use actix_web::web::Data;
use bytes::Bytes;
use utoipa::openapi::InfoBuilder;
use utoipa::{OpenApi, openapi};
use utoipa_swagger_ui::{Config, SwaggerUi};

use crate::api::error::ErrorBody;
use crate::api::v2::{ManagementDoc, SecuritySchemes};
use crate::api::{deliveries, ingest, legacy, process};

/// The operations of these rooms; the management API brings its own document.
#[derive(OpenApi)]
#[openapi(
    paths(
        ingest::ingest,
        deliveries::list::list,
        deliveries::list::show,
        deliveries::act::retry,
        deliveries::act::replay,
        deliveries::act::test,
        deliveries::stats::stats,
        deliveries::top::top,
        deliveries::message::show,
        legacy::config::config,
        legacy::message::message,
        process::health::livez,
        process::health::readyz,
        process::metrics::metrics,
        show,
    ),
    components(schemas(ErrorBody)),
    security(("bearer" = []), ("apikey" = [])),
    tags(
        (name = "events", description = "What gateways hand in and what became of messages."),
        (name = "deliveries", description = "Look into and steer the deliveries of a webhook."),
        (name = "legacy", description = "The API of apiwhatsappweb.com."),
        (name = "process", description = "Health, metrics and this document."),
    ),
    modifiers(&SecuritySchemes),
)]
#[derive(Debug)]
struct Operations;

/// The document as it is served: written once.
#[derive(Clone, Debug)]
pub struct Document(Bytes);

impl Document {
    /// The whole API: management and the operations of the other rooms.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "assembling is work that a default should not hide")]
    pub fn new() -> Self {
        Self(assemble().to_json().expect("a document of plain data has a JSON form").into())
    }

    /// The document as JSON.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

fn assemble() -> openapi::OpenApi {
    let mut document = Operations::openapi().merge_from(ManagementDoc::openapi());
    document.info = InfoBuilder::new()
        .title("Pombo")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some("Webhook delivery for WhatsApp instances. Every failure has the body `ErrorBody`."))
        .build();
    document.servers = None;
    document
}

/// This document.
#[utoipa::path(
    get,
    path = "/openapi.json",
    operation_id = "openapi",
    tag = "process",
    security(()),
    responses((status = 200, content_type = "application/json", body = serde_json::Value)),
)]
pub fn show(document: Data<Document>) -> Ready<HttpResponse> {
    ready(HttpResponse::Ok().content_type("application/json").body(document.into_inner().0.clone()))
}

/// The reader below `/docs/`. It asks nothing of other hosts: its files are in the binary, its online validator is off.
#[must_use]
pub fn reader() -> SwaggerUi {
    let config = Config::from("/openapi.json").validator_url("none").persist_authorization(true);
    SwaggerUi::new("/docs/{_:.*}").config(config)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document() -> serde_json::Value {
        serde_json::to_value(assemble()).unwrap()
    }

    fn count(item: &openapi::PathItem) -> usize {
        [&item.get, &item.post, &item.put, &item.patch, &item.delete].into_iter().flatten().count()
    }

    #[test]
    fn every_v2_operation_documents_the_failures_it_can_have() {
        let document = document();
        let mut operations = 0;
        for (path, item) in
            document["paths"].as_object().unwrap().iter().filter(|(path, _)| path.starts_with("/api/v2/"))
        {
            for (method, operation) in item.as_object().unwrap() {
                operations += 1;
                let known = operation["responses"].as_object().unwrap();
                for status in ["400", "401", "404", "413", "415", "500", "503"] {
                    assert!(known.contains_key(status), "{method} {path} {status}");
                }
            }
        }
        assert_eq!(operations, ManagementDoc::openapi().paths.paths.values().map(count).sum::<usize>() + 9);
    }

    #[test]
    fn ingest_documents_each_way_to_write_a_body() {
        let document = document();
        let content = &document["paths"]["/api/v2/instance/{instanceId}/events"]["post"]["requestBody"]["content"];
        assert_eq!(
            content.as_object().unwrap().keys().collect::<Vec<_>>(),
            ["application/json", "application/x-ndjson"]
        );
    }

    #[test]
    fn every_reference_leads_to_a_schema() {
        let document = document();
        let text = document.to_string();
        let schemas = document["components"]["schemas"].as_object().unwrap();
        let names: Vec<&str> =
            text.split("#/components/schemas/").skip(1).filter_map(|rest| rest.split('"').next()).collect();
        assert!(names.contains(&"ErrorBody"));
        for name in names {
            assert!(schemas.contains_key(name), "{name}");
        }
    }
}
