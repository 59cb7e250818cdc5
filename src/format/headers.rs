//! The headers that are the same for every attempt of a webhook, and the check that custom ones must pass.
//! The engine adds `webhook-id`, `webhook-timestamp`, `webhook-signature` and `x-webhook-attempt`.

use http::{HeaderMap, HeaderName, HeaderValue, header};

use super::Sender;
use crate::domain::{Format, Webhook};

const USER_AGENT: &str = concat!("Pombo/", env!("CARGO_PKG_VERSION"));
const BUSINESS_ID: HeaderName = HeaderName::from_static("x-businessid");
const INSTANCE_ID: HeaderName = HeaderName::from_static("x-instanceid");
const WHATSAPP_ID: HeaderName = HeaderName::from_static("x-whatsappid");
const RESOURCE_OWNER: HeaderName = HeaderName::from_static("resource-owner");

const MAX_NAME_BYTES: usize = 128;
const MAX_VALUE_BYTES: usize = 4_096;

/// Belong to one connection, not to the message (RFC 9110 section 7.6.1 and its older siblings).
const HOP_BY_HOP: [&str; 11] = [
    "connection",
    "expect",
    "http2-settings",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Follow from the request, or tell the receiver who we are and what it gets.
const OURS: [&str; 12] = [
    "accept",
    "content-encoding",
    "content-length",
    "content-type",
    "host",
    "resource-owner",
    "traceparent",
    "user-agent",
    "x-businessid",
    "x-instanceid",
    "x-webhook-attempt",
    "x-whatsappid",
];

/// Headers that are the same for every attempt of a webhook: content type, user agent, vendor headers, custom headers.
///
/// A custom header that [`check_custom_header`] refuses is left out: none of ours can be overridden.
#[must_use]
pub fn static_headers(webhook: &Webhook, sender: &Sender) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(12);
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type(webhook.format)));
    headers.insert(header::USER_AGENT, HeaderValue::from_static(USER_AGENT));
    headers.insert(header::ACCEPT, HeaderValue::from_static("*/*"));
    // A value that no header can carry (a jid with a line break) is left out rather than sent mangled.
    let mut tell = |name, value: &str| HeaderValue::from_str(value).map(|value| drop(headers.insert(name, value))).ok();
    tell(BUSINESS_ID, &sender.business.id.to_string());
    tell(INSTANCE_ID, sender.instance.id.as_str());
    if let Some(whatsapp) = &sender.instance.whatsapp {
        tell(WHATSAPP_ID, &whatsapp.whatsapp_id);
        if webhook.format == Format::CodechatV1 {
            tell(RESOURCE_OWNER, &whatsapp.remote_jid);
        }
    }
    let custom = webhook.headers.iter().filter_map(|(name, value)| check_custom_header(name, value).ok());
    headers.extend(custom);
    headers
}

/// Whether [`static_headers`] says the same of both senders, whatever the webhook.
#[must_use]
pub fn tell_alike(one: &Sender, other: &Sender) -> bool {
    fn told(sender: &Sender) -> impl PartialEq {
        let whatsapp = sender.instance.whatsapp.as_ref();
        let account = whatsapp.map(|known| (&*known.whatsapp_id, &*known.remote_jid));
        (sender.business.id, &sender.instance.id, account)
    }
    told(one) == told(other)
}

const fn content_type(format: Format) -> &'static str {
    match format {
        Format::Cloudevents => "application/cloudevents+json; charset=utf-8",
        Format::Codechat | Format::Legacy | Format::CodechatV1 | Format::Standard => "application/json",
    }
}

/// Checks the name and value of a webhook's custom header. The value is marked sensitive: it often is a credential.
///
/// # Errors
/// A sentence that says what is wrong with it: not a token, a control character, hop-by-hop, or one that we set ourselves.
pub fn check_custom_header(name: &str, value: &str) -> Result<(HeaderName, HeaderValue), String> {
    let field: String = name.escape_debug().take(64).collect();
    let refuse = |problem: &str| Err(format!("headers.{field}: {problem}"));
    if name.is_empty() {
        return Err("headers: a name is empty; give every header a name, e.g. \"X-Token\"".into());
    }
    if name.len() > MAX_NAME_BYTES {
        return refuse("the name is longer than 128 bytes; choose a shorter one");
    }
    if name.starts_with(':') {
        return refuse("a name that starts with a colon is an HTTP/2 pseudo header; remove it");
    }
    let Ok(parsed) = HeaderName::from_bytes(name.as_bytes()) else {
        return refuse("the name may hold only letters, digits and !#$%&'*+-.^_`|~; rename it");
    };
    if HOP_BY_HOP.contains(&parsed.as_str()) {
        return refuse("this header belongs to the connection and is set by the HTTP client; remove it");
    }
    if parsed.as_str().starts_with("webhook-") {
        return refuse("names that start with webhook- carry the signature; choose another name");
    }
    if OURS.contains(&parsed.as_str()) {
        return refuse("this header is set by Pombo and cannot be overridden; choose another name");
    }
    if value.len() > MAX_VALUE_BYTES {
        return refuse("the value is longer than 4096 bytes; shorten it");
    }
    if value.bytes().any(|byte| byte.is_ascii_control()) {
        return refuse("the value holds a line break or another control character; send one line of plain text");
    }
    if !value.is_ascii() {
        return refuse("the value holds a character outside visible ASCII; encode it, e.g. in percent or base64 form");
    }
    if value.starts_with(' ') || value.ends_with(' ') {
        return refuse("the value starts or ends with a space, which receivers drop; remove it");
    }
    let Ok(mut checked) = HeaderValue::from_str(value) else {
        return refuse("the value cannot be sent in a header; send one line of visible ASCII");
    };
    checked.set_sensitive(true);
    Ok((parsed, checked))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::fixture::{sender, sender_without_whatsapp, webhook};
    use proptest::prelude::*;

    #[test]
    fn the_vendors_headers_tell_who_it_is() {
        let headers = static_headers(&webhook(Format::Codechat), &sender());
        assert_eq!(headers["content-type"], "application/json");
        assert_eq!(headers["user-agent"], concat!("Pombo/", env!("CARGO_PKG_VERSION")));
        assert_eq!(headers["x-businessId"], "00000000-0000-0000-0000-000000000001");
        assert_eq!(headers["x-instanceId"], "loja-7");
        assert_eq!(headers["x-whatsappId"], "wa-1");
        assert_eq!(headers["x-shop"], "7");
        assert!(!headers.contains_key("resource-owner"));
        assert!(!static_headers(&webhook(Format::Codechat), &sender_without_whatsapp()).contains_key("x-whatsappid"));
    }

    #[test]
    fn formats_bring_their_own_headers() {
        let v1 = static_headers(&webhook(Format::CodechatV1), &sender());
        assert_eq!(v1["Resource-Owner"], "5511999999999@s.whatsapp.net");
        let cloudevents = static_headers(&webhook(Format::Cloudevents), &sender());
        assert_eq!(cloudevents["content-type"], "application/cloudevents+json; charset=utf-8");
    }

    #[test]
    fn a_stored_header_that_is_not_allowed_is_left_out() {
        let mut webhook = webhook(Format::Codechat);
        for name in ["Content-Type", "X-INSTANCEID", "host", "webhook-signature", "a b"] {
            webhook.headers.insert(name.into(), "evil".into());
        }
        let headers = static_headers(&webhook, &sender());
        assert!(headers.values().all(|value| value != "evil"));
        assert_eq!(headers["x-shop"], "7");
    }

    #[test]
    fn names_that_are_not_the_callers_are_refused() {
        let reserved = HOP_BY_HOP.into_iter().chain(OURS);
        let signature = ["webhook-id", "Webhook-Signature", "WEBHOOK-ANYTHING", "X-Webhook-Attempt", "x-businessId"];
        for name in reserved.chain(signature).chain([":authority", "", "a b", "a:b", "ação", "a\r\nb"]) {
            assert!(check_custom_header(name, "x").is_err(), "{name:?}");
        }
        assert!(check_custom_header(&"a".repeat(MAX_NAME_BYTES), "x").is_ok());
        assert!(check_custom_header(&"a".repeat(MAX_NAME_BYTES + 1), "x").is_err());
    }

    #[test]
    fn values_that_could_break_out_are_refused() {
        for value in ["a\r\nX-Evil: 1", "a\nb", "a\0", "a\tb", "\u{7f}", "ação", " a", "a "] {
            assert!(check_custom_header("x-a", value).is_err(), "{value:?}");
        }
        assert!(check_custom_header("x-a", &"v".repeat(MAX_VALUE_BYTES)).is_ok());
        assert!(check_custom_header("x-a", &"v".repeat(MAX_VALUE_BYTES + 1)).is_err());
        let (name, value) = check_custom_header("Authorization", "Bearer a b").unwrap();
        assert_eq!((name.as_str(), value.to_str().unwrap()), ("authorization", "Bearer a b"));
        assert!(!format!("{value:?}").contains("Bearer"), "a credential does not show in logs");
    }

    #[test]
    fn the_sentence_names_the_field_the_problem_and_the_remedy() {
        assert_eq!(
            check_custom_header("Host", "x").unwrap_err(),
            "headers.Host: this header is set by Pombo and cannot be overridden; choose another name"
        );
        let broken = check_custom_header("a\r\nb", "x").unwrap_err();
        assert!(broken.starts_with("headers.a\\r\\nb: ") && broken.ends_with("rename it"), "{broken}");
    }

    proptest! {
        #[test]
        fn what_passes_is_one_line_under_a_free_name(name in "[ -~]{0,24}|.*", value in any::<String>()) {
            if let Ok((name, value)) = check_custom_header(&name, &value) {
                prop_assert!(value.as_bytes().iter().all(|byte| (b' '..=b'~').contains(byte)));
                prop_assert!(!OURS.contains(&name.as_str()) && !HOP_BY_HOP.contains(&name.as_str()));
            }
        }
    }
}
