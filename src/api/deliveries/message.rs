//! The status of a message, as far as events told it; kept 30 days.

use actix_web::HttpRequest;
use actix_web::web::{Data, Json};
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::access::{InstanceAccess, parse_segment};
use crate::api::error::ApiError;
use crate::api::state::ApiState;
use crate::domain::MessageStatus;

/// What is known of a message.
#[derive(Serialize, ToSchema, Debug)]
#[serde(rename_all = "camelCase")]
pub struct MessageView {
    pub message_id: String,
    /// PENDING | ERROR | SERVER_ACK | DELIVERY_ACK | READ | PLAYED | DELETED
    pub status: &'static str,
    /// The other side; null when no event told it.
    pub number: Option<String>,
    #[schema(format = DateTime)]
    pub updated_at: String,
}

impl MessageView {
    fn of(message: &MessageStatus) -> Self {
        Self {
            message_id: message.message_id.to_string(),
            status: message.state.as_str(),
            number: (!message.number.is_empty()).then(|| message.number.to_string()),
            updated_at: message.updated_at.to_rfc3339(),
        }
    }
}

/// The status of a message.
#[utoipa::path(
    get,
    path = "/api/v2/instance/{instanceId}/messages/{messageId}",
    operation_id = "messageStatus",
    tag = "events",
    params(("instanceId" = String, Path), ("messageId" = String, Path)),
    responses((status = 200, body = MessageView), ApiError),
)]
pub async fn show(
    InstanceAccess(instance): InstanceAccess,
    request: HttpRequest,
    state: Data<ApiState>,
) -> Result<Json<MessageView>, ApiError> {
    let message_id: String = parse_segment(&request, "messageId")?;
    let message = state.store.message(&instance.id, &message_id).await?;
    message.as_ref().map(|message| Json(MessageView::of(message))).ok_or_else(|| ApiError::not_found("message"))
}
