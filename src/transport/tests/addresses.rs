//! Where connections go: to addresses that were checked, and nowhere else.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::domain::FailureCode;
use crate::transport::testing::{
    OK, Receiver, Scripted, Step, endpoint, on_one_thread, post, post_within, resolving, transport, unaccepting, write,
};
use crate::transport::{Resolve, Resolving, Target};

/// An allowed and a blocked receiver on the same port, at 127.0.0.1 and 127.0.0.2.
async fn pair() -> (Receiver, Receiver) {
    loop {
        let allowed = Receiver::start(|_| vec![Step::Serve(OK)]).await;
        let other = SocketAddr::from(([127, 0, 0, 2], allowed.address.port())).to_string();
        if std::net::TcpListener::bind(&other).is_ok() {
            return (allowed, Receiver::listen(&other, None, |_| vec![Step::Serve(OK)]).await);
        }
    }
}

fn url(receiver: &Receiver) -> String {
    format!("http://receiver.example:{}/", receiver.address.port())
}

#[test]
fn a_name_that_changes_its_answer_is_checked_again_at_every_connect() {
    on_one_thread(async {
        let (allowed, blocked) = pair().await;
        let resolver = Scripted::new([&[allowed.address], &[blocked.address]]);
        let transport = resolving(resolver, |config| config.keep_alive = Duration::ZERO);
        let endpoint = endpoint(&transport, &url(&allowed));
        assert!(post(&endpoint).await.is_success());
        let failure = post(&endpoint).await.failure.unwrap();
        assert_eq!(failure.code, FailureCode::AddressBlocked);
        assert!(failure.detail.contains("loopback") && failure.detail.contains("allow_targets"), "{}", failure.detail);
        assert!(!failure.detail.contains("127.0.0"), "inner addresses are not told: {}", failure.detail);
        assert_eq!((allowed.connections.get(), blocked.connections.get()), (1, 0));
    });
}

#[test]
fn a_kept_connection_stays_with_the_address_that_was_checked() {
    on_one_thread(async {
        let (allowed, blocked) = pair().await;
        let resolver = Scripted::new([&[allowed.address], &[blocked.address]]);
        let endpoint = endpoint(&resolving(resolver, |_| {}), &url(&allowed));
        for _ in 0..5 {
            let outcome = post(&endpoint).await;
            assert!(outcome.is_success(), "{outcome:?}");
        }
        assert_eq!((allowed.connections.get(), blocked.connections.get()), (1, 0));
    });
}

#[test]
fn blocked_addresses_among_the_answers_are_left_out() {
    on_one_thread(async {
        let (allowed, blocked) = pair().await;
        let mapped: SocketAddr = format!("[::ffff:127.0.0.2]:{}", blocked.address.port()).parse().unwrap();
        let resolver = Scripted::new([&[mapped, blocked.address, allowed.address]]);
        let outcome = post(&endpoint(&resolving(resolver, |_| {}), &url(&allowed))).await;
        assert!(outcome.is_success() && outcome.phases.dns_us < 1_000_000, "{outcome:?}");
        assert_eq!((allowed.connections.get(), blocked.connections.get()), (1, 0));
    });
}

#[test]
fn an_allowed_host_may_be_anywhere() {
    on_one_thread(async {
        let (allowed, blocked) = pair().await;
        let transport = resolving(Scripted::new([&[blocked.address]]), |config| {
            config.targets.allow_hosts = vec!["Receiver.Example".into()];
        });
        assert!(post(&endpoint(&transport, &url(&allowed))).await.is_success());
        assert_eq!(blocked.connections.get(), 1);
    });
}

#[test]
fn an_address_that_refuses_is_followed_by_the_next() {
    on_one_thread(async {
        let receiver = Receiver::start(|_| vec![Step::Serve(OK)]).await;
        let dead = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let resolver = Scripted::new([&[dead, receiver.address]]);
        assert!(post(&endpoint(&resolving(resolver, |_| {}), &url(&receiver))).await.is_success());
    });
}

#[test]
fn an_address_that_never_answers_leaves_time_for_the_next() {
    on_one_thread(async {
        let receiver = Receiver::start(|_| vec![Step::Serve(OK)]).await;
        let (dead, _listener, _queued) = unaccepting().await;
        let endpoint = endpoint(&resolving(Scripted::new([&[dead, receiver.address]]), |_| {}), &url(&receiver));
        let outcome = post_within(&endpoint, Duration::from_secs(1)).await;
        assert!(outcome.is_success() && outcome.phases.connect_us >= 400_000, "{outcome:?}");
    });
}

#[test]
fn localhost_is_resolved_by_the_platform_and_checked() {
    on_one_thread(async {
        let receiver = Receiver::start(|_| vec![Step::Serve(OK)]).await;
        let url = format!("http://localhost:{}/", receiver.address.port());
        let outcome = post(&endpoint(&transport(|_| {}), &url)).await;
        assert!(outcome.is_success() && outcome.phases.dns_us > 0, "{outcome:?}");
        // A target stored while the policy was wider.
        let target = Target::parse(&url, transport(|_| {}).targets()).unwrap();
        let strict = transport(|config| config.targets.allow_networks.clear());
        let outcome = post(&strict.endpoint(&target, http::HeaderMap::new())).await;
        assert_eq!(outcome.failure.unwrap().code, FailureCode::AddressBlocked);
        assert_eq!(receiver.connections.get(), 1);
    });
}

/// Never answers.
#[derive(Debug)]
struct Silent;

impl Resolve for Silent {
    fn resolve(&self, _host: &str, _port: u16) -> Resolving {
        Box::pin(std::future::pending())
    }
}

#[test]
fn a_resolver_that_never_answers_is_a_dns_failure_at_the_deadline() {
    on_one_thread(async {
        let endpoint = endpoint(&resolving(Arc::new(Silent), |_| {}), "http://slow.example/");
        let outcome = post_within(&endpoint, Duration::from_millis(40)).await;
        assert_eq!(outcome.failure.unwrap().code, FailureCode::DnsFailed);
        assert!(outcome.phases.dns_us >= 30_000 && outcome.phases.connect_us == 0, "{:?}", outcome.phases);
    });
}

#[test]
fn a_name_without_an_answer_is_a_dns_failure() {
    on_one_thread(async {
        let failure =
            post(&endpoint(&resolving(Scripted::new([]), |_| {}), "http://gone.example/")).await.failure.unwrap();
        assert_eq!(failure.code, FailureCode::DnsFailed);
        assert!(failure.detail.contains("gone.example"), "{}", failure.detail);
        let empty = post(&endpoint(&resolving(Scripted::new([&[]]), |_| {}), "http://gone.example/")).await;
        assert_eq!(empty.failure.unwrap().code, FailureCode::DnsFailed);
    });
}

#[test]
fn a_proxy_gets_the_whole_url_of_a_plain_receiver() {
    on_one_thread(async {
        let proxy = Receiver::start(|_| vec![Step::Serve(OK)]).await;
        let transport = resolving(Scripted::new([&["93.184.216.34:80".parse().unwrap()]]), |config| {
            config.proxy = Some(format!("http://user:pw@{}", proxy.address));
        });
        let outcome = post(&endpoint(&transport, "http://receiver.example/a?b=c")).await;
        assert!(outcome.is_success(), "{outcome:?}");
        let request = proxy.requests.borrow()[0].clone();
        assert!(request.starts_with("POST http://receiver.example/a?b=c HTTP/1.1\r\n"), "{request}");
        assert!(request.contains("\r\nproxy-authorization: Basic dXNlcjpwdw==\r\n"), "{request}");
        assert!(request.contains("\r\nhost: receiver.example\r\n"), "{request}");
    });
}

#[test]
fn a_proxy_is_not_asked_for_a_blocked_host() {
    on_one_thread(async {
        let proxy = Receiver::start(|_| vec![Step::Serve(OK)]).await;
        let answers: [SocketAddr; 2] = ["93.184.216.34:80".parse().unwrap(), "10.0.0.1:80".parse().unwrap()];
        let transport = resolving(Scripted::new([&answers]), |config| {
            config.proxy = Some(format!("http://{}", proxy.address));
        });
        let outcome = post(&endpoint(&transport, "http://receiver.example/")).await;
        assert_eq!(outcome.failure.unwrap().code, FailureCode::AddressBlocked);
        assert_eq!(proxy.connections.get(), 0);
    });
}

#[test]
fn a_proxy_that_refuses_the_tunnel_is_a_failed_connect() {
    on_one_thread(async {
        let proxy = Receiver::start(|_| vec![Step::Request, write("HTTP/1.1 403 Forbidden\r\n\r\n")]).await;
        let transport = resolving(Scripted::new([]), |config| config.proxy = Some(format!("http://{}", proxy.address)));
        let failure = post(&endpoint(&transport, "https://receiver.example/")).await.failure.unwrap();
        assert_eq!((failure.code, failure.detail.contains("403")), (FailureCode::ConnectFailed, true));
        assert!(proxy.requests.borrow()[0].starts_with("CONNECT receiver.example:443 HTTP/1.1\r\n"));
    });
}
