//! Finding instances of a business, page by page.

use actix_web::HttpResponse;
use actix_web::web::Data;
use utoipa::{IntoParams, ToSchema};

use super::objects::{BusinessObject, BusinessPage, InstanceObject, InstanceRecord, SearchAnswer};
use super::webhook_object::WebhookObject;
use crate::api::access::BusinessAccess;
use crate::api::error::ApiError;
use crate::api::json::{Json, Query};
use crate::api::state::ApiState;
use crate::api::validate::{Fields, FromFields};
use crate::domain::{Connection, Instance, InstanceState};

const PAGE: usize = 50;

/// What to look for; every field given must fit. May be left out.
#[derive(Debug, ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct Search {
    pub instance_id: Option<String>,
    /// A part of the name in any case; an exact match comes first.
    pub name: Option<String>,
    #[schema(value_type = Option<String>, example = "active")]
    pub state: Option<InstanceState>,
    #[schema(value_type = Option<String>, example = "open")]
    pub connection: Option<Connection>,
}

impl FromFields for Search {
    const MAY_BE_EMPTY: bool = true;

    fn read(fields: &mut Fields<'_>, _: &ApiState) -> Self {
        let state = |text: &str| {
            [InstanceState::Active, InstanceState::Inactive].into_iter().find(|known| known.as_str() == text)
        };
        Self {
            instance_id: fields.optional("instanceId", "must be a text", |value| Some(value.as_str()?.to_owned())),
            name: fields.optional("name", "must be a text", |value| Some(value.as_str()?.to_owned())),
            state: fields.choice("state", "active, inactive", state).value(),
            connection: fields.choice("connection", "open, connecting, close, refused", Connection::parse).value(),
        }
    }
}

impl Search {
    fn fits(&self, instance: &Instance) -> bool {
        let named = |wanted: &String| instance.name.to_lowercase().contains(&wanted.to_lowercase());
        self.instance_id.as_ref().is_none_or(|wanted| instance.id.as_str() == wanted)
            && self.name.as_ref().is_none_or(named)
            && self.state.is_none_or(|wanted| instance.state == wanted)
            && self.connection.is_none_or(|wanted| instance.connection == wanted)
    }
}

/// `?page=1`
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Page {
    /// Counts from 1.
    #[param(value_type = Option<u32>, minimum = 1)]
    pub page: usize,
}

impl FromFields for Page {
    fn read(fields: &mut Fields<'_>, _: &ApiState) -> Self {
        Self { page: fields.integer("page", 1..=1_000_000).value().unwrap_or(1) as usize }
    }
}

/// Find instances, 50 a page, with their webhooks.
#[utoipa::path(post, path = "/api/v2/business/{businessId}/instance/search", tag = "business",
    params(("businessId" = String, Path, format = "uuid"), Page), request_body = Option<Search>, security(("bearer" = []), ("apikey" = [])),
    responses((status = 200, body = SearchAnswer), ApiError))]
pub async fn search(
    business: BusinessAccess,
    state: Data<ApiState>,
    query: Query<Page>,
    body: Json<Search>,
) -> Result<HttpResponse, ApiError> {
    let (business, page, search) = (business.0, query.0.page, body.0);
    let mut found = state.directory.instances_of_business(business.id);
    found.retain(|instance| search.fits(instance));
    if let Some(wanted) = &search.name {
        found.sort_by_key(|instance| instance.name != *wanted);
    }
    let mut records = Vec::new();
    for instance in found.iter().skip((page - 1) * PAGE).take(PAGE) {
        let mut webhooks = Vec::new();
        for webhook in state.directory.webhooks_of_instance(&instance.id) {
            webhooks.push(WebhookObject::current(&webhook, &state).await);
        }
        records.push(InstanceRecord { instance: InstanceObject::from(&**instance), webhooks });
    }
    let webhook = match state.directory.business_webhook(business.id) {
        Some(webhook) => Some(WebhookObject::current(&webhook, &state).await),
        None => None,
    };
    Ok(HttpResponse::Ok().json(SearchAnswer {
        business: BusinessObject::from(&*business),
        webhook,
        page: BusinessPage {
            total_records: found.len(),
            total_pages: found.len().div_ceil(PAGE),
            current_page: page,
            records,
        },
    }))
}
