//! One keep-alive connection to an HTTP server: what `emit`, `demo` and tests speak with.
//!
//! Deliveries do not use it: they go through `transport`, which guards where it connects.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use url::Url;

/// Connecting included.
const TIMEOUT: Duration = Duration::from_mins(1);

#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    #[error("{0} is not an http:// or https:// URL with a host")]
    Url(String),
    #[error("cannot connect to {to}: {error}")]
    Connect { to: String, error: io::Error },
    #[error("the request failed: {0}")]
    Http(#[from] hyper::Error),
    #[error("the request cannot be built: {0}")]
    Build(#[from] http::Error),
    #[error("no answer within {} s", TIMEOUT.as_secs())]
    Timeout,
    #[error("no certificate authorities: {0}")]
    Tls(String),
}

/// What a server said.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

/// Opens its connection when it is needed and keeps it.
pub struct Client {
    host: String,
    port: u16,
    /// The `Host` header.
    authority: String,
    tls: Option<TlsConnector>,
    sender: Option<http1::SendRequest<Full<Bytes>>>,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("authority", &self.authority).finish_non_exhaustive()
    }
}

impl Client {
    /// # Errors
    /// When the URL has no host or another scheme, or when the platform has no certificate authorities.
    pub fn new(url: &Url) -> Result<Self, ClientError> {
        let wrong = || ClientError::Url(url.to_string());
        let tls = match url.scheme() {
            "http" => None,
            "https" => Some(connector()?),
            _ => return Err(wrong()),
        };
        let host = url.host_str().ok_or_else(wrong)?;
        let port = url.port_or_known_default().ok_or_else(wrong)?;
        let authority = url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        Ok(Self { host, port, authority, tls, sender: None })
    }

    /// Sends one request. After an error the next one opens a new connection.
    ///
    /// # Errors
    /// [`ClientError`]; the server may have seen the request.
    pub async fn send(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Bytes,
    ) -> Result<Answer, ClientError> {
        let mut request = Request::builder().method(method).uri(path).header("host", &self.authority);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(body))?;
        match tokio::time::timeout(TIMEOUT, self.exchange(request)).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => {
                self.sender = None;
                Err(error)
            }
            Err(_) => {
                self.sender = None;
                Err(ClientError::Timeout)
            }
        }
    }

    async fn exchange(&mut self, request: Request<Full<Bytes>>) -> Result<Answer, ClientError> {
        // A server may close an idle connection at any time: ask before use, and open a new one when it did.
        let open = match self.sender.take() {
            Some(mut sender) => sender.ready().await.is_ok().then_some(sender),
            None => None,
        };
        let mut sender = match open {
            Some(sender) => sender,
            None => self.connect().await?,
        };
        let response = sender.send_request(request).await?;
        let (head, body) = response.into_parts();
        let body = body.collect().await?.to_bytes();
        self.sender = Some(sender);
        Ok(Answer { status: head.status, headers: head.headers, body })
    }

    async fn connect(&self) -> Result<http1::SendRequest<Full<Bytes>>, ClientError> {
        let failed = |error| ClientError::Connect { to: self.authority.clone(), error };
        let stream = TcpStream::connect((self.host.as_str(), self.port)).await.map_err(failed)?;
        stream.set_nodelay(true).map_err(failed)?;
        let Some(tls) = &self.tls else { return handshake(stream).await };
        let name = ServerName::try_from(self.host.clone()).map_err(|_| ClientError::Url(self.host.clone()))?;
        handshake(tls.connect(name, stream).await.map_err(failed)?).await
    }
}

async fn handshake<S>(stream: S) -> Result<http1::SendRequest<Full<Bytes>>, ClientError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    // Ends with the sender; its error reaches the request that was under way.
    tokio::spawn(async move {
        let _ = connection.await;
    });
    Ok(sender)
}

fn connector() -> Result<TlsConnector, ClientError> {
    let mut roots = rustls::RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        return Err(ClientError::Tls(
            found.errors.first().map_or_else(|| "none found".to_owned(), ToString::to_string),
        ));
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| ClientError::Tls(error.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}
