//! Businesses and instances as the API shows them: the vendor's names, to the letter.

use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::webhook_object::WebhookObject;
use crate::domain::{Business, Instance, Timestamp, WhatsApp};

#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Business)]
pub struct BusinessObject {
    #[schema(example = "3fa85f64-5717-4562-b3fc-2c963f66afa6")]
    pub business_id: String,
    pub name: String,
    /// What the business calls us with.
    pub business_token: String,
    /// Free fields, kept as they came.
    #[schema(value_type = Object)]
    pub attributes: Map<String, Value>,
    #[schema(format = DateTime)]
    pub created_at: String,
    #[schema(format = DateTime)]
    pub updated_at: String,
    /// Set only in the answer to a deletion.
    #[schema(format = DateTime)]
    pub deleted_at: Option<String>,
}

impl From<&Business> for BusinessObject {
    fn from(business: &Business) -> Self {
        Self {
            business_id: business.id.to_string(),
            name: business.name.clone(),
            business_token: business.token.clone(),
            attributes: business.attributes.clone(),
            created_at: business.created_at.to_rfc3339(),
            updated_at: business.updated_at.to_rfc3339(),
            deleted_at: None,
        }
    }
}

#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Instance)]
pub struct InstanceObject {
    pub instance_id: String,
    pub name: String,
    #[schema(example = "active")]
    pub state: &'static str,
    #[schema(example = "open")]
    pub connection: &'static str,
    #[schema(format = DateTime)]
    pub created_at: String,
    /// Set only in the answer to a deletion.
    #[schema(format = DateTime)]
    pub deleted_at: Option<String>,
    #[schema(example = "3fa85f64-5717-4562-b3fc-2c963f66afa6")]
    pub business_business_id: String,
    #[serde(rename = "Auth")]
    pub auth: AuthObject,
    #[serde(rename = "WhatsApp")]
    pub whatsapp: Option<WhatsAppObject>,
}

#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Auth)]
pub struct AuthObject {
    pub auth_id: String,
    /// The instance's token in force.
    pub jwt: String,
    #[schema(format = DateTime)]
    pub created_at: String,
    #[schema(format = DateTime)]
    pub updated_at: String,
}

#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = WhatsApp)]
pub struct WhatsAppObject {
    pub whatsapp_id: String,
    pub remote_jid: String,
    pub picture_url: Option<String>,
    pub push_name: Option<String>,
    #[schema(format = DateTime)]
    pub created_at: String,
}

impl From<&WhatsApp> for WhatsAppObject {
    fn from(account: &WhatsApp) -> Self {
        Self {
            whatsapp_id: account.whatsapp_id.clone(),
            remote_jid: account.remote_jid.clone(),
            picture_url: account.picture_url.clone(),
            push_name: account.push_name.clone(),
            created_at: account.created_at.to_rfc3339(),
        }
    }
}

impl From<&Instance> for InstanceObject {
    fn from(instance: &Instance) -> Self {
        Self {
            instance_id: instance.id.to_string(),
            name: instance.name.clone(),
            state: instance.state.as_str(),
            connection: instance.connection.as_str(),
            created_at: instance.created_at.to_rfc3339(),
            deleted_at: None,
            business_business_id: instance.business.to_string(),
            auth: AuthObject {
                auth_id: instance.auth_id.clone(),
                jwt: instance.jwt.clone(),
                created_at: instance.created_at.to_rfc3339(),
                updated_at: instance.auth_updated_at.to_rfc3339(),
            },
            whatsapp: instance.whatsapp.as_ref().map(WhatsAppObject::from),
        }
    }
}

impl InstanceObject {
    #[must_use]
    pub fn deleted(instance: &Instance, at: Timestamp) -> Self {
        Self { deleted_at: Some(at.to_rfc3339()), ..Self::from(instance) }
    }
}

impl BusinessObject {
    #[must_use]
    pub fn deleted(business: &Business, at: Timestamp) -> Self {
        Self { deleted_at: Some(at.to_rfc3339()), ..Self::from(business) }
    }
}

/// An instance of a search, with its webhooks.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct InstanceRecord {
    #[serde(flatten)]
    pub instance: InstanceObject,
    #[serde(rename = "Webhook")]
    pub webhooks: Vec<WebhookObject>,
}

#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct BusinessPage {
    pub total_records: usize,
    pub total_pages: usize,
    /// Counts from 1.
    pub current_page: usize,
    pub records: Vec<InstanceRecord>,
}

/// The answer to a search: the business, and one page of its instances.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct SearchAnswer {
    #[serde(flatten)]
    pub business: BusinessObject,
    #[serde(rename = "BusinessWebhook")]
    pub webhook: Option<WebhookObject>,
    #[serde(rename = "BusinessPage")]
    pub page: BusinessPage,
}

/// The instances of a business that are online.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ConnectedAnswer {
    #[schema(example = "3fa85f64-5717-4562-b3fc-2c963f66afa6")]
    pub business_id: String,
    pub name: String,
    #[serde(rename = "Instances")]
    pub instances: Vec<InstanceObject>,
}

/// The answer to a refreshed token; the old one is refused from now on.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct NewToken {
    pub new_token: String,
}

#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ConnectionState {
    #[schema(example = "open")]
    pub state: &'static str,
    /// Of the last `connection.update`; 0 when none was seen.
    pub status_reason: i64,
}
