//! The request of an attempt, from a template made once per webhook.

use bytes::Bytes;
use http::header::{
    CONNECTION, CONTENT_LENGTH, EXPECT, HOST, PROXY_AUTHORIZATION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE, USER_AGENT,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri};
use http_body_util::Full;

use super::proxy::Proxy;
use super::route::Route;

const WEBHOOK_ID: HeaderName = HeaderName::from_static("webhook-id");
const WEBHOOK_TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
const WEBHOOK_SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");
const WEBHOOK_ATTEMPT: HeaderName = HeaderName::from_static("x-webhook-attempt");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// The wire's own headers: set by whoever frames the message, never by a webhook.
const FRAMING: [HeaderName; 11] = [
    CONNECTION,
    CONTENT_LENGTH,
    EXPECT,
    HOST,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
    PROXY_AUTHORIZATION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
];

/// Most deliveries need few attempts: their numbers cost no allocation.
const SMALL: [&str; 10] = ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"];

/// The headers that differ from attempt to attempt.
#[derive(Clone, Debug)]
pub struct AttemptHeaders {
    pub id: HeaderValue,
    pub timestamp: HeaderValue,
    pub signature: HeaderValue,
    pub attempt: u16,
    pub traceparent: Option<HeaderValue>,
    /// Headers in place of the webhook's own: an attempt of a business's webhook tells its instance.
    pub sender: Option<HeaderMap>,
}

/// What all requests of a webhook share, for each version of HTTP.
#[derive(Debug)]
pub(super) struct Template {
    http1_target: Uri,
    http1_headers: HeaderMap,
    http2_target: Uri,
    http2_headers: HeaderMap,
}

impl Template {
    pub(super) fn new(
        route: &Route,
        mut headers: HeaderMap,
        proxy: Option<&Proxy>,
        user_agent: Option<&HeaderValue>,
    ) -> Self {
        for name in &FRAMING {
            headers.remove(name);
        }
        if let (false, Some(user_agent)) = (headers.contains_key(USER_AGENT), user_agent) {
            headers.insert(USER_AGENT, user_agent.clone());
        }
        // Each has its place already, so that filling it in an attempt's copy does not grow the map.
        for name in [WEBHOOK_ID, WEBHOOK_TIMESTAMP, WEBHOOK_SIGNATURE, WEBHOOK_ATTEMPT] {
            headers.insert(name, HeaderValue::from_static(""));
        }
        let http2_headers = headers.clone();
        headers.insert(HOST, route.host_header.clone());
        let by_proxy = proxy.filter(|_| !route.https);
        if let Some(authorization) = by_proxy.and_then(|proxy| proxy.authorization.as_ref()) {
            headers.insert(PROXY_AUTHORIZATION, authorization.clone());
        }
        Self {
            http1_target: if by_proxy.is_some() { &route.absolute_form } else { &route.origin_form }.clone(),
            http1_headers: headers,
            http2_target: route.absolute_form.clone(),
            http2_headers,
        }
    }

    pub(super) fn http1(&self, headers: &AttemptHeaders, body: Bytes) -> Request<Full<Bytes>> {
        request(&self.http1_target, &self.http1_headers, headers, body)
    }

    pub(super) fn http2(&self, headers: &AttemptHeaders, body: Bytes) -> Request<Full<Bytes>> {
        request(&self.http2_target, &self.http2_headers, headers, body)
    }
}

fn request(target: &Uri, shared: &HeaderMap, own: &AttemptHeaders, body: Bytes) -> Request<Full<Bytes>> {
    let mut headers = shared.clone();
    for (name, value) in own.sender.iter().flatten().filter(|(name, _)| !FRAMING.contains(name)) {
        headers.insert(name, value.clone());
    }
    headers.insert(WEBHOOK_ID, own.id.clone());
    headers.insert(WEBHOOK_TIMESTAMP, own.timestamp.clone());
    headers.insert(WEBHOOK_SIGNATURE, own.signature.clone());
    let attempt = SMALL
        .get(usize::from(own.attempt))
        .map_or_else(|| HeaderValue::from(own.attempt), |digit| HeaderValue::from_static(digit));
    headers.insert(WEBHOOK_ATTEMPT, attempt);
    if let Some(traceparent) = &own.traceparent {
        headers.insert(TRACEPARENT, traceparent.clone());
    }
    let mut request = Request::new(Full::new(body));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = target.clone();
    *request.headers_mut() = headers;
    request
}
