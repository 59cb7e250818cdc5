//! HTTP/2: one connection for all requests, replaced when it goes away.

use std::cell::Cell;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio_rustls::TlsAcceptor;

use super::secure::{Identity, identity, secure};
use crate::domain::FailureCode;
use crate::transport::connection::OnThisThread;
use crate::transport::testing::{on_one_thread, post, post_within};

/// An HTTP/2 receiver that counts connections and the most requests it had at once.
struct Http2Receiver {
    address: SocketAddr,
    connections: Rc<Cell<usize>>,
    most: Rc<Cell<usize>>,
    /// Lets every connection take no new streams.
    go_away: Rc<Notify>,
}

async fn http2_receiver(identity: &Identity, max_streams: u32) -> Http2Receiver {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let receiver = Http2Receiver {
        address: listener.local_addr().unwrap(),
        connections: Rc::default(),
        most: Rc::default(),
        go_away: Rc::default(),
    };
    let acceptor = TlsAcceptor::from(Arc::clone(&identity.server));
    let (connections, most, go_away) =
        (Rc::clone(&receiver.connections), Rc::clone(&receiver.most), Rc::clone(&receiver.go_away));
    tokio::task::spawn_local(async move {
        while let Ok((socket, _)) = listener.accept().await {
            connections.set(connections.get() + 1);
            let (acceptor, most, go_away) = (acceptor.clone(), Rc::clone(&most), Rc::clone(&go_away));
            tokio::task::spawn_local(async move {
                let stream = acceptor.accept(socket).await.unwrap();
                let now = Rc::new(Cell::new(0));
                let service = hyper::service::service_fn(move |request: Request<Incoming>| {
                    let (now, most) = (Rc::clone(&now), Rc::clone(&most));
                    async move {
                        assert_eq!(request.headers()["webhook-id"], "msg_1");
                        assert!(!request.headers().contains_key("host"));
                        now.set(now.get() + 1);
                        most.set(most.get().max(now.get()));
                        request.into_body().collect().await.unwrap();
                        tokio::time::sleep(Duration::from_millis(5)).await;
                        now.set(now.get() - 1);
                        Ok::<_, Infallible>(Response::new(Full::new(Bytes::from_static(b"ok"))))
                    }
                });
                let mut connection = std::pin::pin!(
                    hyper::server::conn::http2::Builder::new(OnThisThread)
                        .max_concurrent_streams(max_streams)
                        .serve_connection(TokioIo::new(stream), service)
                );
                tokio::select! {
                    _ = connection.as_mut() => return,
                    () = go_away.notified() => connection.as_mut().graceful_shutdown(),
                }
                connection.await.ok();
            });
        }
    });
    receiver
}

#[test]
fn http2_carries_all_requests_on_one_connection_within_the_receivers_limit() {
    on_one_thread(async {
        let identity = identity("receiver.example", &[b"h2"]);
        let receiver = http2_receiver(&identity, 4).await;
        let endpoint = secure(receiver.address, "receiver.example", Some(&identity));
        for _ in 0..3 {
            let outcomes = futures_util::future::join_all((0..32).map(|_| post(&endpoint))).await;
            for outcome in outcomes {
                assert!(outcome.is_success() && &outcome.snippet[..] == b"ok", "{outcome:?}");
            }
        }
        assert_eq!((receiver.connections.get(), endpoint.sweep()), (1, 1));
        assert!((2..=4).contains(&receiver.most.get()), "{} at once", receiver.most.get());
    });
}

#[test]
fn a_connection_that_goes_away_is_replaced_without_a_failed_attempt() {
    on_one_thread(async {
        let identity = identity("receiver.example", &[b"h2", b"http/1.1"]);
        let receiver = http2_receiver(&identity, 100).await;
        let endpoint = secure(receiver.address, "receiver.example", Some(&identity));
        for connections in 1..=5 {
            // The first rounds race the GOAWAY of the one before.
            while receiver.connections.get() < connections {
                let outcomes = futures_util::future::join_all((0..8).map(|_| post(&endpoint))).await;
                for outcome in outcomes {
                    assert!(outcome.is_success(), "{outcome:?}");
                }
            }
            assert_eq!(receiver.connections.get(), connections);
            receiver.go_away.notify_waiters();
        }
    });
}

#[test]
fn an_http2_request_that_times_out_takes_the_connection_out_of_use() {
    on_one_thread(async {
        let identity = identity("receiver.example", &[b"h2"]);
        let receiver = http2_receiver(&identity, 100).await;
        let endpoint = secure(receiver.address, "receiver.example", Some(&identity));
        assert!(post(&endpoint).await.is_success());
        let outcome = post_within(&endpoint, Duration::from_millis(2)).await;
        assert_eq!(outcome.failure.unwrap().code, FailureCode::Timeout);
        assert!(post(&endpoint).await.is_success());
        assert_eq!(receiver.connections.get(), 2);
    });
}
