//! HTTP/1.1 heads, both directions, with `httparse`: a full client or server would cost more than what is measured.

use anyhow::{Context as _, bail};
use httparse::{Header, Status};

const MAX_HEADERS: usize = 48;

/// The head of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    pub head_bytes: usize,
    pub body_bytes: usize,
}

impl Answer {
    /// `None`: more bytes are needed.
    pub fn parse(bytes: &[u8]) -> anyhow::Result<Option<Self>> {
        let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
        let mut answer = httparse::Response::new(&mut headers);
        match answer.parse(bytes).context("an answer that is not HTTP/1.1")? {
            Status::Partial => Ok(None),
            Status::Complete(head_bytes) => {
                let status = answer.code.unwrap_or_default();
                Ok(Some(Self { status, head_bytes, body_bytes: body_bytes(answer.headers)? }))
            }
        }
    }

    pub const fn total_bytes(&self) -> usize {
        self.head_bytes + self.body_bytes
    }
}

/// The head of a request, as far as a receiver cares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request<'a> {
    pub path: &'a str,
    pub head_bytes: usize,
    pub body_bytes: usize,
    /// Whether the three headers of Standard Webhooks are there.
    pub signed: bool,
}

impl<'a> Request<'a> {
    /// `None`: more bytes are needed.
    pub fn parse(bytes: &'a [u8]) -> anyhow::Result<Option<Self>> {
        let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
        let mut request = httparse::Request::new(&mut headers);
        match request.parse(bytes).context("a request that is not HTTP/1.1")? {
            Status::Partial => Ok(None),
            Status::Complete(head_bytes) => {
                let webhook = request.headers.iter().filter(|header| {
                    let name = header.name.as_bytes();
                    name.len() > 8 && name[..8].eq_ignore_ascii_case(b"webhook-")
                });
                let signed = webhook.count() >= 3;
                let path = request.path.unwrap_or_default();
                Ok(Some(Self { path, head_bytes, body_bytes: body_bytes(request.headers)?, signed }))
            }
        }
    }
}

fn body_bytes(headers: &[Header<'_>]) -> anyhow::Result<usize> {
    for header in headers {
        if header.name.len() == 14 && header.name.eq_ignore_ascii_case("content-length") {
            let text = std::str::from_utf8(header.value).context("Content-Length")?;
            return text.trim().parse().context("Content-Length");
        }
        if header.name.len() == 17 && header.name.eq_ignore_ascii_case("transfer-encoding") {
            bail!("chunked bodies are not read here");
        }
    }
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_in_two_pieces_is_waited_for() {
        let whole = b"POST /c0/w3 HTTP/1.1\r\nwebhook-id: a\r\nwebhook-timestamp: 1\r\nWebhook-Signature: v1,x\r\nContent-Length: 12\r\n\r\n";
        assert_eq!(Request::parse(&whole[..30]).expect("partial"), None);
        let request = Request::parse(whole).expect("whole").expect("complete");
        assert_eq!((request.path, request.body_bytes, request.signed), ("/c0/w3", 12, true));
        assert_eq!(request.head_bytes, whole.len());
    }

    #[test]
    fn an_unsigned_request_is_seen_as_such() {
        let request = Request::parse(b"POST / HTTP/1.1\r\nwebhook-id: a\r\n\r\n").expect("whole").expect("complete");
        assert!(!request.signed);
    }

    #[test]
    fn a_chunked_answer_is_an_error_not_an_empty_body() {
        assert!(Answer::parse(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").is_err());
        let answer = Answer::parse(b"HTTP/1.1 202 Accepted\r\ncontent-length: 7\r\n\r\n").expect("whole");
        assert_eq!(answer.map(|answer| (answer.status, answer.body_bytes)), Some((202, 7)));
    }
}
