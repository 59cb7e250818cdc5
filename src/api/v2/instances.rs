//! A business makes and deletes its instances, and sees which are online.

use actix_web::HttpResponse;
use actix_web::web::Data;
use utoipa::{IntoParams, ToSchema};

use super::objects::{ConnectedAnswer, InstanceObject};
use crate::api::access::BusinessAccess;
use crate::api::error::ApiError;
use crate::api::json::{Json, Query};
use crate::api::state::ApiState;
use crate::api::validate::{Fields, FromFields, NAME_RULE, name};
use crate::domain::{Connection, Instance, InstanceId, InstanceState, Timestamp};
use crate::store::DirectoryChange;

const ID_RULE: &str = "must be 1 to 128 characters of A-Z a-z 0-9 . _ : @ -";

/// The body that makes an instance; may be left out.
#[derive(Debug, ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct NewInstance {
    /// Made when left out.
    #[schema(min_length = 1, max_length = 256)]
    pub instance_name: Option<String>,
    /// Becomes the `instanceId`.
    #[schema(value_type = Option<String>, max_length = 128)]
    pub external_id: Option<InstanceId>,
}

impl FromFields for NewInstance {
    const MAY_BE_EMPTY: bool = true;

    fn read(fields: &mut Fields<'_>, _: &ApiState) -> Self {
        Self {
            instance_name: fields.optional("instanceName", NAME_RULE, name),
            external_id: fields.optional("externalId", ID_RULE, |value| InstanceId::new(value.as_str()?).ok()),
        }
    }
}

/// Which instance to delete.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query, rename_all = "camelCase")]
pub struct Doomed {
    #[param(value_type = String)]
    pub instance_id: String,
    /// Also while it is connected.
    #[param(value_type = Option<bool>)]
    pub force: bool,
}

impl FromFields for Doomed {
    fn read(fields: &mut Fields<'_>, _: &ApiState) -> Self {
        let id = fields.required("instanceId", ID_RULE, |value| Some(value.as_str()?.to_owned()));
        Self { instance_id: id.unwrap_or_default(), force: fields.boolean("force").unwrap_or(false) }
    }
}

/// Make an instance; its token is in `Auth.jwt`.
#[utoipa::path(post, path = "/api/v2/business/{businessId}/instance", tag = "business",
    params(("businessId" = String, Path, format = "uuid")), request_body = Option<NewInstance>, security(("bearer" = []), ("apikey" = [])),
    responses((status = 201, body = InstanceObject), ApiError))]
pub async fn create(
    business: BusinessAccess,
    state: Data<ApiState>,
    body: Json<NewInstance>,
) -> Result<HttpResponse, ApiError> {
    let (business, now) = (business.0.id, Timestamp::now());
    let id = body.0.external_id.unwrap_or_else(InstanceId::random);
    let name = body.0.instance_name.unwrap_or_else(random_name);
    let instance = Instance {
        jwt: state.auth.issue(&id, now)?,
        id,
        business,
        name,
        state: InstanceState::default(),
        connection: Connection::default(),
        status_reason: 0,
        auth_id: uuid::Uuid::new_v4().to_string(),
        auth_updated_at: now,
        whatsapp: None,
        created_at: now,
        updated_at: now,
    };
    let answer = InstanceObject::from(&instance);
    state
        .directory
        .transact(|records| {
            if records.business(business).is_none() {
                return Err(ApiError::not_found("business"));
            }
            if records.instance(&instance.id).is_some() {
                return Err(ApiError::Conflict(format!("externalId {} is taken; choose another", instance.id)));
            }
            if records.instance_by_name(business, &instance.name).is_some() {
                let text = format!("instanceName {:?} is taken in this business; choose another", instance.name);
                return Err(ApiError::Conflict(text));
            }
            Ok((vec![DirectoryChange::PutInstance(Box::new(instance))], ()))
        })
        .await?;
    Ok(HttpResponse::Created().json(answer))
}

fn random_name() -> String {
    let mut name = uuid::Uuid::new_v4().simple().to_string();
    name.truncate(12);
    format!("instance-{name}")
}

/// Delete an instance with its webhooks; 403 while it is connected, unless forced.
#[utoipa::path(delete, path = "/api/v2/business/{businessId}/instance", tag = "business",
    params(("businessId" = String, Path, format = "uuid"), Doomed), security(("bearer" = []), ("apikey" = [])),
    responses((status = 200, body = InstanceObject), ApiError))]
pub async fn delete(
    business: BusinessAccess,
    state: Data<ApiState>,
    query: Query<Doomed>,
) -> Result<HttpResponse, ApiError> {
    let Query(Doomed { instance_id, force }) = query;
    let gone = state
        .directory
        .transact(|records| {
            let instance = InstanceId::new(&instance_id)
                .ok()
                .and_then(|id| records.instance(&id).cloned())
                .filter(|instance| instance.business == business.0.id)
                .ok_or_else(|| ApiError::not_found("instance"))?;
            if instance.connection == Connection::Open && !force {
                let text = "the instance is connected: log it out first, or add force=true to the query";
                return Err(ApiError::Forbidden(text.to_owned()));
            }
            Ok((vec![DirectoryChange::DeleteInstance(instance.id.clone())], instance))
        })
        .await?;
    Ok(HttpResponse::Ok().json(InstanceObject::deleted(&gone, Timestamp::now())))
}

/// The instances that are online.
#[utoipa::path(get, path = "/api/v2/business/{businessId}/instance/connected", tag = "business",
    params(("businessId" = String, Path, format = "uuid")), security(("bearer" = []), ("apikey" = [])),
    responses((status = 200, body = ConnectedAnswer), ApiError))]
pub async fn connected(business: BusinessAccess, state: Data<ApiState>) -> HttpResponse {
    let online = |instance: &Instance| instance.connection == Connection::Open;
    let instances = state.directory.instances_of_business(business.0.id);
    HttpResponse::Ok().json(ConnectedAnswer {
        business_id: business.0.id.to_string(),
        name: business.0.name.clone(),
        instances: instances.iter().filter(|i| online(i)).map(|i| InstanceObject::from(&**i)).collect(),
    })
}
