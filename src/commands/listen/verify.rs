//! Signatures as Standard Webhooks 1.0.0 defines them, checked by the receiving side: written apart from the signing side
//! on purpose, so that one does not repeat the other's mistake.

use std::collections::HashMap;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use ring::hmac;

use crate::domain::{Secret, Timestamp};

/// Older and newer timestamps than this are refused (the specification's libraries use the same).
pub const DEFAULT_TOLERANCE: Duration = Duration::from_mins(5);

/// What a request's signature is worth.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Signature {
    Valid,
    /// No secret is known for this path: nothing was checked.
    Unchecked,
    /// A header is missing or is not what the specification says.
    Missing,
    /// Valid in form, but too old or from the future.
    Stale,
    Wrong,
}

impl Signature {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Valid => "valid",
            Self::Unchecked => "unchecked",
            Self::Missing => "missing",
            Self::Stale => "stale",
            Self::Wrong => "wrong",
        }
    }
}

/// The secrets a receiver knows.
#[derive(Debug, Default)]
pub struct Verifier {
    anywhere: Vec<hmac::Key>,
    by_path: HashMap<String, Vec<hmac::Key>>,
    pub tolerance: Option<Duration>,
}

impl Verifier {
    pub fn new(secrets: &[Secret]) -> Self {
        Self { anywhere: secrets.iter().map(key).collect(), ..Self::default() }
    }

    /// Trusts a secret for one path only.
    pub fn trust(&mut self, path: &str, secret: &Secret) {
        self.by_path.entry(path.to_owned()).or_default().push(key(secret));
    }

    pub fn check(&self, path: &str, headers: &HeaderMap, body: &[u8], now: Timestamp) -> Signature {
        let keys = self.by_path.get(path).unwrap_or(&self.anywhere);
        if keys.is_empty() {
            return Signature::Unchecked;
        }
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let (Some(id), Some(timestamp), Some(signatures)) =
            (text("webhook-id"), text("webhook-timestamp"), text("webhook-signature"))
        else {
            return Signature::Missing;
        };
        let Ok(seconds) = timestamp.parse::<u64>() else { return Signature::Missing };
        let mut signed = Vec::with_capacity(id.len() + timestamp.len() + body.len() + 2);
        for part in [id.as_bytes(), b".", timestamp.as_bytes(), b".", body] {
            signed.extend_from_slice(part);
        }
        let given = signatures.split(' ').filter_map(|one| one.strip_prefix("v1,"));
        let tags: Vec<Vec<u8>> = given.filter_map(|tag| STANDARD.decode(tag).ok()).collect();
        // `verify` compares in constant time.
        if !keys.iter().any(|key| tags.iter().any(|tag| hmac::verify(key, &signed, tag).is_ok())) {
            return Signature::Wrong;
        }
        let tolerance = self.tolerance.unwrap_or(DEFAULT_TOLERANCE);
        if now.seconds().abs_diff(seconds) > tolerance.as_secs() { Signature::Stale } else { Signature::Valid }
    }
}

fn key(secret: &Secret) -> hmac::Key {
    hmac::Key::new(hmac::HMAC_SHA256, secret.key())
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &[u8] = br#"{"test": 2432232314}"#;

    fn secret() -> Secret {
        Secret::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").expect("a secret")
    }

    fn headers(id: &str, timestamp: &str, signature: &str) -> HeaderMap {
        [("webhook-id", id), ("webhook-timestamp", timestamp), ("webhook-signature", signature)]
            .into_iter()
            .map(|(name, value)| (http::HeaderName::from_static(name), value.parse().expect("a value")))
            .collect()
    }

    /// What the reference implementation signs now.
    fn signed_now(secret: &Secret) -> (HeaderMap, Timestamp) {
        let now = Timestamp::now();
        let reference = standardwebhooks::Webhook::new(&secret.reveal()).expect("a secret");
        let signature = reference.sign("msg_1", now.seconds() as i64, BODY).expect("signed");
        (headers("msg_1", &now.seconds().to_string(), &signature), now)
    }

    #[test]
    fn the_vector_of_the_specification_is_valid_at_its_time_and_stale_later() {
        let signature = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
        let headers = headers("msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", signature);
        let verifier = Verifier::new(&[secret()]);
        let at = |seconds: u64| verifier.check("/", &headers, BODY, Timestamp::from_millis(seconds * 1_000));
        assert_eq!(at(1_614_265_330), Signature::Valid);
        assert_eq!(at(1_614_265_330 + 300), Signature::Valid);
        assert_eq!(at(1_614_265_330 + 301), Signature::Stale);
        assert_eq!(at(1_614_265_330 - 301), Signature::Stale);
    }

    #[test]
    fn what_the_reference_library_signs_is_valid_and_a_changed_byte_is_not() {
        let (mut headers, now) = signed_now(&secret());
        let verifier = Verifier::new(&[secret()]);
        assert_eq!(verifier.check("/", &headers, BODY, now), Signature::Valid);
        assert_eq!(verifier.check("/", &headers, br#"{"test": 2432232315}"#, now), Signature::Wrong);
        headers.insert("webhook-id", "msg_2".parse().expect("a value"));
        assert_eq!(verifier.check("/", &headers, BODY, now), Signature::Wrong);
    }

    #[test]
    fn during_a_rotation_any_known_secret_and_any_given_signature_will_do() {
        let (other, now) = (Secret::random().expect("randomness"), Timestamp::now());
        let (mut headers, _) = signed_now(&secret());
        assert_eq!(Verifier::new(&[other.clone(), secret()]).check("/", &headers, BODY, now), Signature::Valid);
        let two = format!("v1,AAAA v2,x {}", headers["webhook-signature"].to_str().expect("ascii"));
        headers.insert("webhook-signature", two.parse().expect("a value"));
        assert_eq!(Verifier::new(&[secret()]).check("/", &headers, BODY, now), Signature::Valid);
        assert_eq!(Verifier::new(&[other]).check("/", &headers, BODY, now), Signature::Wrong);
    }

    #[test]
    fn a_secret_of_a_path_counts_for_that_path_only() {
        let (headers, now) = signed_now(&secret());
        let mut verifier = Verifier::default();
        verifier.trust("/a", &secret());
        verifier.trust("/b", &Secret::random().expect("randomness"));
        assert_eq!(verifier.check("/a", &headers, BODY, now), Signature::Valid);
        assert_eq!(verifier.check("/b", &headers, BODY, now), Signature::Wrong);
        assert_eq!(verifier.check("/c", &headers, BODY, now), Signature::Unchecked);
    }

    #[test]
    fn missing_headers_are_told_apart_from_wrong_ones() {
        let verifier = Verifier::new(&[secret()]);
        assert_eq!(verifier.check("/", &HeaderMap::new(), BODY, Timestamp::now()), Signature::Missing);
        let headers = headers("a", "soon", "v1,AAAA");
        assert_eq!(verifier.check("/", &headers, BODY, Timestamp::now()), Signature::Missing);
    }
}
