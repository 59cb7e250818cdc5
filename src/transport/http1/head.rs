//! A response's head: its status, where its body ends, whether the connection can be used again.

use std::mem::MaybeUninit;

use http::header::{CONNECTION, CONTENT_LENGTH, LOCATION, RETRY_AFTER, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use httparse::{Header, Status};

use super::framing::Framing;

/// A head, with all informational ones before it, is at most this large.
pub(super) const MAX_HEAD_BYTES: usize = 64 * 1024;
const MAX_HEADERS: usize = 100;

#[derive(Debug)]
pub(super) struct Head {
    pub(super) status: StatusCode,
    /// Those that an outcome tells of: `location` and `retry-after`, and only of an answer that is no success.
    pub(super) headers: HeaderMap,
    pub(super) framing: Framing,
    /// As far as the head tells.
    pub(super) keeps_connection: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum BadHead {
    NotHttp,
    TooLarge,
}

/// The first head in `bytes` that is not informational, and where it ends; `None` while it is not complete.
pub(super) fn parse(bytes: &[u8]) -> Result<Option<(Head, usize)>, BadHead> {
    let mut start = 0;
    loop {
        let mut headers = [const { MaybeUninit::uninit() }; MAX_HEADERS];
        let mut response = httparse::Response::new(&mut []);
        let parser = httparse::ParserConfig::default();
        let length = match parser.parse_response_with_uninit_headers(&mut response, &bytes[start..], &mut headers) {
            Ok(Status::Complete(length)) => length,
            Ok(Status::Partial) if bytes.len() >= MAX_HEAD_BYTES => return Err(BadHead::TooLarge),
            Ok(Status::Partial) => return Ok(None),
            Err(httparse::Error::TooManyHeaders) => return Err(BadHead::TooLarge),
            Err(_) => return Err(BadHead::NotHttp),
        };
        let code = response.code.ok_or(BadHead::NotHttp)?;
        let status = StatusCode::from_u16(code).map_err(|_| BadHead::NotHttp)?;
        start += length;
        // Nobody asked for other protocols: that answer is a final one.
        if status.is_informational() && status != StatusCode::SWITCHING_PROTOCOLS {
            continue;
        }
        let is_1_1 = response.version == Some(1);
        return Ok(Some((Head::new(status, is_1_1, response.headers)?, start)));
    }
}

impl Head {
    fn new(status: StatusCode, is_1_1: bool, headers: &[Header<'_>]) -> Result<Self, BadHead> {
        let mut told = HeaderMap::new();
        let (mut length, mut codings, mut closes, mut keeps) = (None, None, false, false);
        for header in headers {
            let is = |name: HeaderName| header.name.eq_ignore_ascii_case(name.as_str());
            if is(CONTENT_LENGTH) {
                let this = decimal(header.value).ok_or(BadHead::NotHttp)?;
                // Two that differ: whoever believes the wrong one takes a body for an answer.
                if length.replace(this).is_some_and(|other| other != this) {
                    return Err(BadHead::NotHttp);
                }
            } else if is(TRANSFER_ENCODING) {
                codings = Some(header.value);
            } else if is(CONNECTION) {
                closes |= lists(header.value, b"close");
                keeps |= lists(header.value, b"keep-alive");
            } else if !status.is_success() {
                for name in [LOCATION, RETRY_AFTER] {
                    if is(name.clone())
                        && let (None, Ok(value)) = (told.get(&name), HeaderValue::from_bytes(header.value))
                    {
                        told.insert(name, value);
                    }
                }
            }
        }
        let has_no_body = matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
        let framing = match (codings, length) {
            _ if has_no_body => Framing::Ended,
            _ if status == StatusCode::SWITCHING_PROTOCOLS => Framing::UntilClose,
            (Some(codings), _) if is_1_1 && ends_in_chunked(codings) => Framing::CHUNKED,
            (None, Some(length)) => Framing::of_length(length),
            _ => Framing::UntilClose,
        };
        // Both a length and codings: RFC 9112 §6.1 wants such a connection closed.
        let is_clear = framing != Framing::UntilClose && (codings.is_none() || length.is_none());
        Ok(Self { status, headers: told, framing, keeps_connection: is_clear && !closes && (is_1_1 || keeps) })
    }
}

/// Digits and nothing else, so no sign and no list.
fn decimal(value: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(value).ok()?.trim_matches([' ', '\t']);
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

fn lists(value: &[u8], wanted: &[u8]) -> bool {
    value.split(|byte| *byte == b',').any(|token| token.trim_ascii().eq_ignore_ascii_case(wanted))
}

fn ends_in_chunked(codings: &[u8]) -> bool {
    let last = codings.rsplit(|byte| *byte == b',').next().unwrap_or_default();
    last.trim_ascii().eq_ignore_ascii_case(b"chunked")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(text: &str) -> Result<Option<(Head, usize)>, BadHead> {
        parse(text.replace('\n', "\r\n").as_bytes())
    }

    fn framed(text: &str) -> (Framing, bool) {
        let (head, _) = head(text).expect("HTTP").expect("whole");
        (head.framing, head.keeps_connection)
    }

    #[test]
    fn the_head_says_where_the_body_ends_and_whether_the_connection_stays() {
        for (text, expected) in [
            ("HTTP/1.1 200 OK\ncontent-length: 5\n\n", (Framing::Length(5), true)),
            ("HTTP/1.1 200 OK\nContent-Length: 5\nContent-Length: 5\n\n", (Framing::Length(5), true)),
            ("HTTP/1.1 200 OK\ncontent-length: 0\n\n", (Framing::Ended, true)),
            ("HTTP/1.1 200 OK\ncontent-length: 5\nConnection: x, Close\n\n", (Framing::Length(5), false)),
            ("HTTP/1.1 200 OK\ntransfer-encoding: gzip, Chunked\n\n", (Framing::CHUNKED, true)),
            ("HTTP/1.1 200 OK\ntransfer-encoding: chunked\ncontent-length: 5\n\n", (Framing::CHUNKED, false)),
            ("HTTP/1.1 200 OK\ntransfer-encoding: gzip\n\n", (Framing::UntilClose, false)),
            ("HTTP/1.1 200 OK\n\n", (Framing::UntilClose, false)),
            ("HTTP/1.1 204 No Content\ncontent-length: 5\n\n", (Framing::Ended, true)),
            ("HTTP/1.1 101 Switching Protocols\n\n", (Framing::UntilClose, false)),
            ("HTTP/1.0 200 OK\ncontent-length: 5\n\n", (Framing::Length(5), false)),
            ("HTTP/1.0 200 OK\ncontent-length: 5\nconnection: Keep-Alive\n\n", (Framing::Length(5), true)),
            ("HTTP/1.0 200 OK\ntransfer-encoding: chunked\n\n", (Framing::UntilClose, false)),
            (
                "HTTP/1.1 100 Continue\n\nHTTP/1.1 103 Early Hints\nlink: <x>\n\nHTTP/1.1 204 No\n\n",
                (Framing::Ended, true),
            ),
        ] {
            assert_eq!(framed(text), expected, "{text}");
        }
    }

    #[test]
    fn a_head_that_can_be_read_in_two_ways_is_none() {
        for text in [
            "HTTP/1.1 200 OK\ncontent-length: 5\ncontent-length: 6\n\n",
            "HTTP/1.1 200 OK\ncontent-length: 5, 5\n\n",
            "HTTP/1.1 200 OK\ncontent-length: +5\n\n",
            "HTTP/1.1 200 OK\ncontent-length: 99999999999999999999\n\n",
            "HTTP/1.1 200 OK\nname : value\n\n",
            "220 smtp.example.com ESMTP\n",
            "HTTP/1.1 099 Low\n\n",
            "HTTP/2.0 200 OK\n\n",
        ] {
            assert!(matches!(head(text), Err(BadHead::NotHttp)), "{text}");
        }
    }

    #[test]
    fn a_head_has_bounds() {
        let many = format!("HTTP/1.1 200 OK\n{}\n", "x: y\n".repeat(MAX_HEADERS + 1));
        assert_eq!(head(&many).err(), Some(BadHead::TooLarge));
        let long = format!("HTTP/1.1 200 OK\nx: {}", "y".repeat(MAX_HEAD_BYTES));
        assert_eq!(head(&long).err(), Some(BadHead::TooLarge));
        assert!(matches!(head("HTTP/1.1 200 OK\nx: y\n"), Ok(None)));
        assert!(matches!(head("HTTP/1.1 100 Continue\n\n"), Ok(None)));
    }

    #[test]
    fn only_what_an_outcome_tells_is_kept() {
        let headers = "location: a\nlocation: b\nretry-after: 7\nserver: x\ncontent-length: 0\n\n";
        let (failed, end) = head(&format!("HTTP/1.1 503 Busy\n{headers}")).unwrap().unwrap();
        assert_eq!((failed.headers.len(), &failed.headers[LOCATION]), (2, &HeaderValue::from_static("a")));
        assert_eq!(end, format!("HTTP/1.1 503 Busy\n{headers}").replace('\n', "\r\n").len());
        assert!(head(&format!("HTTP/1.1 200 OK\n{headers}")).unwrap().unwrap().0.headers.is_empty());
    }
}
