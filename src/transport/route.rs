//! A target's URL taken apart once, in the forms that dialling and requests need.

use std::net::IpAddr;

use http::{HeaderValue, Uri};
use rustls_pki_types::ServerName;
use url::{Host, Url};

#[derive(Debug)]
pub(super) struct Route {
    pub(super) https: bool,
    /// Without brackets, as resolvers and certificates want it.
    pub(super) host: Host<String>,
    pub(super) port: u16,
    /// `None` for plain HTTP.
    pub(super) server_name: Option<ServerName<'static>>,
    /// `host:port`, always with the port: the target of a CONNECT and the place named in errors.
    pub(super) authority: String,
    /// The `host` header: the port only where it is not the scheme's own.
    pub(super) host_header: HeaderValue,
    /// `/path?query`, the request target of HTTP/1.1.
    pub(super) origin_form: Uri,
    /// The whole URL: the request target through a proxy, and the pseudo headers of HTTP/2.
    pub(super) absolute_form: Uri,
}

impl Route {
    /// `None` for a URL that [`super::Target::parse`] would have refused.
    pub(super) fn new(url: &Url) -> Option<Self> {
        let https = match url.scheme() {
            "https" => true,
            "http" => false,
            _ => return None,
        };
        let host = url.host()?.to_owned();
        let port = url.port_or_known_default()?;
        let server_name = match &host {
            _ if !https => None,
            Host::Domain(name) => Some(ServerName::try_from(name.clone()).ok()?),
            Host::Ipv4(address) => Some(IpAddr::V4(*address).into()),
            Host::Ipv6(address) => Some(IpAddr::V6(*address).into()),
        };
        let host_header = match url.port() {
            Some(port) => format!("{host}:{port}"),
            None => host.to_string(),
        };
        let origin = &url[url::Position::BeforePath..url::Position::AfterQuery];
        let absolute = &url[..url::Position::AfterQuery];
        Some(Self {
            https,
            authority: format!("{host}:{port}"),
            host_header: HeaderValue::try_from(host_header).ok()?,
            origin_form: origin.parse().ok()?,
            absolute_form: absolute.parse().ok()?,
            host,
            port,
            server_name,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_taken_apart_into_the_forms_requests_need() {
        let route = Route::new(&"https://example.com/a/b?c=d".parse().unwrap()).unwrap();
        assert_eq!((route.authority.as_str(), route.host_header.as_bytes()), ("example.com:443", &b"example.com"[..]));
        assert_eq!((route.origin_form.to_string(), route.port), ("/a/b?c=d".to_owned(), 443));
        assert_eq!(route.absolute_form.to_string(), "https://example.com/a/b?c=d");
        let route = Route::new(&"https://[::1]:8080".parse().unwrap()).unwrap();
        assert_eq!((route.authority.as_str(), route.host_header.as_bytes()), ("[::1]:8080", &b"[::1]:8080"[..]));
        assert_eq!(route.origin_form.to_string(), "/");
        assert!(matches!(route.server_name, Some(ServerName::IpAddress(_))));
    }

    #[test]
    fn a_url_that_cannot_be_requested_has_no_route() {
        assert!(Route::new(&"ftp://example.com/".parse().unwrap()).is_none());
    }
}
