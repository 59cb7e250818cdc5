//! The network: our port, names, authorities, and a receiver tried as a delivery would try it.

use std::fmt::Write as _;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue};

use super::finding::Finding;
use crate::config::Config;
use crate::domain::{FailureCode, Outcome, Timestamp};
use crate::transport::{AttemptHeaders, Target, Transport};

const TIMEOUT: Duration = Duration::from_secs(15);
const SLOW_NAME: Duration = Duration::from_secs(1);

/// Whether the listening address can be had.
pub fn port(addr: SocketAddr) -> Finding {
    match TcpListener::bind(addr) {
        Ok(_) => Finding::good("listen", format!("{addr} is free")),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            let remedy = "if that is a running pombo all is well; else stop it, or choose another port with --listen";
            Finding::warn("listen", format!("{addr} is in use"), remedy)
        }
        Err(error) => Finding::fail("listen", format!("{addr}: {error}"), "choose another address with --listen"),
    }
}

pub async fn resolve(name: &str) -> Finding {
    let start = Instant::now();
    match tokio::net::lookup_host((name, 443)).await {
        Ok(addresses) => {
            let (took, count) = (start.elapsed(), addresses.count());
            let text = format!("{name} has {count} addresses, found in {} ms", took.as_millis());
            if took > SLOW_NAME {
                return Finding::warn("names", text, "look at the name servers in /etc/resolv.conf");
            }
            Finding::good("names", text)
        }
        Err(error) => Finding::warn(
            "names",
            format!("{name} cannot be resolved: {error}"),
            "look at the name servers in /etc/resolv.conf; in a closed network try a name of your own with --resolve",
        ),
    }
}

/// The platform's authorities and the extra file.
pub fn authorities(config: &Config) -> Vec<Finding> {
    let found = rustls_native_certs::load_native_certs();
    let platform = if found.certs.is_empty() {
        let remedy = "install the package ca-certificates: without it no receiver can be trusted";
        Finding::fail("authorities", "the platform has none", remedy)
    } else {
        Finding::good("authorities", format!("{} of the platform", found.certs.len()))
    };
    let extra = config.extra_ca_file.as_ref().map(|path| match Transport::new(config.transport()) {
        Ok(_) => Finding::good("authorities", format!("{} is read", path.display())),
        Err(error) => Finding::fail("authorities", error.to_string(), "give a PEM file with at least one certificate"),
    });
    std::iter::once(platform).chain(extra).collect()
}

/// One attempt at `url`, without a webhook behind it: a receiver that checks signatures will say no, and has been reached.
pub async fn receiver(url: &str, config: &Config) -> Vec<Finding> {
    let target = match Target::parse(url, &config.targets) {
        Ok(target) => target,
        Err(problem) => {
            let remedy =
                "webhooks with this URL are refused; allow_http and allow_targets relax it for networks of your own";
            return vec![Finding::fail("receiver", problem, remedy)];
        }
    };
    let mut findings = vec![Finding::good("receiver", format!("{} may be a webhook's URL", target.url))];
    if let Some(host) = target.url.host_str() {
        findings.push(resolve(host).await);
    }
    let transport = match Transport::new(config.transport()) {
        Ok(transport) => transport,
        Err(error) => {
            findings.push(Finding::fail("receiver", error.to_string(), "correct the setting"));
            return findings;
        }
    };
    let headers = AttemptHeaders {
        id: HeaderValue::from_static("doctor"),
        timestamp: HeaderValue::from(Timestamp::now().seconds()),
        // Of no secret at all.
        signature: HeaderValue::from_static("v1,AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="),
        attempt: 1,
        traceparent: None,
        sender: None,
    };
    let body = Bytes::from_static(br#"{"event":"connection.update","data":{"state":"open","statusReason":200}}"#);
    let outcome = transport.endpoint(&target, HeaderMap::new()).post(&headers, &body, TIMEOUT).await;
    findings.push(rate_outcome(&outcome));
    findings
}

fn rate_outcome(outcome: &Outcome) -> Finding {
    let mut text = match &outcome.failure {
        None => format!("answered {}", outcome.status),
        Some(failure) => format!("{}: {}", failure.code.as_str(), failure.detail),
    };
    let phases = &outcome.phases;
    let parts = [
        ("names", phases.dns_us),
        ("connect", phases.connect_us),
        ("TLS", phases.tls_us),
        ("first byte", phases.first_byte_us),
        ("total", phases.total_us),
    ];
    for (name, micros) in parts.into_iter().filter(|(_, micros)| *micros > 0) {
        let _ = write!(text, ", {name} {:.1} ms", f64::from(micros) / 1_000.0);
    }
    let Some(failure) = &outcome.failure else { return Finding::good("receiver", text) };
    let remedy = remedy(failure.code);
    match failure.code {
        // Reached: what it says of an unsigned event is its own affair.
        FailureCode::Status => Finding::warn("receiver", text, remedy),
        _ => Finding::fail("receiver", text, remedy),
    }
}

const fn remedy(code: FailureCode) -> &'static str {
    match code {
        FailureCode::Status => {
            "it was reached; 401 and 403 are right for an event it cannot trust, anything else look up there"
        }
        FailureCode::Redirect => "redirects are never followed: use the address it points to",
        FailureCode::DnsFailed => "check the host's name and this machine's name servers",
        FailureCode::AddressBlocked => "the host has private addresses only: add it to allow_targets if that is meant",
        FailureCode::ConnectFailed => "nothing listens there, or a firewall refuses: check host and port",
        FailureCode::ConnectTimeout => "packets get lost: check routes and firewalls between here and there",
        FailureCode::TlsFailed => {
            "check its certificate: name, end, chain; a private authority goes into extra_ca_file"
        }
        FailureCode::Timeout => {
            "it takes the connection and does not answer in time: look at the receiver's load and log"
        }
        FailureCode::ConnectionLost => {
            "it hangs up before it answers: look at the receiver's log, or the proxy before it"
        }
        FailureCode::ProtocolError => "what answers there does not speak HTTP: check scheme and port",
        FailureCode::Internal => "a fault of ours: please report it",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::doctor::finding::Level;
    use crate::domain::Phases;

    #[test]
    fn a_taken_port_is_told_apart_from_a_free_one() {
        let held = TcpListener::bind("127.0.0.1:0").expect("a port");
        let addr = held.local_addr().expect("an address");
        assert_eq!(port(addr).level, Level::Warning);
        drop(held);
        assert_eq!(port(addr).level, Level::Good);
    }

    #[test]
    fn every_failure_has_a_remedy_and_only_being_reached_is_no_failure() {
        for code in FailureCode::ALL {
            let finding = rate_outcome(&Outcome::failed(code, "x", Phases { total_us: 1_500, ..Phases::default() }));
            assert!(!finding.remedy.is_empty() && finding.text.contains("total 1.5 ms"), "{finding:?}");
            assert_eq!(finding.level == Level::Warning, code == FailureCode::Status);
        }
    }

    #[tokio::test]
    async fn the_machine_itself_has_a_name() {
        assert_ne!(resolve("localhost").await.level, Level::Failure);
        assert!(resolve("does-not-exist.invalid").await.text.contains("cannot be resolved"));
    }
}
