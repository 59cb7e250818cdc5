//! How a webhook is doing: what waits for it, what it took, how fast it answers.

use actix_web::web::{Data, Json};
use serde::Serialize;
use utoipa::ToSchema;

use super::views::GateView;
use crate::api::access::WebhookAccess;
use crate::api::error::ApiError;
use crate::api::state::ApiState;
use crate::domain::LaneClass;
use crate::engine::WebhookStatus;
use crate::store::LaneCounts;

/// Figures of one webhook.
#[derive(Serialize, ToSchema, Debug)]
#[serde(rename_all = "camelCase")]
pub struct StatsView {
    /// Deliveries that have not ended; the sum of the four below.
    pub unfinished: u64,
    /// Attempted before, waiting for the next attempt.
    pub retrying: u64,
    /// Not yet attempted.
    pub pending: u64,
    /// Not yet attempted history (`*.set`), served when nothing live is due.
    pub pending_history: u64,
    /// Waiting for an earlier event of the same chat or instance.
    pub parked: u64,
    /// Dead letters: kept, listed, replayable.
    pub dead: u64,
    /// Since the process started.
    pub delivered: u64,
    /// Since the process started.
    pub failed_attempts: u64,
    pub latency_p50_ms: f64,
    pub latency_p99_ms: f64,
    pub gate: GateView,
}

impl StatsView {
    fn of(counts: &LaneCounts, status: &WebhookStatus) -> Self {
        let waiting = |class: LaneClass| counts.waiting[class as usize];
        Self {
            unfinished: counts.unfinished(),
            retrying: waiting(LaneClass::Retry),
            pending: waiting(LaneClass::Live),
            pending_history: waiting(LaneClass::Low),
            parked: waiting(LaneClass::Parked),
            dead: counts.dead,
            delivered: status.delivered,
            failed_attempts: status.failed_attempts,
            latency_p50_ms: status.latency_p50_ms,
            latency_p99_ms: status.latency_p99_ms,
            gate: GateView::of(status),
        }
    }
}

/// Figures of the webhook now.
#[utoipa::path(
    get,
    path = "/api/v2/instance/{instanceId}/webhook/{webhookId}/stats",
    operation_id = "webhookStats",
    tag = "deliveries",
    params(("instanceId" = String, Path), ("webhookId" = String, Path, format = "uuid")),
    responses((status = 200, body = StatsView), ApiError),
)]
pub async fn stats(access: WebhookAccess, state: Data<ApiState>) -> Result<Json<StatsView>, ApiError> {
    let webhook = access.webhook.id;
    let status = state.engine.status(webhook).await;
    // Others may have written since this process last looked.
    let counts = state.store.count_lane(webhook).await?;
    Ok(Json(StatsView::of(&counts, &status)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_part_of_the_lane_has_its_own_figure() {
        let counts = LaneCounts { waiting: [1, 20, 300, 4_000], dead: 5 };
        let view = serde_json::to_value(StatsView::of(&counts, &WebhookStatus::default())).unwrap();
        for (name, figure) in [
            ("retrying", 1),
            ("pending", 20),
            ("pendingHistory", 300),
            ("parked", 4_000),
            ("dead", 5),
            ("unfinished", 4_321),
        ] {
            assert_eq!(view[name], figure, "{name}");
        }
    }
}
