//! `GET /api/message/{messageId}`: the status of a message, kept 30 days.

use actix_web::HttpRequest;
use actix_web::web::{Data, Json};
use serde::Serialize;
use utoipa::ToSchema;

use super::answer::{Failure, LegacyError};
use super::instance;
use crate::api::access::parse_segment;
use crate::api::state::ApiState;
use crate::domain::{MessageState, MessageStatus};

/// The status of a message in the legacy shape.
#[derive(Serialize, ToSchema, Debug)]
pub struct MessageAnswer {
    pub success: LegacyMessage,
}

/// What is known of a message.
#[derive(Serialize, ToSchema, Debug)]
#[serde(rename_all = "camelCase")]
pub struct LegacyMessage {
    pub message_id: String,
    /// Null when no event told it.
    pub number: Option<String>,
    /// Pending | Error | Sent | Received | Read | Played | Deleted
    pub status: &'static str,
    #[schema(format = DateTime)]
    pub updated_at: String,
}

impl LegacyMessage {
    fn of(message: &MessageStatus) -> Self {
        Self {
            message_id: message.message_id.to_string(),
            number: (!message.number.is_empty()).then(|| message.number.to_string()),
            status: word(message.state),
            updated_at: message.updated_at.to_rfc3339(),
        }
    }
}

/// The vendor's words for a state.
const fn word(state: MessageState) -> &'static str {
    match state {
        MessageState::Pending => "Pending",
        MessageState::Error => "Error",
        MessageState::ServerAck => "Sent",
        MessageState::DeliveryAck => "Received",
        MessageState::Read => "Read",
        MessageState::Played => "Played",
        MessageState::Deleted => "Deleted",
    }
}

/// The status of a message.
#[utoipa::path(
    get,
    path = "/api/message/{messageId}",
    operation_id = "legacyMessage",
    tag = "legacy",
    params(
        ("messageId" = String, Path),
        ("apiKey" = String, Header, description = "An instance, business or admin token."),
        ("id" = String, Header, description = "The instance's id."),
    ),
    security(()),
    responses(
        (status = 200, body = MessageAnswer),
        (status = 400, description = "Unknown instance.", body = Failure),
        (status = 401, description = "Wrong apiKey.", body = Failure),
        (status = 404, description = "Unknown message, or past its 30 days.", body = Failure),
        (status = 500, body = Failure),
        (status = 503, body = Failure),
    ),
)]
pub async fn message(request: HttpRequest, state: Data<ApiState>) -> Result<Json<MessageAnswer>, LegacyError> {
    let instance = instance(&request, &state)?;
    let message_id: String = parse_segment(&request, "messageId")?;
    let message = state.store.message(&instance.id, &message_id).await?;
    let message = message.ok_or_else(|| LegacyError::not_found("Message not found"))?;
    Ok(Json(MessageAnswer { success: LegacyMessage::of(&message) }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Timestamp;

    #[test]
    fn the_answer_uses_the_words_of_the_legacy_webhook() {
        let message = MessageStatus {
            message_id: "3EB0".into(),
            state: MessageState::DeliveryAck,
            number: "".into(),
            updated_at: Timestamp::from_millis(0),
        };
        let json = serde_json::to_value(MessageAnswer { success: LegacyMessage::of(&message) }).unwrap();
        let expected = serde_json::json!({"success": {
            "messageId": "3EB0", "number": null, "status": "Received", "updatedAt": "1970-01-01T00:00:00.000Z"}});
        assert_eq!(json, expected);
    }
}
