//! Looking into and steering the deliveries of one webhook, below `/api/v2/instance/{instanceId}/webhook/{webhookId}`.

pub mod act;
pub mod failure;
pub mod list;
pub mod message;
pub mod stats;
pub mod timeline;
pub mod top;
pub mod views;

use actix_web::HttpRequest;

use super::access::parse_segment;
use super::error::ApiError;
use crate::domain::EventId;

/// `{deliveryId}` of the path. A text that cannot be an id is a delivery that does not exist.
fn delivery_id(request: &HttpRequest) -> Result<EventId, ApiError> {
    parse_segment(request, "deliveryId").map_err(|_| ApiError::not_found("delivery"))
}
