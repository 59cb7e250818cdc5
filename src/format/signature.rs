//! The signature of Standard Webhooks 1.0.0: `v1,` and base64 of HMAC-SHA256 over `id.timestamp.body`. The key schedule is
//! computed once per webhook; an attempt costs one pass over the body and one allocation.

use std::io::{Cursor, Write as _};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;
use ring::hmac;

use crate::domain::{EventId, Secret, Secrets, Timestamp};

/// `v1,` and 32 bytes in base64.
const SIGNATURE_BYTES: usize = 47;
/// Room for `id.timestamp.`: an event id has 30 bytes, a timestamp at most 20.
const HEAD_BYTES: usize = 64;

/// Keys prepared once per webhook.
#[derive(Clone, Debug)]
pub struct Signer {
    current: hmac::Key,
    /// Signs as well before this instant.
    previous: Option<Box<(hmac::Key, Timestamp)>>,
}

impl Signer {
    #[must_use]
    pub fn new(secrets: &Secrets) -> Self {
        let key = |secret: &Secret| hmac::Key::new(hmac::HMAC_SHA256, secret.key());
        let previous = secrets.previous.as_ref().map(|(secret, until)| Box::new((key(secret), *until)));
        Self { current: key(&secrets.current), previous }
    }

    /// `webhook-signature` of one attempt at `now`: `v1,…`, two during a rotation, separated by a space.
    /// `webhook-timestamp` must be `now.seconds()`.
    #[must_use]
    pub fn sign(&self, id: EventId, now: Timestamp, body: &[u8]) -> HeaderValue {
        self.sign_as(&id.text(), now, body)
    }

    fn sign_as(&self, id: &[u8], now: Timestamp, body: &[u8]) -> HeaderValue {
        let mut head = Cursor::new([0; HEAD_BYTES]);
        head.write_all(id).and_then(|()| write!(head, ".{}.", now.seconds())).expect("an id and a timestamp fit");
        let head = &head.get_ref()[..head.position() as usize];

        let mut text = [b' '; 2 * SIGNATURE_BYTES + 1];
        write_signature(&mut text[..SIGNATURE_BYTES], &self.current, head, body);
        let used = match &self.previous {
            Some(previous) if now < previous.1 => {
                write_signature(&mut text[SIGNATURE_BYTES + 1..], &previous.0, head, body);
                text.len()
            }
            _ => SIGNATURE_BYTES,
        };
        HeaderValue::from_bytes(&text[..used]).expect("base64, commas and spaces are visible ASCII")
    }
}

/// `webhook-id`: the same over all attempts of an event.
#[must_use]
pub fn id_header(id: EventId) -> HeaderValue {
    HeaderValue::from_bytes(&id.text()).expect("an event id is letters, digits and an underscore")
}

fn write_signature(out: &mut [u8], key: &hmac::Key, head: &[u8], body: &[u8]) {
    let mut mac = hmac::Context::with_key(key);
    mac.update(head);
    mac.update(body);
    let (version, code) = out.split_at_mut(3);
    version.copy_from_slice(b"v1,");
    STANDARD.encode_slice(mac.sign(), code).expect("32 bytes are 44 of base64");
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderMap;

    fn secret(text: &str) -> Secret {
        Secret::parse(&format!("whsec_{text}")).unwrap()
    }

    fn verifies(secret: &Secret, signature: &HeaderValue, id: EventId, now: Timestamp, body: &[u8]) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert("webhook-id", id.to_string().parse().unwrap());
        headers.insert("webhook-timestamp", now.seconds().into());
        headers.insert("webhook-signature", signature.clone());
        standardwebhooks::Webhook::new(&secret.reveal()).unwrap().verify(body, &headers).is_ok()
    }

    #[test]
    fn the_official_test_vector_is_met() {
        let signer = Signer::new(&Secrets::new(secret("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")));
        let now = Timestamp::from_millis(1_614_265_330_999);
        let signature = signer.sign_as(b"msg_p5jXN8AQM9LWM0D4loKWxJek", now, br#"{"test": 2432232314}"#);
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn the_official_verifier_accepts_both_secrets_during_a_rotation() {
        let (new, old) = (Secret::random().unwrap(), Secret::random().unwrap());
        // The verifier compares with the clock, so the attempt is now.
        let (id, now) = (EventId::MAX, Timestamp::now());
        let body = "{\"a\":\"ação\"}".as_bytes();
        let until = |until| Secrets { current: new.clone(), previous: Some((old.clone(), until)) };

        let during = Signer::new(&until(Timestamp::from_millis(now.millis() + 1))).sign(id, now, body);
        assert_eq!(during.to_str().unwrap().split(' ').count(), 2);
        assert!(verifies(&new, &during, id, now, body));
        assert!(verifies(&old, &during, id, now, body));
        assert!(!verifies(&Secret::random().unwrap(), &during, id, now, body));
        assert!(!verifies(&new, &during, EventId::MIN, now, body));
        assert!(!verifies(&new, &during, id, now, b"{}"));

        let after = Signer::new(&until(now)).sign(id, now, body);
        assert!(verifies(&new, &after, id, now, body));
        assert!(!verifies(&old, &after, id, now, body), "the overlap has ended");
    }

    #[test]
    fn the_longest_timestamp_fits() {
        let signer = Signer::new(&Secrets::new(Secret::random().unwrap()));
        assert_eq!(signer.sign(EventId::MAX, Timestamp::MAX, b"").len(), SIGNATURE_BYTES);
    }

    #[test]
    fn debug_does_not_depend_on_the_key() {
        let shown = |secret| format!("{:?}", Signer::new(&Secrets::new(secret)));
        assert_eq!(shown(Secret::random().unwrap()), shown(Secret::random().unwrap()));
    }
}
