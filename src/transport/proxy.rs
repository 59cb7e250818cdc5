//! A forward proxy, when the operator configured one.
//!
//! `https` receivers are reached through a CONNECT tunnel, `http` ones with the whole URL as the request target. The
//! proxy makes the connection, so an address cannot be pinned: we resolve the host ourselves and refuse it when any of
//! its addresses is blocked. A host that only the proxy can resolve is left to it, and with it the proxy's own rules.

use base64::Engine as _;
use http::HeaderValue;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use url::{Host, Url};

use crate::domain::{Failure, FailureCode};

use super::TransportError;

const MAX_ANSWER_BYTES: usize = 8 * 1024;

#[derive(Debug)]
pub(super) struct Proxy {
    pub(super) host: Host<String>,
    pub(super) port: u16,
    /// `Proxy-Authorization`, from the user info of the proxy's URL.
    pub(super) authorization: Option<HeaderValue>,
}

impl Proxy {
    pub(super) fn parse(text: &str) -> Result<Self, TransportError> {
        let refused = |problem: &str| TransportError::Proxy(format!("{problem}; write it as http://host:port"));
        let url = Url::parse(text).map_err(|error| refused(&format!("not a URL ({error})")))?;
        if url.scheme() != "http" {
            return Err(refused("only http:// proxies are supported"));
        }
        let host = url.host().ok_or_else(|| refused("no host"))?.to_owned();
        let port = url.port_or_known_default().filter(|port| *port != 0).ok_or_else(|| refused("no port"))?;
        let authorization = (!url.username().is_empty()).then(|| credentials(&url)).flatten();
        Ok(Self { host, port, authorization })
    }

    /// Asks for a tunnel to `authority` (`host:port`).
    pub(super) async fn tunnel(&self, socket: &mut TcpStream, authority: &str) -> Result<(), Failure> {
        let mut request = format!("CONNECT {authority} HTTP/1.1\r\nhost: {authority}\r\n").into_bytes();
        if let Some(authorization) = &self.authorization {
            request.extend_from_slice(b"proxy-authorization: ");
            request.extend_from_slice(authorization.as_bytes());
            request.extend_from_slice(b"\r\n");
        }
        request.extend_from_slice(b"\r\n");
        let broken = |error: std::io::Error| refused(format!("the proxy broke the connection ({})", error.kind()));
        socket.write_all(&request).await.map_err(broken)?;
        // The receiver says nothing before our TLS hello, so what is read here is the proxy's answer alone.
        let mut answer = Vec::with_capacity(512);
        while !answer.windows(4).any(|end| end == b"\r\n\r\n") {
            if answer.len() > MAX_ANSWER_BYTES {
                return Err(refused("the proxy's answer to CONNECT is too large".into()));
            }
            if socket.read_buf(&mut answer).await.map_err(broken)? == 0 {
                return Err(refused("the proxy closed the connection without answering CONNECT".into()));
            }
        }
        match status(&answer) {
            Some(200..=299) => Ok(()),
            Some(status) => Err(refused(format!("the proxy answered {status} to CONNECT"))),
            None => Err(refused("the proxy's answer to CONNECT is not HTTP".into())),
        }
    }
}

fn refused(detail: String) -> Failure {
    Failure { code: FailureCode::ConnectFailed, detail: detail.into() }
}

fn status(answer: &[u8]) -> Option<u16> {
    let rest = answer.strip_prefix(b"HTTP/1.1 ").or_else(|| answer.strip_prefix(b"HTTP/1.0 "))?;
    std::str::from_utf8(rest.get(..3)?).ok()?.parse().ok()
}

fn credentials(url: &Url) -> Option<HeaderValue> {
    let decoded = |text: &str| -> Option<String> {
        let pair = format!("x={}", text.replace('+', "%2B"));
        url::form_urlencoded::parse(pair.as_bytes()).next().map(|(_, value)| value.into_owned())
    };
    let plain = format!("{}:{}", decoded(url.username())?, decoded(url.password().unwrap_or_default())?);
    let encoded = base64::engine::general_purpose::STANDARD.encode(plain);
    let mut value = HeaderValue::try_from(format!("Basic {encoded}")).ok()?;
    value.set_sensitive(true);
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_is_an_http_url_and_may_hold_credentials() {
        let proxy = Proxy::parse("http://us%20er:p%2Bw+@proxy.internal:3128").unwrap();
        assert_eq!((proxy.host.to_string().as_str(), proxy.port), ("proxy.internal", 3128));
        assert_eq!(proxy.authorization.unwrap(), "Basic dXMgZXI6cCt3Kw==");
        assert!(Proxy::parse("http://proxy").unwrap().authorization.is_none());
        for wrong in ["proxy:3128", "https://proxy:3128", "socks5://proxy:1080", ""] {
            let message = Proxy::parse(wrong).unwrap_err().to_string();
            assert!(message.starts_with("proxy: ") && message.contains("http://host:port"), "{message}");
        }
    }

    #[test]
    fn only_a_status_line_of_http_1_counts() {
        assert_eq!(status(b"HTTP/1.0 200 OK\r\n\r\n"), Some(200));
        assert_eq!(status(b"SSH-2.0-x\r\n\r\n"), None);
        assert_eq!(status(b"HTTP/1.1 2"), None);
    }
}
