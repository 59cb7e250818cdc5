//! What can be said of a webhook's URL before its name is resolved.
//!
//! The `url` crate reads addresses as browsers do: `0x7f.1`, `2130706433` and `0177.0.0.1` are all `127.0.0.1` here, so
//! one check covers every spelling. Names that resolve to a blocked address are found at connect time.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use url::{Host, ParseError, Url};

use super::TargetPolicy;
use super::route::Route;
use super::ssrf::Range;

/// Names that answer with a cloud's or a cluster's inner services. Their addresses are checked as well; refusing the
/// name tells the owner at once.
const INTERNAL_NAMES: [&str; 6] = [
    "metadata",
    "metadata.google.internal",
    "metadata.goog",
    "instance-data",
    "instance-data.ec2.internal",
    "kubernetes.default.svc",
];

const MAX_URL_BYTES: usize = 4096;

/// A URL that may be a webhook's, as far as can be told before its name is resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    pub url: Url,
}

impl Target {
    /// # Errors
    /// A sentence that names the problem and the remedy: not a URL, not https, user info, a blocked address literal in
    /// any spelling, ….
    pub fn parse(url: &str, policy: &TargetPolicy) -> Result<Self, String> {
        if url.len() > MAX_URL_BYTES {
            return Err(format!("is longer than {MAX_URL_BYTES} bytes; use a shorter URL"));
        }
        let mut url = Url::parse(url.trim()).map_err(|error| unreadable(url, error))?;
        match url.scheme() {
            "https" => {}
            "http" if policy.allow_http => {}
            "http" => {
                return Err("must be https://; an operator can allow plain HTTP with allow_http for development".into());
            }
            other => return Err(format!("must start with https://, not {other}:")),
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(
                "must not hold a user name or password; send an Authorization header with `headers` instead".into()
            );
        }
        if url.port() == Some(0) {
            return Err("has port 0, which nothing listens on; leave the port out or name the real one".into());
        }
        strip_trailing_dot(&mut url)?;
        check_host(&url, policy)?;
        url.set_fragment(None);
        if Route::new(&url).is_none() {
            return Err("holds characters that HTTP or the host's certificate cannot hold; percent-encode them".into());
        }
        Ok(Self { url })
    }
}

fn unreadable(url: &str, error: ParseError) -> String {
    let bracketed = url.split_once('[').and_then(|(_, rest)| rest.split_once(']')).map(|(address, _)| address);
    if bracketed.is_some_and(|address| address.contains('%')) {
        return "holds an IPv6 zone id (%…), which means something on one machine only; \
                use an address without a zone, allowed with allow_targets"
            .into();
    }
    match error {
        ParseError::EmptyHost => "has no host; write it as https://host/path".into(),
        error => format!("is not a URL ({error}); write it as https://host/path"),
    }
}

/// `host.` and `host` are the same receiver; certificates are made for the latter.
fn strip_trailing_dot(url: &mut Url) -> Result<(), String> {
    let Some(Host::Domain(domain)) = url.host() else { return Ok(()) };
    if !domain.ends_with('.') {
        return Ok(());
    }
    let domain = domain.trim_end_matches('.').to_owned();
    url.set_host(Some(&domain)).map_err(|_| "has no host; write it as https://host/path".to_owned())
}

fn check_host(url: &Url, policy: &TargetPolicy) -> Result<(), String> {
    match url.host() {
        None => Err("has no host; write it as https://host/path".into()),
        Some(Host::Domain(name)) => check_name(name, policy),
        Some(Host::Ipv4(address)) => check_literal(address.into(), policy),
        Some(Host::Ipv6(address)) => check_literal(address.into(), policy),
    }
}

fn check_name(name: &str, policy: &TargetPolicy) -> Result<(), String> {
    if policy.allows_host(name) {
        return Ok(());
    }
    if name == "localhost" || name.ends_with(".localhost") {
        let loopback = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
        if loopback.iter().any(|address| policy.check_address(*address).is_ok()) {
            return Ok(());
        }
        return Err(refusal(name, "this machine (loopback, RFC 6761)"));
    }
    if INTERNAL_NAMES.contains(&name) {
        return Err(refusal(name, "an internal service of a cloud or cluster"));
    }
    Ok(())
}

fn check_literal(address: IpAddr, policy: &TargetPolicy) -> Result<(), String> {
    if policy.allows_host(&address.to_string()) {
        return Ok(());
    }
    policy.check_address(address).map_err(|Range { name, source, .. }| {
        refusal(&address.to_string(), &format!("an address that is not public ({name}, {source})"))
    })
}

fn refusal(host: &str, what: &str) -> String {
    format!("points to {host}: {what}; an operator can allow it with allow_targets")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(url: &str) -> String {
        Target::parse(url, &TargetPolicy { allow_http: true, ..TargetPolicy::default() }).unwrap_err()
    }

    #[test]
    fn every_spelling_of_a_blocked_address_is_refused_with_its_remedy() {
        for url in [
            "https://127.0.0.1/",
            "https://127.1/",
            "https://0x7f.0.0.1/",
            "https://0177.0.0.1/",
            "https://2130706433/",
            "https://0x7f000001/",
            "https://127.0.0.1./",
            "https://①②⑦.0.0.1/",
            "https://%31%32%37.0.0.1/",
            "https://0/",
            "https://[::1]/",
            "https://[::ffff:127.0.0.1]/",
            "https://[::ffff:7f00:1]/",
            "https://[0:0:0:0:0:0:0:1]/",
            "https://[64:ff9b::7f00:1]/",
            "https://[2002:7f00:1::]/",
            "https://10.0.0.1:8443/x",
            "https://169.254.169.254/",
            "https://localhost/",
            "https://LOCALHOST./",
            "https://a.localhost/",
            "https://metadata.google.internal/",
            "http://192.168.0.1/",
            "https://[fe80::1]/",
        ] {
            let message = refused(url);
            assert!(message.contains("allow_targets"), "{url}: {message}");
        }
    }

    #[test]
    fn what_is_not_a_webhook_url_is_refused_with_a_sentence_that_says_why() {
        for (url, part) in [
            ("nonsense", "is not a URL"),
            ("https://", "no host"),
            ("ftp://example.com/", "https://"),
            ("https://user@example.com/", "user name"),
            ("https://:pw@example.com/", "password"),
            ("https://example.com:0/", "port 0"),
            ("https://example.com:70000/", "not a URL"),
            ("https://[fe80::1%25eth0]/", "zone id"),
            ("file:///etc/passwd", "https://"),
            ("https://./", "host"),
        ] {
            let message = refused(url);
            assert!(message.contains(part), "{url}: {message}");
        }
        assert!(refused(&format!("https://example.com/{}", "a".repeat(5000))).contains("longer"));
    }

    #[test]
    fn plain_http_needs_the_operator() {
        let message = Target::parse("http://example.com/", &TargetPolicy::default()).unwrap_err();
        assert!(message.contains("https://") && message.contains("allow_http"), "{message}");
        let policy = TargetPolicy { allow_http: true, ..TargetPolicy::default() };
        assert!(Target::parse("http://example.com/", &policy).is_ok());
    }

    #[test]
    fn a_fragment_is_dropped_and_the_rest_is_kept() {
        let target = Target::parse(" https://Example.com./a%20b?c=d#e ", &TargetPolicy::default()).unwrap();
        assert_eq!(target.url.as_str(), "https://example.com/a%20b?c=d");
    }

    #[test]
    fn allowed_networks_and_hosts_open_literals_and_localhost() {
        let policy = TargetPolicy {
            allow_http: true,
            allow_networks: vec!["127.0.0.0/8".parse().unwrap()],
            allow_hosts: vec!["metadata".into(), "::1".into()],
        };
        for url in ["http://127.0.0.1:5678/", "http://localhost:5678/", "http://metadata/", "http://[::1]/"] {
            assert!(Target::parse(url, &policy).is_ok(), "{url}");
        }
        assert!(Target::parse("http://10.0.0.1/", &policy).is_err());
    }
}
