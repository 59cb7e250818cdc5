//! Signing secrets of a webhook: `whsec_` and base64 of 24 to 64 bytes (Standard Webhooks 1.0.0, "Signature scheme").

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use super::Timestamp;

const PREFIX: &str = "whsec_";

/// Why a text is not a secret.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("must be whsec_ followed by base64 of 24 to 64 bytes")]
pub struct InvalidSecret;

/// The key bytes. `Debug` does not show them.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Secret(Vec<u8>);

impl Secret {
    /// 32 bytes from the system's random source.
    ///
    /// # Errors
    /// When the system has no randomness to give.
    pub fn random() -> Result<Self, ring::error::Unspecified> {
        let mut key = vec![0; 32];
        ring::rand::SecureRandom::fill(&ring::rand::SystemRandom::new(), &mut key)?;
        Ok(Self(key))
    }

    /// # Errors
    /// When the text is not `whsec_` and base64 of 24 to 64 bytes.
    pub fn parse(text: &str) -> Result<Self, InvalidSecret> {
        let key = STANDARD.decode(text.strip_prefix(PREFIX).ok_or(InvalidSecret)?).map_err(|_| InvalidSecret)?;
        if (24..=64).contains(&key.len()) { Ok(Self(key)) } else { Err(InvalidSecret) }
    }

    #[must_use]
    pub fn key(&self) -> &[u8] {
        &self.0
    }

    /// The text form, shown only on creation and rotation.
    #[must_use]
    pub fn reveal(&self) -> String {
        format!("{PREFIX}{}", STANDARD.encode(&self.0))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("whsec_***")
    }
}

/// The secret in force and, during a rotation, the one before it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Secrets {
    pub current: Secret,
    /// The old secret signs as well until this instant.
    pub previous: Option<(Secret, Timestamp)>,
}

impl Secrets {
    #[must_use]
    pub const fn new(current: Secret) -> Self {
        Self { current, previous: None }
    }

    /// The secrets that sign at `now`, newest first.
    pub fn signing(&self, now: Timestamp) -> impl Iterator<Item = &Secret> {
        let previous = self.previous.iter().filter(move |(_, until)| now < *until).map(|(secret, _)| secret);
        std::iter::once(&self.current).chain(previous)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_reads_back_and_hides_in_debug() {
        let secret = Secret::random().expect("randomness");
        assert_eq!(Secret::parse(&secret.reveal()), Ok(secret.clone()));
        assert!(!format!("{secret:?}").contains(&secret.reveal()[6..]));
    }

    #[test]
    fn short_long_and_unprefixed_secrets_are_refused() {
        for bytes in [0, 23, 65] {
            assert!(Secret::parse(&format!("whsec_{}", STANDARD.encode(vec![1; bytes]))).is_err());
        }
        assert!(Secret::parse(&STANDARD.encode([1; 32])).is_err());
    }

    #[test]
    fn the_old_secret_signs_until_the_overlap_ends() {
        let (new, old) = (Secret(vec![1; 24]), Secret(vec![2; 24]));
        let secrets = Secrets { current: new.clone(), previous: Some((old.clone(), Timestamp::from_millis(10))) };
        assert_eq!(secrets.signing(Timestamp::from_millis(9)).collect::<Vec<_>>(), [&new, &old]);
        assert_eq!(secrets.signing(Timestamp::from_millis(10)).collect::<Vec<_>>(), [&new]);
    }
}
