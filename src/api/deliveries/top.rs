//! Who stands out: metrics have no labels for webhooks, this list names them.

use actix_web::web::{Data, Json};
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};

use super::views::{circuit, wait};
use crate::api::access::AdminAccess;
use crate::api::error::ApiError;
use crate::api::json::Query;
use crate::api::state::ApiState;
use crate::api::validate::{Fields, FromFields, Given};
use crate::domain::{Timestamp, WebhookOwner};
use crate::engine::Standing;

const DEFAULT_K: u64 = 10;
const MAX_K: u64 = 100;

/// `?k=`
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct TopQuery {
    /// How many in each list; 10 by default.
    #[param(value_type = Option<u64>, minimum = 1, maximum = 100)]
    pub k: usize,
}

impl FromFields for TopQuery {
    fn read(fields: &mut Fields<'_>, _: &ApiState) -> Self {
        let k = match fields.integer("k", 1..=MAX_K) {
            Given::Value(k) => k,
            Given::Absent | Given::Null => DEFAULT_K,
        };
        Self { k: k as usize }
    }
}

/// A webhook that has work on the node that answers.
#[derive(Serialize, ToSchema, Debug)]
#[serde(rename_all = "camelCase")]
pub struct StandingView {
    pub webhook_id: String,
    /// Its name.
    pub name: String,
    /// Null for the webhook of a business.
    pub instance_id: Option<String>,
    /// Null for the webhook of an instance.
    pub business_id: Option<String>,
    /// Deliveries that have not ended.
    pub unfinished: u64,
    /// Dead letters.
    pub dead: u64,
    /// Age of its oldest delivery that is due.
    pub oldest_due_seconds: f64,
    /// What holds its next delivery: none | window | throttled | circuit_open | order | paused.
    pub held_by: &'static str,
    /// closed | open | probing
    pub circuit: &'static str,
    pub in_flight: u32,
    /// Attempts of the last five to ten minutes.
    pub attempts: u32,
    /// Those of them that failed.
    pub failed: u32,
    /// failed / attempts
    pub failure_ratio: f64,
    /// Of those attempts, failed ones included.
    pub latency_mean_ms: f64,
    /// Of all attempts since it last began to work.
    pub latency_p50_ms: f64,
    pub latency_p99_ms: f64,
}

/// The first few webhooks in each order. One that is in order does not appear in it.
#[derive(Serialize, ToSchema, Debug)]
#[serde(rename_all = "camelCase")]
pub struct TopView {
    /// Most unfinished deliveries first.
    pub by_backlog: Vec<StandingView>,
    /// Longest due first.
    pub by_oldest: Vec<StandingView>,
    /// Largest share of failed attempts first.
    pub by_failures: Vec<StandingView>,
    /// Longest attempts on average first.
    pub by_latency: Vec<StandingView>,
}

impl StandingView {
    fn of(standing: &Standing, state: &ApiState, now: Timestamp) -> Option<Self> {
        // A webhook that was deleted meanwhile stands nowhere.
        let webhook = state.directory.webhook(standing.webhook)?;
        let (instance_id, business_id) = match &webhook.owner {
            WebhookOwner::Instance(id) => (Some(id.to_string()), None),
            WebhookOwner::Business(id) => (None, Some(id.to_string())),
        };
        Some(Self {
            webhook_id: standing.webhook.to_string(),
            name: webhook.name.clone(),
            instance_id,
            business_id,
            unfinished: standing.unfinished,
            dead: standing.dead,
            oldest_due_seconds: standing.oldest_due.map_or(0.0, |due| now.since(due).as_secs_f64()),
            held_by: wait(standing.held_by),
            circuit: circuit(standing.circuit),
            in_flight: standing.in_flight,
            attempts: standing.attempts,
            failed: standing.failed,
            failure_ratio: f64::from(standing.failed) / f64::from(standing.attempts.max(1)),
            latency_mean_ms: standing.mean_us as f64 / 1_000.0,
            latency_p50_ms: standing.latency_p50_ms,
            latency_p99_ms: standing.latency_p99_ms,
        })
    }
}

/// The webhooks that stand out: by backlog, by oldest delivery, by failures, by latency.
///
/// Of those that have work on the node that answers; with several nodes, ask each. Read from memory: asking costs little.
#[utoipa::path(
    get,
    path = "/api/v2/admin/top",
    operation_id = "topWebhooks",
    tag = "admin",
    params(TopQuery),
    responses((status = 200, body = TopView), ApiError),
)]
pub async fn top(_: AdminAccess, query: Query<TopQuery>, state: Data<ApiState>) -> Json<TopView> {
    let top = state.engine.top(query.0.k).await;
    let now = Timestamp::now();
    let views = |all: Vec<Standing>| all.iter().filter_map(|one| StandingView::of(one, &state, now)).collect();
    Json(TopView {
        by_backlog: views(top.backlog),
        by_oldest: views(top.oldest),
        by_failures: views(top.failures),
        by_latency: views(top.latency),
    })
}
