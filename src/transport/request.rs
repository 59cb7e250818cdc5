//! The request of an attempt, from a template made once per webhook.

use std::io::Write as _;

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

/// An attempt's own headers: told in [`AttemptHeaders`], never by a webhook.
const OWN: [HeaderName; 5] = [WEBHOOK_ID, WEBHOOK_TIMESTAMP, WEBHOOK_SIGNATURE, WEBHOOK_ATTEMPT, TRACEPARENT];

/// The first lines of a head, which no sender replaces.
const REQUEST_LINE_AND_HOST: usize = 2;

/// The headers that differ from attempt to attempt.
#[derive(Clone, Debug)]
pub struct AttemptHeaders {
    pub id: HeaderValue,
    pub timestamp: HeaderValue,
    pub signature: HeaderValue,
    pub attempt: u16,
    pub traceparent: Option<HeaderValue>,
    /// Headers in place of the webhook's own: an attempt of a business's webhook tells its instance.
    pub sender: Option<Box<HeaderMap>>,
}

/// What all requests of a webhook share, for each version of HTTP.
#[derive(Debug)]
pub(super) struct Template {
    /// The head of a request by HTTP/1.1 up to the headers of an attempt, as it is written.
    http1: Box<[u8]>,
    /// `None` where a connection cannot turn out to be HTTP/2.
    http2: Option<(Uri, HeaderMap)>,
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
        for name in &OWN {
            headers.remove(name);
        }
        if let (false, Some(user_agent)) = (headers.contains_key(USER_AGENT), user_agent) {
            headers.insert(USER_AGENT, user_agent.clone());
        }
        let by_proxy = proxy.filter(|_| !route.https);
        let target = if by_proxy.is_some() { &route.absolute_form } else { &route.origin_form };
        let mut http1 = format!("POST {target} HTTP/1.1\r\n").into_bytes();
        write_header(&mut http1, &HOST, route.host_header.as_bytes());
        if let Some(authorization) = by_proxy.and_then(|proxy| proxy.authorization.as_ref()) {
            write_header(&mut http1, &PROXY_AUTHORIZATION, authorization.as_bytes());
        }
        for (name, value) in &headers {
            write_header(&mut http1, name, value.as_bytes());
        }
        Self { http1: http1.into(), http2: route.https.then(|| (route.absolute_form.clone(), headers)) }
    }

    /// Adds the head of an HTTP/1.1 request to `head`, its last empty line included.
    pub(super) fn write_http1(&self, own: &AttemptHeaders, body_bytes: usize, head: &mut Vec<u8>) {
        match &own.sender {
            None => head.extend_from_slice(&self.http1),
            Some(sender) => self.write_instead(sender, head),
        }
        write_header(head, &WEBHOOK_ID, own.id.as_bytes());
        write_header(head, &WEBHOOK_TIMESTAMP, own.timestamp.as_bytes());
        write_header(head, &WEBHOOK_SIGNATURE, own.signature.as_bytes());
        write_number(head, &WEBHOOK_ATTEMPT, own.attempt.into());
        if let Some(traceparent) = &own.traceparent {
            write_header(head, &TRACEPARENT, traceparent.as_bytes());
        }
        write_number(head, &CONTENT_LENGTH, body_bytes);
        head.extend_from_slice(b"\r\n");
    }

    /// The template with the sender's headers in place of those of the same name.
    fn write_instead(&self, sender: &HeaderMap, head: &mut Vec<u8>) {
        for (number, line) in self.http1.split_inclusive(|byte| *byte == b'\n').enumerate() {
            let name = line.split(|byte| *byte == b':').next().unwrap_or_default();
            let is_replaced = || HeaderName::from_bytes(name).is_ok_and(|name| sender.contains_key(&name));
            if number < REQUEST_LINE_AND_HOST || !is_replaced() {
                head.extend_from_slice(line);
            }
        }
        for (name, value) in sender.iter().filter(|(name, _)| is_a_webhooks(name)) {
            write_header(head, name, value.as_bytes());
        }
    }

    /// `None` when the template was made for a target that is not reached by HTTP/2.
    pub(super) fn http2(&self, own: &AttemptHeaders, body: Bytes) -> Option<Request<Full<Bytes>>> {
        let (target, shared) = self.http2.as_ref()?;
        let mut headers = shared.clone();
        for (name, value) in own.sender.iter().flat_map(|sender| sender.iter()).filter(|(name, _)| is_a_webhooks(name))
        {
            headers.insert(name, value.clone());
        }
        headers.insert(WEBHOOK_ID, own.id.clone());
        headers.insert(WEBHOOK_TIMESTAMP, own.timestamp.clone());
        headers.insert(WEBHOOK_SIGNATURE, own.signature.clone());
        headers.insert(WEBHOOK_ATTEMPT, own.attempt.into());
        if let Some(traceparent) = &own.traceparent {
            headers.insert(TRACEPARENT, traceparent.clone());
        }
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = target.clone();
        *request.headers_mut() = headers;
        Some(request)
    }
}

/// Whether a webhook may set the header.
fn is_a_webhooks(name: &HeaderName) -> bool {
    !FRAMING.contains(name) && !OWN.contains(name)
}

fn write_header(head: &mut Vec<u8>, name: &HeaderName, value: &[u8]) {
    head.extend_from_slice(name.as_str().as_bytes());
    head.extend_from_slice(b": ");
    head.extend_from_slice(value);
    head.extend_from_slice(b"\r\n");
}

fn write_number(head: &mut Vec<u8>, name: &HeaderName, number: usize) {
    head.extend_from_slice(name.as_str().as_bytes());
    // Into a vector nothing can fail.
    write!(head, ": {number}\r\n").ok();
}
