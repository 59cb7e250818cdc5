//! Who is calling: the admin, a business or an instance.
//!
//! - Tokens are compared in constant time: by SHA-256 digests or byte for byte with `subtle`.
//! - A missing or unknown token is 401. A valid token never learns whether a thing of another tenant exists: 404 either way.
//! - An instance's token is a JWT (HS256). The one in force is stored with the instance; one that was refreshed away is 401.

use std::fmt;
use std::sync::Arc;

use actix_web::http::header;
use actix_web::{FromRequest, HttpRequest, dev};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use ring::rand::{SecureRandom, SystemRandom};
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;

use super::access::{Found, find};
use super::error::ApiError;
use super::state::ApiState;
use crate::directory::Directory;
use crate::domain::{Business, BusinessId, Instance, InstanceId, Timestamp};
use crate::store::{Store, StoreError};

const JWT_KEY_SETTING: &str = "jwt_key";

/// The keys that tell tokens apart.
#[derive(Clone)]
pub struct Auth {
    admin_digest: [u8; 32],
    sign: EncodingKey,
    verify: DecodingKey,
    validation: Validation,
}

/// Why authentication cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum AuthSetupError {
    #[error("the key of instance tokens could not be read or written: {0}")]
    Store(#[from] StoreError),
    #[error("the system has no randomness to give")]
    NoRandomness,
}

/// `sub`: the instance; `jti` makes two tokens of one second differ.
#[derive(Serialize, Deserialize)]
struct Claims {
    sub: String,
    iat: u64,
    jti: String,
}

impl Auth {
    /// `admin_digest` is [`digest`] of the admin token: the token itself need not be known.
    #[must_use]
    pub fn new(admin_digest: [u8; 32], jwt_key: &[u8]) -> Self {
        let mut validation = Validation::new(Algorithm::HS256);
        // Tokens end by refresh, not by time, as the vendor's do.
        validation.required_spec_claims.clear();
        validation.validate_exp = false;
        Self {
            admin_digest,
            sign: EncodingKey::from_secret(jwt_key),
            verify: DecodingKey::from_secret(jwt_key),
            validation,
        }
    }

    /// With the key of instance tokens from the store; made and stored there on the first start. Nodes that start at once agree on one.
    ///
    /// # Errors
    /// When the store or the system's randomness fails.
    pub async fn load(store: &dyn Store, admin_digest: [u8; 32]) -> Result<Self, AuthSetupError> {
        if let Some(key) = store.setting(JWT_KEY_SETTING).await? {
            return Ok(Self::new(admin_digest, &key));
        }
        let ours = random::<64>()?.to_vec();
        let key = store.put_setting_if_absent(JWT_KEY_SETTING, ours).await?;
        Ok(Self::new(admin_digest, &key))
    }

    /// A new token for an instance; in force once it is stored with the instance.
    ///
    /// # Errors
    /// 500 when it cannot be signed.
    pub fn issue(&self, instance: &InstanceId, now: Timestamp) -> Result<String, ApiError> {
        let claims = Claims {
            sub: instance.as_str().to_owned(),
            iat: now.seconds(),
            jti: uuid::Uuid::new_v4().simple().to_string(),
        };
        jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &self.sign)
            .map_err(|error| ApiError::Internal(format!("signing an instance token: {error}")))
    }

    /// Who holds `token`; `None` when nobody does.
    #[must_use]
    pub fn identify(&self, token: &str, directory: &Directory) -> Option<Identity> {
        if bool::from(digest(token).ct_eq(&self.admin_digest)) {
            return Some(Identity::Admin);
        }
        if let Some(business) = directory.business_by_token(token) {
            return Some(Identity::Business(business));
        }
        let claims = jsonwebtoken::decode::<Claims>(token, &self.verify, &self.validation).ok()?.claims;
        let instance = directory.instance(&InstanceId::new(&claims.sub).ok()?)?;
        same_token(token, &instance.jwt).then_some(Identity::Instance(instance))
    }
}

impl fmt::Debug for Auth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Auth").finish_non_exhaustive()
    }
}

/// Whether two tokens are the same, in a time that does not tell where they differ.
#[must_use]
pub fn same_token(given: &str, known: &str) -> bool {
    given.as_bytes().ct_eq(known.as_bytes()).into()
}

/// A new admin or business token: 32 random bytes as URL-safe base64.
///
/// # Errors
/// When the system has no randomness to give.
pub fn random_token() -> Result<String, AuthSetupError> {
    Ok(URL_SAFE_NO_PAD.encode(random::<32>()?))
}

fn random<const N: usize>() -> Result<[u8; N], AuthSetupError> {
    let mut bytes = [0; N];
    SystemRandom::new().fill(&mut bytes).map_err(|_| AuthSetupError::NoRandomness)?;
    Ok(bytes)
}

/// What is kept of a token that need not be shown again: its SHA-256.
#[must_use]
pub fn digest(text: &str) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes.copy_from_slice(ring::digest::digest(&ring::digest::SHA256, text.as_bytes()).as_ref());
    bytes
}

/// The caller of a request. As an extractor: 401 when there is none.
#[derive(Clone, Debug)]
pub enum Identity {
    Admin,
    Business(Arc<Business>),
    Instance(Arc<Instance>),
}

impl Identity {
    /// # Errors
    /// 403 for every other token.
    pub fn require_admin(&self) -> Result<(), ApiError> {
        match self {
            Self::Admin => Ok(()),
            Self::Business(_) | Self::Instance(_) => Err(ApiError::Forbidden("this needs the admin token".to_owned())),
        }
    }

    /// The business, if this token reaches it.
    ///
    /// # Errors
    /// 404 when it does not exist or belongs to another; 403 for an instance's token, whatever the id.
    pub fn require_business(&self, directory: &Directory, id: BusinessId) -> Result<Arc<Business>, ApiError> {
        let found = match self {
            Self::Admin => directory.business(id),
            Self::Business(own) => (own.id == id).then(|| Arc::clone(own)),
            Self::Instance(_) => {
                return Err(ApiError::Forbidden("this needs the token of the business".to_owned()));
            }
        };
        found.ok_or_else(|| ApiError::not_found("business"))
    }

    /// The instance, if this token reaches it.
    ///
    /// # Errors
    /// 404 when it does not exist or belongs to another.
    pub fn require_instance(&self, directory: &Directory, id: &InstanceId) -> Result<Arc<Instance>, ApiError> {
        directory
            .instance(id)
            .filter(|instance| match self {
                Self::Admin => true,
                Self::Business(own) => instance.business == own.id,
                Self::Instance(own) => instance.id == own.id,
            })
            .ok_or_else(|| ApiError::not_found("instance"))
    }
}

/// The token of `Authorization: Bearer …`, else of `apikey: …`.
fn token_of(request: &HttpRequest) -> Option<&str> {
    let bearer = request.headers().get(header::AUTHORIZATION).and_then(|value| {
        let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then_some(token)
    });
    let token = bearer.or_else(|| request.headers().get("apikey")?.to_str().ok())?.trim();
    (!token.is_empty()).then_some(token)
}

impl FromRequest for Identity {
    type Error = ApiError;
    type Future = Found<Self>;

    fn from_request(request: &HttpRequest, _: &mut dev::Payload) -> Self::Future {
        find(request, identity)
    }
}

/// Who sent `request`.
///
/// # Errors
/// 401 when there is no token or nobody holds it.
pub fn identity(request: &HttpRequest) -> Result<Identity, ApiError> {
    let state = ApiState::of(request)?;
    let token = token_of(request).ok_or_else(|| {
        ApiError::Unauthorized("no token: send the header Authorization: Bearer <token>, or apikey: <token>".to_owned())
    })?;
    state
        .auth
        .identify(token, &state.directory)
        .ok_or_else(|| ApiError::Unauthorized("the token is not known, or it has been refreshed".to_owned()))
}
