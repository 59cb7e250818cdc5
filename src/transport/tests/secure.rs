//! TLS: who is trusted, and what is said when somebody is not.

use std::io::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::net::TcpListener;

use crate::domain::FailureCode;
use crate::transport::Endpoint;
use crate::transport::testing::{
    OK, Receiver, Scripted, Step, endpoint, on_one_thread, post, post_within, resolving, write,
};

pub(super) struct Identity {
    pub(super) server: Arc<rustls::ServerConfig>,
    pem: tempfile::NamedTempFile,
}

pub(super) fn identity(name: &str, alpn: &[&[u8]]) -> Identity {
    let made = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
    let mut pem = tempfile::NamedTempFile::new().unwrap();
    pem.write_all(made.cert.pem().as_bytes()).unwrap();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
    let mut server = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    server.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    Identity { server: Arc::new(server), pem }
}

/// An endpoint for `https://name` at `address`, trusting `identity` if given.
pub(super) fn secure(address: SocketAddr, name: &str, trusted: Option<&Identity>) -> Endpoint {
    let transport = resolving(Scripted::new([&[address]]), |config| {
        config.extra_ca_file = trusted.map(|identity| identity.pem.path().to_owned());
    });
    endpoint(&transport, &format!("https://{name}:{}/hook", address.port()))
}

async fn receiver(identity: &Identity) -> Receiver {
    Receiver::listen("127.0.0.1:0", Some(Arc::clone(&identity.server)), |_| vec![Step::Serve(OK)]).await
}

#[test]
fn a_private_ca_is_trusted_when_the_operator_adds_it() {
    on_one_thread(async {
        let identity = identity("receiver.example", &[]);
        let receiver = receiver(&identity).await;
        let endpoint = secure(receiver.address, "receiver.example", Some(&identity));
        let first = post(&endpoint).await;
        assert!(first.is_success() && first.phases.tls_us > 0 && !first.phases.reused, "{first:?}");
        let second = post(&endpoint).await;
        assert!(second.is_success() && second.phases.tls_us == 0 && second.phases.reused, "{second:?}");
        assert_eq!(receiver.connections.get(), 1);
    });
}

#[test]
fn a_certificate_that_proves_nothing_is_a_tls_failure_that_says_why() {
    on_one_thread(async {
        let identity = identity("receiver.example", &[]);
        let receiver = receiver(&identity).await;
        for (name, trusted, part) in [
            ("receiver.example", None, "extra_ca_file"),
            ("other.example", Some(&identity), "another name"),
            ("127.0.0.1", Some(&identity), "another name"),
        ] {
            let failure = post(&secure(receiver.address, name, trusted)).await.failure.unwrap();
            assert_eq!(failure.code, FailureCode::TlsFailed, "{failure:?}");
            assert!(failure.detail.contains(part), "{failure:?}");
        }
        assert!(receiver.requests.borrow().is_empty(), "nothing was sent to a receiver that did not prove its name");
    });
}

#[test]
fn an_ip_literal_is_checked_against_the_certificates_addresses() {
    on_one_thread(async {
        let identity = identity("127.0.0.1", &[]);
        let receiver = receiver(&identity).await;
        let outcome = post(&secure(receiver.address, "127.0.0.1", Some(&identity))).await;
        assert!(outcome.is_success(), "{outcome:?}");
    });
}

#[test]
fn a_port_that_does_not_speak_tls_is_a_tls_failure() {
    on_one_thread(async {
        let talks = Receiver::start(|_| vec![write("HTTP/1.1 400 Bad Request\r\n\r\n"), Step::Stall]).await;
        let failure = post(&secure(talks.address, "receiver.example", None)).await.failure.unwrap();
        assert_eq!((failure.code, failure.detail.contains("speak TLS")), (FailureCode::TlsFailed, true), "{failure:?}");
        let silent = Receiver::start(|_| vec![Step::Stall]).await;
        let outcome = post_within(&secure(silent.address, "receiver.example", None), Duration::from_millis(60)).await;
        assert_eq!(outcome.failure.unwrap().code, FailureCode::ConnectTimeout);
        assert!(outcome.phases.tls_us > 0);
    });
}

#[test]
fn a_proxy_tunnels_tls_to_the_receiver() {
    on_one_thread(async {
        let identity = identity("receiver.example", &[]);
        let receiver = receiver(&identity).await;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let proxy = listener.local_addr().unwrap();
        let inner = receiver.address;
        tokio::task::spawn_local(async move {
            use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _};
            let (socket, _) = listener.accept().await.unwrap();
            let mut socket = tokio::io::BufReader::new(socket);
            let mut line = String::new();
            while line != "\r\n" {
                line.clear();
                socket.read_line(&mut line).await.unwrap();
            }
            socket.write_all(b"HTTP/1.1 200 Connected\r\nvia: test\r\n\r\n").await.unwrap();
            let mut upstream = tokio::net::TcpStream::connect(inner).await.unwrap();
            tokio::io::copy_bidirectional(&mut socket, &mut upstream).await.ok();
        });
        let transport = resolving(Scripted::new([&["93.184.216.34:443".parse().unwrap()]]), |config| {
            config.extra_ca_file = Some(identity.pem.path().to_owned());
            config.proxy = Some(format!("http://{proxy}"));
        });
        let outcome = post(&endpoint(&transport, "https://receiver.example/")).await;
        assert!(outcome.is_success(), "{outcome:?}");
    });
}

#[test]
fn a_receiver_that_wants_a_client_certificate_is_a_tls_failure() {
    on_one_thread(async {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let made = rcgen::generate_simple_self_signed(["receiver.example".to_owned()]).unwrap();
        let mut roots = rustls::RootCertStore::empty();
        roots.add(made.cert.der().clone()).unwrap();
        let verifier = rustls::server::WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone());
        let mut pem = tempfile::NamedTempFile::new().unwrap();
        pem.write_all(made.cert.pem().as_bytes()).unwrap();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
        // With TLS 1.2 the refusal comes within the handshake.
        let server = rustls::ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS12])
            .unwrap()
            .with_client_cert_verifier(verifier.build().unwrap())
            .with_single_cert(vec![made.cert.der().clone()], key)
            .unwrap();
        let identity = Identity { server: Arc::new(server), pem };
        let receiver = receiver(&identity).await;
        let outcome = post(&secure(receiver.address, "receiver.example", Some(&identity))).await;
        assert_eq!(outcome.failure.unwrap().code, FailureCode::TlsFailed);
    });
}
