//! Connections are kept, counted and given up.

use std::time::Duration;

use crate::domain::FailureCode;
use crate::transport::testing::{OK, Receiver, Step, endpoint, on_one_thread, post, post_within, transport, write};

#[test]
fn a_thousand_requests_in_a_row_use_one_connection() {
    on_one_thread(async {
        let receiver = Receiver::start(|_| vec![Step::Serve(OK)]).await;
        let endpoint = receiver.endpoint();
        for number in 0..1_000 {
            let outcome = post(&endpoint).await;
            assert!(outcome.is_success(), "{outcome:?}");
            assert_eq!(outcome.phases.reused, number > 0);
            assert!(number == 0 || outcome.phases.connect_us == 0);
        }
        assert_eq!((receiver.connections.get(), receiver.requests.borrow().len()), (1, 1_000));
    });
}

#[test]
fn requests_at_once_have_their_own_connections_and_leave_them_for_later() {
    on_one_thread(async {
        let receiver = Receiver::start(|_| vec![Step::Serve(OK)]).await;
        let endpoint = receiver.endpoint();
        for _ in 0..3 {
            let outcomes = futures_util::future::join_all((0..8).map(|_| post(&endpoint))).await;
            assert!(outcomes.iter().all(crate::domain::Outcome::is_success));
        }
        assert_eq!(receiver.connections.get(), 8);
        assert_eq!(endpoint.sweep(), 8);
    });
}

#[test]
fn a_connection_the_receiver_says_it_closes_is_not_used_again() {
    on_one_thread(async {
        let close = b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
        let receiver = Receiver::start(move |_| vec![Step::Request, write(close)]).await;
        let endpoint = receiver.endpoint();
        for connections in 1..=20 {
            assert!(post(&endpoint).await.is_success());
            assert_eq!(receiver.connections.get(), connections);
        }
    });
}

#[test]
fn a_connection_closed_while_idle_costs_no_attempt() {
    on_one_thread(async {
        let receiver = Receiver::start(|_| vec![Step::Request, write(OK)]).await;
        let endpoint = receiver.endpoint();
        for _ in 0..20 {
            assert!(post(&endpoint).await.is_success());
            // Until the kernel has told this thread of the close.
            while endpoint.sweep() > 0 {
                tokio::task::yield_now().await;
            }
        }
        assert_eq!(receiver.requests.borrow().len(), 20);
    });
}

#[test]
fn an_answer_that_nobody_asked_for_ends_its_connection() {
    on_one_thread(async {
        let smuggled = b"HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\n\r\n";
        let receiver = Receiver::start(move |number| match number {
            1 => vec![Step::Request, write(OK), write(smuggled), Step::Stall],
            2 => vec![Step::Request, write([OK, smuggled].concat()), Step::Stall],
            _ => vec![Step::Serve(OK)],
        })
        .await;
        let endpoint = receiver.endpoint();
        for connections in 1..=3 {
            let outcome = post(&endpoint).await;
            assert_eq!((outcome.status, outcome.phases.reused), (200, false), "{outcome:?}");
            assert_eq!(receiver.connections.get(), connections);
            // Until the kernel has told this thread of what came.
            while connections < 3 && endpoint.sweep() > 0 {
                tokio::task::yield_now().await;
            }
        }
    });
}

#[test]
fn a_request_that_was_written_is_not_sent_again() {
    on_one_thread(async {
        let receiver = Receiver::start(|_| vec![Step::Request, write(OK), Step::Request]).await;
        let endpoint = receiver.endpoint();
        assert!(post(&endpoint).await.is_success());
        let outcome = post(&endpoint).await;
        assert_eq!(outcome.failure.as_ref().unwrap().code, FailureCode::ConnectionLost, "{outcome:?}");
        assert!(outcome.phases.reused);
        assert_eq!((receiver.connections.get(), receiver.requests.borrow().len()), (1, 2));
    });
}

#[test]
fn an_answer_before_the_request_is_read_does_not_block_the_next() {
    on_one_thread(async {
        let early = b"HTTP/1.1 413 Content Too Large\r\ncontent-length: 0\r\n\r\n";
        let receiver = Receiver::start(move |number| match number {
            1 => vec![write(early), Step::Stall],
            _ => vec![Step::Serve(OK)],
        })
        .await;
        let endpoint = receiver.endpoint();
        let headers = crate::transport::AttemptHeaders {
            id: http::HeaderValue::from_static("msg_2"),
            timestamp: http::HeaderValue::from_static("1"),
            signature: http::HeaderValue::from_static("v1,x"),
            attempt: 1,
            traceparent: Some(http::HeaderValue::from_static("00-1-1-00")),
            sender: None,
        };
        let large = bytes::Bytes::from(vec![b' '; 32 << 20]);
        let first = endpoint.post(&headers, &large, Duration::from_secs(10)).await;
        assert!(!first.is_success(), "{first:?}");
        let second = post_within(&endpoint, Duration::from_secs(10)).await;
        assert!(second.is_success(), "{second:?}");
        assert_eq!(receiver.connections.get(), 2);
    });
}

#[test]
fn a_timed_out_request_takes_its_connection_along() {
    on_one_thread(async {
        let receiver =
            Receiver::start(|number| if number == 1 { vec![Step::Stall] } else { vec![Step::Serve(OK)] }).await;
        let endpoint = receiver.endpoint();
        let outcome = post_within(&endpoint, Duration::from_millis(50)).await;
        assert_eq!(outcome.failure.unwrap().code, FailureCode::Timeout);
        assert!(post(&endpoint).await.is_success());
        assert_eq!(endpoint.sweep(), 1);
    });
}

#[test]
fn idle_connections_are_closed_after_the_keep_alive_time() {
    on_one_thread(async {
        let receiver = Receiver::start(|_| vec![Step::Serve(OK)]).await;
        let endpoint = endpoint(&transport(|config| config.keep_alive = Duration::ZERO), &receiver.url("/"));
        assert!(post(&endpoint).await.is_success());
        assert_eq!(endpoint.sweep(), 0);
        assert!(post(&endpoint).await.is_success());
        assert_eq!(receiver.connections.get(), 2);
    });
}

#[test]
fn closing_an_endpoint_lets_the_request_in_flight_finish() {
    on_one_thread(async {
        let pause = Duration::from_millis(30);
        // The head is dripped out, so the request is in flight while the endpoint closes.
        let steps = vec![
            Step::Request,
            write("HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n"),
            Step::Drip(&[b'x'; 500], pause),
        ];
        let receiver = Receiver::start(move |_| steps.clone()).await;
        let endpoint = receiver.endpoint();
        let in_flight = endpoint.clone();
        let task = tokio::task::spawn_local(async move { post(&in_flight).await });
        while receiver.requests.borrow().is_empty() {
            tokio::task::yield_now().await;
        }
        endpoint.close();
        assert_eq!(endpoint.sweep(), 1, "in flight");
        let outcome = task.await.unwrap();
        assert!(outcome.is_success() && outcome.snippet.len() == 512, "{outcome:?}");
        while endpoint.sweep() > 0 {
            tokio::task::yield_now().await;
        }
    });
}

#[test]
fn a_dropped_endpoint_closes_its_idle_connections() {
    on_one_thread(async {
        let receiver = Receiver::start(|_| vec![Step::Request, write(OK), Step::Request, write("unreachable")]).await;
        let endpoint = receiver.endpoint();
        assert!(post(&endpoint).await.is_success());
        let watched = endpoint.watch_open();
        drop(endpoint);
        while watched.get() > 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(receiver.requests.borrow().len(), 1);
    });
}
