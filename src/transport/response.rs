//! The receiver's answer. Its head decides the outcome; its body is read within bounds, for its first bytes and so that
//! an HTTP/1.1 connection can be used again.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::header::{LOCATION, RETRY_AFTER};
use http::{HeaderMap, StatusCode};
use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Incoming};
use tokio::time::{Instant, timeout_at};

use crate::domain::{Failure, FailureCode, Outcome};

use super::failure::failure;

/// What the body of an answer may cost.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) bytes: usize,
    pub(super) time: Duration,
}

impl Limits {
    /// Until when the body of an answer whose head is here is read.
    pub(super) fn deadline(&self, of_attempt: Instant) -> Instant {
        of_attempt.min(Instant::now() + self.time)
    }
}

/// The outcome as far as the head tells it.
pub(super) fn judge(status: StatusCode, headers: &HeaderMap) -> (Option<Failure>, Option<u32>) {
    if status.is_success() {
        return (None, None);
    }
    let retry_after = match status {
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => retry_after(headers, SystemTime::now()),
        _ => None,
    };
    let failed = if status.is_redirection() {
        failure(FailureCode::Redirect, redirect(status, headers))
    } else {
        failure(FailureCode::Status, status.to_string())
    };
    (Some(failed), retry_after)
}

fn redirect(status: StatusCode, headers: &HeaderMap) -> String {
    // Only the origin: a path or query may hold a secret.
    let origin = headers
        .get(LOCATION)
        .and_then(|location| url::Url::parse(location.to_str().ok()?).ok())
        .map(|url| url.origin())
        .filter(url::Origin::is_tuple)
        .map(|origin| format!(" to {}", origin.ascii_serialization()))
        .unwrap_or_default();
    format!("{status}{origin}: redirects are not followed; set the webhook's URL to its final address")
}

/// `Retry-After` as seconds from `now`: a number of seconds or an HTTP date (RFC 9110 §10.2.3).
fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<u32> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Some(text.parse().unwrap_or(u32::MAX));
    }
    let at = httpdate::parse_http_date(text).ok()?;
    let wait = at.duration_since(now).unwrap_or_default();
    Some(u32::try_from(wait.as_millis().div_ceil(1000)).unwrap_or(u32::MAX))
}

/// Adds to `snippet` what it still wants of the body's next bytes.
pub(super) fn keep_first(snippet: &mut Vec<u8>, data: &[u8]) {
    let wanted = (Outcome::SNIPPET_BYTES - snippet.len()).min(data.len());
    snippet.extend_from_slice(&data[..wanted]);
}

/// The first bytes of an HTTP/2 body.
pub(super) async fn read(mut body: Incoming, limits: Limits, deadline: Instant) -> Bytes {
    let mut snippet = Vec::new();
    if !body.is_end_stream() {
        let drained = timeout_at(limits.deadline(deadline), drain(&mut body, limits.bytes, &mut snippet));
        // What has come until then will do.
        drained.await.ok();
    }
    Bytes::from(snippet)
}

async fn drain(body: &mut Incoming, max_bytes: usize, snippet: &mut Vec<u8>) {
    let mut left = max_bytes;
    while let Some(Ok(frame)) = body.frame().await {
        if let Some(data) = frame.data_ref() {
            keep_first(snippet, data);
            let Some(rest) = left.checked_sub(data.len()) else { return };
            left = rest;
        }
        if body.is_end_stream() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn waits(value: &str) -> Option<u32> {
        let mut headers = HeaderMap::new();
        headers.insert(RETRY_AFTER, HeaderValue::from_str(value).unwrap());
        // Sun, 06 Nov 1994 08:49:37 GMT
        retry_after(&headers, SystemTime::UNIX_EPOCH + Duration::from_millis(784_111_777_500))
    }

    #[test]
    fn retry_after_is_seconds_or_any_form_of_http_date() {
        assert_eq!(waits("120"), Some(120));
        assert_eq!(waits("99999999999999999999"), Some(u32::MAX));
        assert_eq!(waits("Sun, 06 Nov 1994 08:50:37 GMT"), Some(60));
        assert_eq!(waits("Sunday, 06-Nov-94 08:50:37 GMT"), Some(60));
        assert_eq!(waits("Sun Nov  6 08:50:37 1994"), Some(60));
        assert_eq!(waits("Sun, 06 Nov 1994 08:49:00 GMT"), Some(0), "a past date");
        for wrong in ["", "-5", "soon", "1.5"] {
            assert_eq!(waits(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn retry_after_counts_for_429_and_503_only() {
        let mut headers = HeaderMap::new();
        headers.insert(RETRY_AFTER, HeaderValue::from_static("7"));
        for (status, expected) in [(429, Some(7)), (503, Some(7)), (500, None), (301, None), (200, None)] {
            assert_eq!(judge(StatusCode::from_u16(status).unwrap(), &headers).1, expected, "{status}");
        }
    }

    #[test]
    fn a_redirect_names_the_new_origin_but_no_path_or_query() {
        let mut headers = HeaderMap::new();
        headers.insert(LOCATION, HeaderValue::from_static("https://u:p@new.example/secret?token=1"));
        let detail = judge(StatusCode::FOUND, &headers).0.unwrap().detail;
        assert!(detail.contains("https://new.example:") || detail.contains("https://new.example"), "{detail}");
        assert!(!detail.contains("secret") && !detail.contains("token") && !detail.contains("u:p"), "{detail}");
    }
}
