//! Extractors that find what a path names and check that the caller may reach it, before a body is read.
//!
//! They go first in a handler's arguments: a caller without rights learns nothing from a 400 about its body.

use std::future::{Ready, ready};
use std::str::FromStr;
use std::sync::Arc;

use actix_web::{FromRequest, HttpRequest, dev};
use futures_util::future::{Either, LocalBoxFuture};

use super::auth::identity;
use super::error::ApiError;
use super::state::ApiState;
use crate::domain::{Business, Instance, InstanceId, Webhook, WebhookOwner};

/// The caller holds the admin token.
#[derive(Clone, Copy, Debug)]
pub struct AdminAccess;

/// `{businessId}` of the path, reached with the admin's or its own token.
#[derive(Clone, Debug)]
pub struct BusinessAccess(pub Arc<Business>);

/// `{instanceId}` of the path, reached with the admin's, its business's or its own token.
#[derive(Clone, Debug)]
pub struct InstanceAccess(pub Arc<Instance>);

/// `{webhookId}` of the path, a webhook of `{instanceId}`.
#[derive(Clone, Debug)]
pub struct WebhookAccess {
    pub instance: Arc<Instance>,
    pub webhook: Arc<Webhook>,
}

fn segment<'a>(request: &'a HttpRequest, name: &str) -> Result<&'a str, ApiError> {
    request.match_info().get(name).ok_or_else(|| ApiError::Internal(format!("the route has no {{{name}}}")))
}

/// Reads a segment of the path.
///
/// # Errors
/// 400 that names the segment when it does not parse.
pub fn parse_segment<T: FromStr<Err: std::fmt::Display>>(request: &HttpRequest, name: &str) -> Result<T, ApiError> {
    segment(request, name)?.parse().map_err(|problem| ApiError::bad_request(format!("{name} in the path: {problem}")))
}

fn admin(request: &HttpRequest) -> Result<AdminAccess, ApiError> {
    identity(request)?.require_admin().map(|()| AdminAccess)
}

fn business(request: &HttpRequest) -> Result<BusinessAccess, ApiError> {
    let caller = identity(request)?;
    let id = parse_segment(request, "businessId")?;
    caller.require_business(&ApiState::of(request)?.directory, id).map(BusinessAccess)
}

fn instance(request: &HttpRequest) -> Result<InstanceAccess, ApiError> {
    let caller = identity(request)?;
    // A text that cannot be an id is an instance that does not exist.
    let id = InstanceId::new(segment(request, "instanceId")?).map_err(|_| ApiError::not_found("instance"))?;
    caller.require_instance(&ApiState::of(request)?.directory, &id).map(InstanceAccess)
}

fn webhook(request: &HttpRequest) -> Result<WebhookAccess, ApiError> {
    let InstanceAccess(instance) = instance(request)?;
    let id = parse_segment(request, "webhookId")?;
    let webhook = ApiState::of(request)?
        .directory
        .webhook(id)
        .filter(|webhook| matches!(&webhook.owner, WebhookOwner::Instance(owner) if *owner == instance.id))
        .ok_or_else(|| ApiError::not_found("webhook"))?;
    Ok(WebhookAccess { instance, webhook })
}

/// At once, or after a look at what other processes have changed.
pub type Found<T> = Either<Ready<Result<T, ApiError>>, LocalBoxFuture<'static, Result<T, ApiError>>>;

/// Finds what `request` names. What is not known may have been made on another node a moment ago: before 401 or 404 is answered, the
/// store is asked whether the directory has changed.
pub fn find<T: 'static>(request: &HttpRequest, look: fn(&HttpRequest) -> Result<T, ApiError>) -> Found<T> {
    match look(request) {
        Err(missing @ (ApiError::NotFound(_) | ApiError::Unauthorized(_))) => {
            let request = request.clone();
            let again = async move {
                let directory = &ApiState::of(&request)?.directory;
                let has_looked = directory.is_shared() && directory.catch_up().await.unwrap_or(false);
                if has_looked { look(&request) } else { Err(missing) }
            };
            Either::Right(Box::pin(again))
        }
        found => Either::Left(ready(found)),
    }
}

macro_rules! extractor {
    ($access:ty, $find:ident) => {
        impl FromRequest for $access {
            type Error = ApiError;
            type Future = Found<Self>;

            fn from_request(request: &HttpRequest, _: &mut dev::Payload) -> Self::Future {
                find(request, $find)
            }
        }
    };
}

extractor!(AdminAccess, admin);
extractor!(BusinessAccess, business);
extractor!(InstanceAccess, instance);
extractor!(WebhookAccess, webhook);
