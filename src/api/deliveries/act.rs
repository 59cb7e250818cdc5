//! Steering deliveries: one again, many again, a test now.

use std::time::Duration;

use actix_web::web::{self, Data};
use actix_web::{HttpRequest, HttpResponse};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::delivery_id;
use super::views::AttemptView;
use crate::api::access::WebhookAccess;
use crate::api::error::{ApiError, ErrorBody};
use crate::api::json::Json;
use crate::api::state::ApiState;
use crate::api::validate::{Fields, FromFields};
use crate::domain::{DeliveryStatus, Timestamp};

/// A delivery that is due again.
#[derive(Serialize, ToSchema, Debug)]
#[serde(rename_all = "camelCase")]
pub struct RetryAnswer {
    pub delivery_id: String,
}

/// Makes a finished delivery due again, or a waiting one due now.
#[utoipa::path(
    post,
    path = "/api/v2/instance/{instanceId}/webhook/{webhookId}/deliveries/{deliveryId}/retry",
    operation_id = "retryDelivery",
    tag = "deliveries",
    params(("instanceId" = String, Path), ("webhookId" = String, Path, format = "uuid"), ("deliveryId" = String, Path)),
    responses(
        (status = 202, description = "It is due now; its timeline tells what became of it.", body = RetryAnswer),
        (status = 422, description = "The webhook does not deliver now.", body = ErrorBody),
        ApiError,
    ),
)]
pub async fn retry(
    access: WebhookAccess,
    request: HttpRequest,
    state: Data<ApiState>,
) -> Result<HttpResponse, ApiError> {
    let event = delivery_id(&request)?;
    state.engine.retry(access.webhook.id, event).await?;
    Ok(HttpResponse::Accepted().json(RetryAnswer { delivery_id: event.to_string() }))
}

/// Which deliveries to make again.
#[derive(Debug)]
pub struct Replay {
    from: Timestamp,
    to: Timestamp,
    statuses: Vec<DeliveryStatus>,
}

/// The body of a replay.
#[derive(Deserialize, ToSchema, Debug)]
pub struct ReplayInput {
    /// Events accepted from here on …
    #[schema(format = DateTime)]
    pub from: String,
    /// … and before this instant.
    #[schema(format = DateTime)]
    pub to: String,
    /// What to make again; `dead` by default.
    pub status: Option<StatusInput>,
}

/// One or several of delivered, dead, superseded, cancelled.
#[derive(Deserialize, ToSchema, Debug)]
#[serde(untagged)]
pub enum StatusInput {
    One(FinishedStatus),
    Many(Vec<FinishedStatus>),
}

/// A status of a delivery that has ended.
#[derive(Deserialize, ToSchema, Clone, Copy, Debug)]
#[serde(rename_all = "lowercase")]
pub enum FinishedStatus {
    Delivered,
    Dead,
    Superseded,
    Cancelled,
}

impl From<FinishedStatus> for DeliveryStatus {
    fn from(status: FinishedStatus) -> Self {
        match status {
            FinishedStatus::Delivered => Self::Delivered,
            FinishedStatus::Dead => Self::Dead,
            FinishedStatus::Superseded => Self::Superseded,
            FinishedStatus::Cancelled => Self::Cancelled,
        }
    }
}

fn statuses(value: Value) -> Option<Vec<DeliveryStatus>> {
    let statuses = match serde_json::from_value(value).ok()? {
        StatusInput::One(status) => vec![status],
        StatusInput::Many(statuses) => statuses,
    };
    (!statuses.is_empty()).then(|| statuses.into_iter().map(Into::into).collect())
}

impl FromFields for Replay {
    fn read(fields: &mut Fields<'_>, _: &ApiState) -> Self {
        const INSTANT: &str = "must be an RFC 3339 instant, e.g. \"2024-04-14T14:11:05.660Z\"";
        const STATUS: &str = "must be one or an array of delivered, dead, superseded, cancelled";
        let instant = |value: Value| Timestamp::parse_rfc3339(value.as_str()?);
        let from = fields.required("from", INSTANT, instant);
        let to = fields.required("to", INSTANT, instant);
        if let (Some(from), Some(to)) = (from, to)
            && from >= to
        {
            fields.problem("to", "must be later than from");
        }
        Self {
            from: from.unwrap_or_default(),
            to: to.unwrap_or_default(),
            statuses: fields.optional("status", STATUS, statuses).unwrap_or_else(|| vec![DeliveryStatus::Dead]),
        }
    }
}

/// How many deliveries are due again.
#[derive(Serialize, ToSchema, Debug)]
pub struct ReplayAnswer {
    pub replayed: u64,
}

/// Makes the finished deliveries of a span of time due again.
#[utoipa::path(
    post,
    path = "/api/v2/instance/{instanceId}/webhook/{webhookId}/replay",
    operation_id = "replayDeliveries",
    tag = "deliveries",
    params(("instanceId" = String, Path), ("webhookId" = String, Path, format = "uuid")),
    request_body = ReplayInput,
    responses(
        (status = 200, body = ReplayAnswer),
        (status = 422, description = "The webhook does not deliver now.", body = ErrorBody),
        ApiError,
    ),
)]
pub async fn replay(
    access: WebhookAccess,
    body: Json<Replay>,
    state: Data<ApiState>,
) -> Result<web::Json<ReplayAnswer>, ApiError> {
    let Replay { from, to, statuses } = body.0;
    let replayed = state.engine.replay(access.webhook.id, from, to, statuses).await?;
    Ok(web::Json(ReplayAnswer { replayed }))
}

/// What the receiver answered to a test event.
#[derive(Serialize, ToSchema, Debug)]
#[serde(rename_all = "camelCase")]
pub struct TestAnswer {
    /// The `webhook-id` the receiver saw. Nothing of the test is stored.
    pub event_id: String,
    pub attempt: AttemptView,
}

/// Sends a test event now and answers with the receiver's reply, a failure included.
#[utoipa::path(
    post,
    path = "/api/v2/instance/{instanceId}/webhook/{webhookId}/test",
    operation_id = "testWebhook",
    tag = "deliveries",
    params(("instanceId" = String, Path), ("webhookId" = String, Path, format = "uuid")),
    responses(
        (status = 200, description = "The test was sent; `attempt` tells how it went.", body = TestAnswer),
        (status = 422, description = "There is nothing to send.", body = ErrorBody),
        ApiError,
    ),
)]
pub async fn test(access: WebhookAccess, state: Data<ApiState>) -> Result<web::Json<TestAnswer>, ApiError> {
    // The attempt has the webhook's own deadline; this bound only keeps a caller from waiting on a stuck engine.
    let bound = access.webhook.timeout() + Duration::from_secs(10);
    let report = tokio::time::timeout(bound, state.engine.test(access.webhook.id)).await.map_err(|_| {
        let message = "the test did not end in time; try again".to_owned();
        ApiError::Unavailable { detail: message.clone(), message, retry_after: Duration::from_secs(5) }
    })??;
    Ok(web::Json(TestAnswer { event_id: report.event.to_string(), attempt: AttemptView::of(&report.attempt) }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_may_be_one_or_several_but_only_of_what_has_ended() {
        assert_eq!(statuses(serde_json::json!("delivered")), Some(vec![DeliveryStatus::Delivered]));
        let both = Some(vec![DeliveryStatus::Dead, DeliveryStatus::Cancelled]);
        assert_eq!(statuses(serde_json::json!(["dead", "cancelled"])), both);
        for wrong in [serde_json::json!("pending"), serde_json::json!([]), serde_json::json!(["dead", 7])] {
            assert_eq!(statuses(wrong), None);
        }
    }
}
