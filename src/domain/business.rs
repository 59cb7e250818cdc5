//! A tenant.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{BusinessId, Timestamp};

/// Owns instances, reaches them with its token.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Business {
    pub id: BusinessId,
    pub name: String,
    /// The secret a business calls us with. Shown in answers of the v2 API, as the vendor does.
    pub token: String,
    /// Free fields of the caller, kept as they came.
    pub attributes: Map<String, Value>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}
