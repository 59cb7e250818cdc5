//! `/livez`: the process answers. `/readyz`: it takes events now, at the durability it was set to (P1).

use std::future::{Ready, ready};
use std::time::Duration;

use actix_web::HttpResponse;
use actix_web::web::{Data, Json};
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::state::ApiState;
use crate::store::{Persistence, RedisPersistence, StoreError};

/// A store that does not answer within this time does not take events either.
const CHECK_TIMEOUT: Duration = Duration::from_secs(2);

/// The process runs.
#[derive(Serialize, ToSchema, Debug)]
pub struct Alive {
    pub alive: bool,
}

/// Whether the process takes events.
#[derive(Serialize, ToSchema, Debug)]
pub struct Readiness {
    pub ready: bool,
    /// What an accepted event survives: memory | os | fsync | redis-none | aof-everysec | aof-always.
    pub durability: &'static str,
    /// How Redis is set, where the store is one: read every ten seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub redis: Option<RedisView>,
    /// What an operator should change, although events are taken.
    pub warnings: Vec<String>,
    /// Why it is not ready; empty when it is.
    pub reasons: Vec<&'static str>,
}

/// Settings of Redis that decide what survives; null where it does not tell. Of servers that differ: all values, with `/` between.
#[derive(Serialize, ToSchema, Debug)]
#[serde(rename_all = "camelCase")]
pub struct RedisView {
    #[schema(example = "7.0.15")]
    pub version: String,
    #[schema(example = "yes")]
    pub appendonly: Option<String>,
    #[schema(example = "everysec")]
    pub appendfsync: Option<String>,
    #[schema(example = "noeviction")]
    pub maxmemory_policy: Option<String>,
}

impl From<RedisPersistence> for RedisView {
    fn from(redis: RedisPersistence) -> Self {
        let RedisPersistence { version, appendonly, appendfsync, maxmemory_policy } = redis;
        Self { version, appendonly, appendfsync, maxmemory_policy }
    }
}

/// The process answers; a supervisor restarts it when it does not.
#[utoipa::path(
    get, path = "/livez", operation_id = "livez", tag = "process", security(()), responses((status = 200, body = Alive))
)]
pub fn livez() -> Ready<Json<Alive>> {
    ready(Json(Alive { alive: true }))
}

/// Whether events are taken now; a load balancer sends them elsewhere when not.
#[utoipa::path(
    get,
    path = "/readyz",
    operation_id = "readyz",
    tag = "process",
    security(()),
    responses((status = 200, body = Readiness), (status = 503, description = "See `reasons`.", body = Readiness)),
)]
pub async fn readyz(state: Data<ApiState>) -> HttpResponse {
    let store = tokio::time::timeout(CHECK_TIMEOUT, state.store.check()).await.ok();
    let readiness = judge(state.engine.is_ready(), store, state.store.persistence());
    let mut answer = if readiness.ready { HttpResponse::Ok() } else { HttpResponse::ServiceUnavailable() };
    answer.json(readiness)
}

/// `store` is `None` when it did not answer in time.
fn judge(accepting: bool, store: Option<Result<(), StoreError>>, persistence: Persistence) -> Readiness {
    let mut reasons = Vec::new();
    if !accepting {
        reasons.push("events are not taken: starting, shutting down, or at a bound");
    }
    match store {
        None => reasons.push("the store does not answer"),
        Some(Ok(())) => {}
        // The detail may name hosts and paths, and anybody may ask: it goes to the log.
        Some(Err(error)) => {
            tracing::warn!(%error, "not ready");
            reasons.push(match error {
                StoreError::Full(_) => "the disk is full",
                StoreError::Unavailable(_) | StoreError::Locked(_) | StoreError::Fenced { .. } => {
                    "the store is not available"
                }
                StoreError::Corrupt(_) | StoreError::NewerFormat(_) => "the store cannot be read",
                StoreError::Closed => "the store is closed",
            });
        }
    }
    let Persistence { durability, redis, warnings } = persistence;
    let redis = redis.map(RedisView::from);
    Readiness { ready: reasons.is_empty(), durability: durability.as_str(), redis, warnings, reasons }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Durability;

    #[test]
    fn each_reason_alone_makes_it_not_ready_and_none_names_a_path() {
        assert!(judge(true, Some(Ok(())), Persistence::of(Durability::Fsync)).ready);
        let full = || Some(Err(StoreError::Full("/srv/pombo".into())));
        for (accepting, store, reasons) in
            [(false, Some(Ok(())), 1), (true, None, 1), (true, full(), 1), (false, full(), 2)]
        {
            let readiness = judge(accepting, store, Persistence::of(Durability::Os));
            assert!(!readiness.ready);
            assert_eq!(readiness.reasons.len(), reasons);
            assert!(readiness.reasons.iter().all(|reason| !reason.contains("/srv")));
        }
    }
}
