//! A request to a place that the operator has named, such as a collector of traces: no receiver, so no policy on addresses, no pool.
//! Each request has a connection of its own.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_TYPE, HOST};
use http::{HeaderValue, Method, Request};
use http_body_util::Full;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use url::Url;

use super::route::Route;
use super::{Transport, tls};

impl Transport {
    /// Sends `body` and answers the status; the answer's body is not read. Directly, whatever proxy deliveries take.
    ///
    /// # Errors
    /// What went wrong, without the URL's path and query.
    pub async fn post_plain(
        &self,
        url: &Url,
        content_type: &'static str,
        body: Bytes,
        timeout: Duration,
    ) -> Result<u16, String> {
        let route = Route::new(url).ok_or("the URL cannot be requested")?;
        let sent = tokio::time::timeout(timeout, self.exchange_plain(&route, content_type, body)).await;
        sent.unwrap_or_else(|_| Err(format!("{} did not answer within {timeout:?}", route.authority)))
    }

    async fn exchange_plain(&self, route: &Route, content_type: &'static str, body: Bytes) -> Result<u16, String> {
        let at = |error: &dyn std::fmt::Display| format!("{}: {error}", route.authority);
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = route.origin_form.clone();
        let headers = request.headers_mut();
        headers.insert(HOST, route.host_header.clone());
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
        let stream = TcpStream::connect(&*route.authority).await.map_err(|error| at(&error))?;
        let Some(name) = &route.server_name else { return status(stream, request).await.map_err(|error| at(&error)) };
        let mut config = (*self.shared.tls).clone();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let shaken = TlsConnector::from(Arc::new(config)).connect(name.clone(), stream).await;
        let stream = shaken.map_err(|error| at(&tls::explain(&error)))?;
        status(stream, request).await.map_err(|error| at(&error))
    }
}

async fn status<S>(stream: S, request: Request<Full<Bytes>>) -> hyper::Result<u16>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let answered = async { Ok(sender.send_request(request).await?.status().as_u16()) };
    tokio::select! {
        answer = answered => answer,
        // It ends only when it breaks: the answer is not read to its end.
        Err(error) = connection => Err(error),
    }
}
