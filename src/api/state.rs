//! What every handler has at hand; shared by all workers of the server.

use std::sync::Arc;

use actix_web::HttpRequest;
use actix_web::web::Data;

use super::auth::Auth;
use super::error::ApiError;
use super::intake::Intake;
use super::ports::EnginePort;
use crate::cluster::Membership;
use crate::directory::Directory;
use crate::store::Store;
use crate::transport::TargetPolicy;

/// Registered as `Data<ApiState>` of the application.
#[derive(Debug)]
pub struct ApiState {
    pub directory: Arc<Directory>,
    pub store: Arc<dyn Store>,
    pub engine: Arc<dyn EnginePort>,
    /// Who else is there; only to be shown.
    pub cluster: Arc<dyn Membership>,
    /// Which URLs a webhook may have.
    pub targets: TargetPolicy,
    pub auth: Auth,
    pub limits: Limits,
    /// Room for request bodies.
    pub intake: Intake,
}

/// Bounds on what one request may ask for.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub max_webhooks_per_instance: usize,
    /// Of a management request, after decompression.
    pub max_body_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_webhooks_per_instance: 1_000, max_body_bytes: 1 << 20 }
    }
}

impl ApiState {
    /// The state of the application a request came to.
    ///
    /// # Errors
    /// When the application was built without one.
    pub fn of(request: &HttpRequest) -> Result<&Data<Self>, ApiError> {
        request.app_data::<Data<Self>>().ok_or_else(|| ApiError::Internal("ApiState is not registered".to_owned()))
    }
}
