//! What only the admin may do: businesses come, go and get new tokens.

use actix_web::HttpResponse;
use actix_web::web::Data;
use serde_json::{Map, Value};
use utoipa::{IntoParams, ToSchema};

use super::business::{BusinessChange, read_attributes};
use super::objects::{BusinessObject, NewToken};
use crate::api::access::{AdminAccess, BusinessAccess};
use crate::api::auth::{random_token, same_token};
use crate::api::error::ApiError;
use crate::api::json::{Json, Query};
use crate::api::state::ApiState;
use crate::api::validate::{Fields, FromFields, NAME_RULE, name};
use crate::domain::{Business, BusinessId, Timestamp};
use crate::store::DirectoryChange;

/// The body that makes a business.
#[derive(Debug, ToSchema)]
pub struct NewBusiness {
    #[schema(value_type = String, min_length = 1, max_length = 256)]
    pub name: Option<String>,
    #[schema(value_type = Option<Object>)]
    pub attributes: Map<String, Value>,
}

impl FromFields for NewBusiness {
    fn read(fields: &mut Fields<'_>, _: &ApiState) -> Self {
        let name = fields.required("name", NAME_RULE, name);
        Self { name, attributes: read_attributes(fields).value().unwrap_or_default() }
    }
}

/// The body of a token's refresh.
#[derive(Debug, ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct OldToken {
    /// The token in force.
    pub old_token: String,
}

impl FromFields for OldToken {
    fn read(fields: &mut Fields<'_>, _: &ApiState) -> Self {
        let old = fields.required("oldToken", "must be the token in force", |value| Some(value.as_str()?.to_owned()));
        Self { old_token: old.unwrap_or_default() }
    }
}

impl OldToken {
    /// # Errors
    /// 400 when it is not the token in force.
    pub fn check(&self, in_force: &str) -> Result<(), ApiError> {
        if same_token(&self.old_token, in_force) {
            return Ok(());
        }
        Err(ApiError::bad_request("oldToken must be the token in force; GET the object to see it"))
    }
}

/// `?force=true`
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Force {
    /// Delete what it owns as well.
    #[param(value_type = Option<bool>)]
    pub force: bool,
}

impl FromFields for Force {
    fn read(fields: &mut Fields<'_>, _: &ApiState) -> Self {
        Self { force: fields.boolean("force").unwrap_or(false) }
    }
}

/// Make a business.
#[utoipa::path(post, path = "/api/v2/admin/business", tag = "admin", request_body = NewBusiness,
    security(("bearer" = []), ("apikey" = [])), responses((status = 201, body = BusinessObject), ApiError))]
pub async fn create(_: AdminAccess, state: Data<ApiState>, body: Json<NewBusiness>) -> Result<HttpResponse, ApiError> {
    let Json(NewBusiness { name, attributes }) = body;
    let now = Timestamp::now();
    let business = Business {
        id: BusinessId::random(),
        name: name.unwrap_or_default(),
        token: fresh_token()?,
        attributes,
        created_at: now,
        updated_at: now,
    };
    let answer = BusinessObject::from(&business);
    state.directory.apply(vec![DirectoryChange::PutBusiness(Box::new(business))]).await?;
    Ok(HttpResponse::Created().json(answer))
}

/// All businesses, oldest first.
#[utoipa::path(get, path = "/api/v2/admin/business", tag = "admin",
    security(("bearer" = []), ("apikey" = [])), responses((status = 200, body = Vec<BusinessObject>), ApiError))]
pub async fn list(_: AdminAccess, state: Data<ApiState>) -> HttpResponse {
    let all: Vec<_> = state.directory.businesses().iter().map(|business| BusinessObject::from(&**business)).collect();
    HttpResponse::Ok().json(all)
}

/// One business.
#[utoipa::path(get, path = "/api/v2/admin/business/{businessId}", tag = "admin", params(("businessId" = String, Path, format = "uuid")),
    security(("bearer" = []), ("apikey" = [])), responses((status = 200, body = BusinessObject), ApiError))]
pub async fn get(_: AdminAccess, business: BusinessAccess) -> HttpResponse {
    HttpResponse::Ok().json(BusinessObject::from(&*business.0))
}

/// Change a business; only what is given changes.
#[utoipa::path(put, path = "/api/v2/admin/business/{businessId}", tag = "admin", params(("businessId" = String, Path, format = "uuid")),
    request_body = BusinessChange, security(("bearer" = []), ("apikey" = [])),
    responses((status = 200, body = BusinessObject), ApiError))]
pub async fn update(
    _: AdminAccess,
    business: BusinessAccess,
    state: Data<ApiState>,
    body: Json<BusinessChange>,
) -> Result<HttpResponse, ApiError> {
    super::business::change(&state, business.0.id, body.0).await
}

/// Delete a business; with `force` its instances and their webhooks as well.
#[utoipa::path(delete, path = "/api/v2/admin/business/{businessId}", tag = "admin",
    params(("businessId" = String, Path, format = "uuid"), Force), security(("bearer" = []), ("apikey" = [])),
    responses((status = 200, body = BusinessObject), ApiError))]
pub async fn delete(
    _: AdminAccess,
    business: BusinessAccess,
    state: Data<ApiState>,
    query: Query<Force>,
) -> Result<HttpResponse, ApiError> {
    let id = business.0.id;
    let force = query.0.force;
    let gone = state
        .directory
        .transact(|records| {
            let business = records.business(id).cloned().ok_or_else(|| ApiError::not_found("business"))?;
            let instances = records.instances_of(id).count();
            if instances > 0 && !force {
                return Err(ApiError::Conflict(format!(
                    "the business has {instances} instances: delete them first, or add ?force=true"
                )));
            }
            Ok((vec![DirectoryChange::DeleteBusiness(id)], business))
        })
        .await?;
    Ok(HttpResponse::Ok().json(BusinessObject::deleted(&gone, Timestamp::now())))
}

/// Give a business a new token; the old one is refused from now on.
#[utoipa::path(patch, path = "/api/v2/admin/business/{businessId}/refresh-token", tag = "admin",
    params(("businessId" = String, Path, format = "uuid")), request_body = OldToken, security(("bearer" = []), ("apikey" = [])),
    responses((status = 200, body = NewToken), ApiError))]
pub async fn refresh_token(
    _: AdminAccess,
    business: BusinessAccess,
    state: Data<ApiState>,
    body: Json<OldToken>,
) -> Result<HttpResponse, ApiError> {
    let (id, new_token) = (business.0.id, fresh_token()?);
    state
        .directory
        .transact(|records| {
            let old = records.business(id).ok_or_else(|| ApiError::not_found("business"))?;
            body.0.check(&old.token)?;
            let new = Business { token: new_token.clone(), updated_at: Timestamp::now(), ..Business::clone(old) };
            Ok::<_, ApiError>((vec![DirectoryChange::PutBusiness(Box::new(new))], ()))
        })
        .await?;
    Ok(HttpResponse::Ok().json(NewToken { new_token }))
}

fn fresh_token() -> Result<String, ApiError> {
    random_token().map_err(|problem| ApiError::Internal(problem.to_string()))
}
