//! One WhatsApp account and what we know of its session.

use serde::{Deserialize, Serialize};

use super::{BusinessId, InstanceId, Timestamp};

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum InstanceState {
    #[default]
    Active,
    Inactive,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Connection {
    Open,
    Connecting,
    #[default]
    Close,
    Refused,
}

impl Connection {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Connecting => "connecting",
            Self::Close => "close",
            Self::Refused => "refused",
        }
    }

    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Open, Self::Connecting, Self::Close, Self::Refused].into_iter().find(|known| known.as_str() == text)
    }
}

impl InstanceState {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Inactive => "inactive",
        }
    }
}

/// The WhatsApp account behind an instance, once it is known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WhatsApp {
    pub whatsapp_id: String,
    pub remote_jid: String,
    pub picture_url: Option<String>,
    pub push_name: Option<String>,
    pub created_at: Timestamp,
}

/// One WhatsApp number of a business.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Instance {
    pub id: InstanceId,
    pub business: BusinessId,
    pub name: String,
    pub state: InstanceState,
    pub connection: Connection,
    /// `statusReason` of the last `connection.update`; 0 when none was seen.
    pub status_reason: i64,
    pub auth_id: String,
    /// The token in force; an earlier one is refused because it differs.
    pub jwt: String,
    pub auth_updated_at: Timestamp,
    pub whatsapp: Option<WhatsApp>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}
