//! The management routes of API v2: businesses, instances, webhooks, and the nodes.

pub mod admin;
pub mod business;
pub mod cluster;
pub mod instance;
pub mod instances;
pub mod objects;
pub mod search;
pub mod webhook;
pub mod webhook_body;
pub mod webhook_control;
pub mod webhook_fields;
pub mod webhook_input;
pub mod webhook_object;

use actix_web::http::Method;
use actix_web::web::ServiceConfig;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{Modify, OpenApi};

use super::endpoint::Endpoint;
use super::error::ErrorBody;

/// Adds the routes below the scope `/api/v2`.
pub fn configure(scope: &mut ServiceConfig) {
    let endpoints = [
        Endpoint::at("/admin/business").on(Method::GET, admin::list).on(Method::POST, admin::create),
        Endpoint::at("/admin/business/{businessId}")
            .on(Method::GET, admin::get)
            .on(Method::PUT, admin::update)
            .on(Method::DELETE, admin::delete),
        Endpoint::at("/admin/business/{businessId}/refresh-token").on(Method::PATCH, admin::refresh_token),
        Endpoint::at("/admin/cluster").on(Method::GET, cluster::show),
        Endpoint::at("/business/{businessId}").on(Method::GET, business::get).on(Method::PUT, business::update),
        Endpoint::at("/business/{businessId}/webhook")
            .on(Method::GET, business::get_webhook)
            .on(Method::PUT, business::put_webhook)
            .on(Method::DELETE, business::delete_webhook),
        Endpoint::at("/business/{businessId}/instance")
            .on(Method::POST, instances::create)
            .on(Method::DELETE, instances::delete),
        Endpoint::at("/business/{businessId}/instance/search").on(Method::POST, search::search),
        Endpoint::at("/business/{businessId}/instance/connected").on(Method::GET, instances::connected),
        Endpoint::at("/instance/{instanceId}").on(Method::GET, instance::get),
        Endpoint::at("/instance/{instanceId}/refresh-token").on(Method::PATCH, instance::refresh_token),
        Endpoint::at("/instance/{instanceId}/activate").on(Method::PATCH, instance::activate),
        Endpoint::at("/instance/{instanceId}/deactivate").on(Method::PATCH, instance::deactivate),
        Endpoint::at("/instance/{instanceId}/connection-state").on(Method::GET, instance::connection_state),
        Endpoint::at("/instance/{instanceId}/webhook").on(Method::GET, webhook::list).on(Method::POST, webhook::create),
        Endpoint::at("/instance/{instanceId}/webhook/{webhookId}")
            .on(Method::GET, webhook::get)
            .on(Method::PUT, webhook::update)
            .on(Method::DELETE, webhook::delete),
        Endpoint::at("/instance/{instanceId}/webhook/{webhookId}/events")
            .on(Method::PATCH, webhook_control::set_events),
        Endpoint::at("/instance/{instanceId}/webhook/{webhookId}/pause").on(Method::POST, webhook_control::pause),
        Endpoint::at("/instance/{instanceId}/webhook/{webhookId}/resume").on(Method::POST, webhook_control::resume),
        Endpoint::at("/instance/{instanceId}/webhook/{webhookId}/secret/rotate")
            .on(Method::POST, webhook_control::rotate_secret),
    ];
    for endpoint in endpoints {
        scope.service(endpoint.build());
    }
}

/// The OpenAPI document of these routes.
#[derive(Debug, OpenApi)]
#[openapi(
    paths(
        admin::list,
        admin::create,
        admin::get,
        admin::update,
        admin::delete,
        admin::refresh_token,
        cluster::show,
        business::get,
        business::update,
        business::get_webhook,
        business::put_webhook,
        business::delete_webhook,
        instances::create,
        instances::delete,
        search::search,
        instances::connected,
        instance::get,
        instance::refresh_token,
        instance::activate,
        instance::deactivate,
        instance::connection_state,
        webhook::list,
        webhook::create,
        webhook::get,
        webhook::update,
        webhook::delete,
        webhook_control::set_events,
        webhook_control::pause,
        webhook_control::resume,
        webhook_control::rotate_secret,
    ),
    components(schemas(ErrorBody)),
    modifiers(&SecuritySchemes)
)]
pub struct ManagementDoc;

/// `bearer` and `apikey`: two ways to send the same token.
#[derive(Clone, Copy, Debug)]
pub struct SecuritySchemes;

impl Modify for SecuritySchemes {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let components = document.components.get_or_insert_default();
        let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build();
        components.add_security_scheme("bearer", SecurityScheme::Http(bearer));
        components.add_security_scheme("apikey", SecurityScheme::ApiKey(ApiKey::Header(ApiKeyValue::new("apikey"))));
    }
}

#[cfg(test)]
mod tests;
