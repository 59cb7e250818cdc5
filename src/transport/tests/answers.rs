//! What an attempt comes to, for every way a receiver answers or fails to.

use std::time::{Duration, Instant};

use crate::domain::{FailureCode, Outcome};
use crate::transport::testing::{
    Receiver, Step, endpoint, on_one_thread, post, post_within, transport, unaccepting, write,
};

/// The outcome of one attempt at a receiver that reads the request and then does `steps`, and its number of connections.
async fn answer(steps: Vec<Step>) -> (Outcome, usize) {
    let steps = [vec![Step::Request], steps].concat();
    let receiver = Receiver::start(move |_| steps.clone()).await;
    let outcome = post_within(&receiver.endpoint(), Duration::from_millis(400)).await;
    (outcome, receiver.connections.get())
}

fn code(outcome: &Outcome) -> FailureCode {
    outcome.failure.as_ref().expect("the attempt failed").code
}

#[test]
fn the_request_is_framed_by_us_and_carries_each_header_once() {
    on_one_thread(async {
        let receiver = Receiver::start(|_| vec![Step::Serve(b"HTTP/1.1 204 No Content\r\n\r\n")]).await;
        let outcome = post(&receiver.endpoint()).await;
        assert!(outcome.is_success() && outcome.status == 204 && outcome.snippet.is_empty(), "{outcome:?}");
        let request = receiver.requests.borrow()[0].clone();
        assert!(request.starts_with("POST /hook?key=1 HTTP/1.1\r\n"), "{request}");
        let host = format!("host: {}", receiver.address);
        for line in [
            "content-type: application/json",
            "webhook-id: msg_1",
            "webhook-timestamp: 1614265330",
            "webhook-signature: v1,abc",
            "x-webhook-attempt: 12",
            "user-agent: Pombo/test",
            "content-length: 2",
            &host,
        ] {
            assert_eq!(request.lines().filter(|l| *l == line).count(), 1, "{line} in {request}");
        }
        assert!(request.ends_with("\r\n\r\n{}"), "{request}");
    });
}

#[test]
fn a_2xx_is_a_success_and_its_first_bytes_are_kept() {
    on_one_thread(async {
        let body = "x".repeat(2_000);
        let (outcome, _) =
            answer(vec![write(format!("HTTP/1.1 202 Accepted\r\ncontent-length: 2000\r\n\r\n{body}"))]).await;
        assert!(outcome.is_success() && outcome.status == 202);
        assert_eq!(outcome.snippet.len(), Outcome::SNIPPET_BYTES);
        let phases = outcome.phases;
        assert!(!phases.reused && phases.connect_us > 0 && phases.dns_us == 0 && phases.tls_us == 0, "{phases:?}");
        assert!(phases.first_byte_us > 0 && phases.total_us >= phases.first_byte_us + phases.connect_us, "{phases:?}");
    });
}

#[test]
fn other_statuses_are_failures_with_their_answer_kept() {
    on_one_thread(async {
        let head = "HTTP/1.1 503 Service Unavailable\r\nretry-after: 9\r\ncontent-length: 4\r\n\r\nbusy";
        let (outcome, _) = answer(vec![write(head)]).await;
        assert_eq!((outcome.status, code(&outcome), outcome.retry_after_s), (503, FailureCode::Status, Some(9)));
        assert_eq!(&outcome.snippet[..], b"busy");
        assert_eq!(&*outcome.failure.unwrap().detail, "503 Service Unavailable");
    });
}

#[test]
fn a_redirect_is_a_failure_and_nobody_is_asked_there() {
    on_one_thread(async {
        let inner = Receiver::start(|_| vec![Step::Serve(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")]).await;
        let head =
            format!("HTTP/1.1 307 Temporary Redirect\r\nlocation: {}\r\ncontent-length: 0\r\n\r\n", inner.url("/x"));
        let (outcome, _) = answer(vec![write(head)]).await;
        assert_eq!((outcome.status, code(&outcome)), (307, FailureCode::Redirect));
        assert_eq!(inner.connections.get(), 0);
    });
}

#[test]
fn informational_heads_are_passed_over() {
    on_one_thread(async {
        let head = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: <x>\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
        let (outcome, _) = answer(vec![write(head)]).await;
        assert_eq!((outcome.status, outcome.failure), (200, None));
    });
}

#[test]
fn a_switch_of_protocols_that_nobody_asked_for_is_a_failure() {
    on_one_thread(async {
        let head = "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n";
        let (outcome, _) = answer(vec![write(head), Step::Stall]).await;
        assert_eq!((outcome.status, code(&outcome)), (101, FailureCode::Status), "{outcome:?}");
    });
}

#[test]
fn informational_heads_without_end_run_into_the_deadline() {
    on_one_thread(async {
        let (outcome, _) = answer(vec![Step::Drip(b"HTTP/1.1 102 Processing\r\n\r\n", Duration::from_millis(5))]).await;
        assert_eq!(code(&outcome), FailureCode::Timeout);
    });
}

#[test]
fn an_answer_may_come_byte_by_byte_and_leaves_its_connection_fit() {
    on_one_thread(async {
        let whole = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 Created\r\ntransfer-encoding: chunked\r\n\r\n\
                     3;a=b\r\nabc\r\n2\r\nde\r\n0\r\nx: y\r\n\r\n";
        let bytes = whole.bytes().map(|byte| write([byte]));
        let steps: Vec<_> = [Step::Request].into_iter().chain(bytes).collect();
        let receiver = Receiver::start(move |_| [steps.clone(), steps.clone()].concat()).await;
        let endpoint = receiver.endpoint();
        for reused in [false, true] {
            let outcome = post(&endpoint).await;
            assert_eq!((outcome.status, &outcome.snippet[..]), (201, &b"abcde"[..]), "{outcome:?}");
            assert_eq!(outcome.phases.reused, reused);
        }
    });
}

#[test]
fn a_body_without_end_neither_fails_nor_holds_the_attempt() {
    on_one_thread(async {
        let head = write("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n");
        let started = Instant::now();
        let (outcome, _) = answer(vec![head, Step::Endless(b"4\r\nabcd\r\n")]).await;
        assert!(outcome.is_success() && outcome.snippet.len() == Outcome::SNIPPET_BYTES, "{outcome:?}");
        assert!(started.elapsed() < Duration::from_secs(5));
    });
}

#[test]
fn a_dripping_body_is_cut_and_its_connection_not_used_again() {
    on_one_thread(async {
        let drip = Step::Drip(b"1\r\na\r\n", Duration::from_millis(10));
        let steps = vec![Step::Request, write("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"), drip];
        let receiver = Receiver::start(move |_| steps.clone()).await;
        let endpoint = receiver.endpoint();
        for connections in 1..=2 {
            let outcome = post(&endpoint).await;
            assert!(outcome.is_success() && !outcome.phases.reused && outcome.snippet.starts_with(b"a"), "{outcome:?}");
            assert!(outcome.phases.total_us >= 200_000, "the configured 200 ms were used: {outcome:?}");
            assert_eq!(receiver.connections.get(), connections);
        }
    });
}

#[test]
fn a_body_cut_off_after_its_head_is_judged_by_the_head() {
    on_one_thread(async {
        let (outcome, _) = answer(vec![write("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf")]).await;
        assert!(outcome.is_success() && &outcome.snippet[..] == b"half", "{outcome:?}");
    });
}

#[test]
fn what_is_not_a_response_has_a_code_of_its_own() {
    on_one_thread(async {
        for (steps, expected) in [
            (vec![], FailureCode::ConnectionLost),
            (vec![write("HTTP/1.1 20")], FailureCode::ConnectionLost),
            (vec![write("220 smtp.example.com ESMTP\r\n"), Step::Stall], FailureCode::ProtocolError),
            (vec![Step::Stall], FailureCode::Timeout),
            (vec![write("HTTP/1.1 200 OK\r\n"), Step::Stall], FailureCode::Timeout),
            (vec![write("HTTP/1.1 200 OK\r\nx: "), Step::Endless(b"aaaaaaaaaaaaaaaa")], FailureCode::ProtocolError),
            (vec![write("HTTP/1.1 200 OK\r\n"), Step::Endless(b"x: y\r\n")], FailureCode::ProtocolError),
        ] {
            let (outcome, connections) = answer(steps.clone()).await;
            assert_eq!(code(&outcome), expected, "{steps:?}: {outcome:?}");
            assert_eq!((outcome.status, connections), (0, 1), "sent once: {steps:?}");
        }
    });
}

#[test]
fn a_receiver_that_closes_without_reading_loses_the_connection_once() {
    on_one_thread(async {
        let receiver = Receiver::start(|_| Vec::new()).await;
        let outcome = post(&receiver.endpoint()).await;
        assert_eq!(code(&outcome), FailureCode::ConnectionLost, "{outcome:?}");
        assert_eq!(receiver.connections.get(), 1);
    });
}

#[test]
fn a_port_that_nobody_listens_on_is_a_failed_connect() {
    on_one_thread(async {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let outcome = post(&endpoint(&transport(|_| {}), &format!("http://127.0.0.1:{port}/?token=secret"))).await;
        let failure = outcome.failure.unwrap();
        assert_eq!(failure.code, FailureCode::ConnectFailed);
        assert!(failure.detail.contains("refused") && !failure.detail.contains("secret"), "{}", failure.detail);
    });
}

#[test]
fn a_connect_that_is_never_accepted_runs_into_the_deadline() {
    on_one_thread(async {
        let (address, _listener, _queued) = unaccepting().await;
        let endpoint = endpoint(&transport(|_| {}), &format!("http://{address}/"));
        let outcome = post_within(&endpoint, Duration::from_millis(150)).await;
        assert_eq!(code(&outcome), FailureCode::ConnectTimeout, "{outcome:?}");
        assert!(outcome.phases.connect_us >= 100_000 && outcome.phases.first_byte_us == 0, "{outcome:?}");
    });
}
