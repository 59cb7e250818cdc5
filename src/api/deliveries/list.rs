//! Deliveries in pages, newest event first, and one of them with its whole timeline.

use actix_web::HttpRequest;
use actix_web::web::{Data, Json};

use super::delivery_id;
use super::timeline::TimelineView;
use super::views::{DeliveryPage, DeliveryView};
use crate::api::access::WebhookAccess;
use crate::api::error::ApiError;
use crate::api::json::Query;
use crate::api::state::ApiState;
use crate::api::validate::{Fields, FromFields, Given};
use crate::domain::{DeliveryStatus, EventId, EventKind};
use crate::store::DeliveryQuery;

const DEFAULT_LIMIT: u64 = 50;
const MAX_LIMIT: u64 = 200;

/// What to list.
#[derive(Debug)]
pub struct ListQuery {
    status: Option<DeliveryStatus>,
    kind: Option<EventKind>,
    before: Option<EventId>,
    limit: usize,
}

impl FromFields for ListQuery {
    fn read(fields: &mut Fields<'_>, _: &ApiState) -> Self {
        let limit = match fields.integer("limit", 1..=MAX_LIMIT) {
            Given::Value(limit) => limit,
            Given::Absent | Given::Null => DEFAULT_LIMIT,
        };
        let statuses = "pending, retrying, delivered, dead, superseded, cancelled";
        Self {
            status: value(fields.choice("status", statuses, DeliveryStatus::parse)),
            kind: value(fields.choice("event", "the kinds of events, e.g. messages.upsert", EventKind::parse)),
            before: fields
                .optional("before", "must be the next of an earlier page", |text| text.as_str()?.parse().ok()),
            limit: limit as usize,
        }
    }
}

fn value<T>(given: Given<T>) -> Option<T> {
    match given {
        Given::Value(value) => Some(value),
        Given::Absent | Given::Null => None,
    }
}

/// Lists deliveries, newest first.
#[utoipa::path(
    get,
    path = "/api/v2/instance/{instanceId}/webhook/{webhookId}/deliveries",
    operation_id = "listDeliveries",
    tag = "deliveries",
    params(
        ("instanceId" = String, Path), ("webhookId" = String, Path, format = "uuid"),
        ("status" = Option<String>, Query, description = "pending | retrying | delivered | dead | superseded | cancelled"),
        ("event" = Option<String>, Query, description = "A kind of event, by wire name or flag."),
        ("before" = Option<String>, Query, description = "`next` of the page before."),
        ("limit" = Option<u64>, Query, minimum = 1, maximum = 200, description = "50 by default."),
    ),
    responses((status = 200, body = DeliveryPage), ApiError),
)]
pub async fn list(
    access: WebhookAccess,
    query: Query<ListQuery>,
    state: Data<ApiState>,
) -> Result<Json<DeliveryPage>, ApiError> {
    let ListQuery { status, kind, before, limit } = query.0;
    // One more than asked for tells whether there is another page.
    let query = DeliveryQuery { webhook: access.webhook.id, status, kind, before, limit: limit + 1 };
    let found = state.store.deliveries(query).await?;
    let next = found.get(limit).and_then(|_| found.get(limit - 1)).map(|last| last.event.to_string());
    Ok(Json(DeliveryPage { deliveries: found.iter().take(limit).map(DeliveryView::of).collect(), next }))
}

/// Explains one delivery: accepted, held back, every wait and attempt, what comes next.
#[utoipa::path(
    get,
    path = "/api/v2/instance/{instanceId}/webhook/{webhookId}/deliveries/{deliveryId}",
    operation_id = "getDelivery",
    tag = "deliveries",
    params(("instanceId" = String, Path), ("webhookId" = String, Path, format = "uuid"), ("deliveryId" = String, Path)),
    responses((status = 200, body = TimelineView), ApiError),
)]
pub async fn show(
    access: WebhookAccess,
    request: HttpRequest,
    state: Data<ApiState>,
) -> Result<Json<TimelineView>, ApiError> {
    let webhook = access.webhook.id;
    let known = state.store.timeline(webhook, delivery_id(&request)?).await?;
    // The store finds events by id alone: one of another instance must not show here, not even as "held back".
    let known = known.filter(|known| {
        known.event.instance == access.instance.id && (known.delivery.is_some() || known.held_back.is_some())
    });
    let known = known.ok_or_else(|| ApiError::not_found("delivery"))?;
    let gate = state.engine.status(webhook).await;
    Ok(Json(TimelineView::of(webhook.to_string(), &known, &gate)))
}
