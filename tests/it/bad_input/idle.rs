//! Requests that never end.

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::{World, raw, refusal};
use crate::support::pombo::TOKEN;

#[tokio::test]
async fn half_sent_and_dripping_requests_are_given_up_and_hold_nobody_up() {
    let mut world = World::new().await;
    let port = world.pombo.port();
    let head = |token: &str, length: &str| {
        let path = world.events_path();
        format!(
            "POST {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\ncontent-type: application/json\r\n{length}\r\n\r\n"
        )
    };
    let begun = Instant::now();
    let mut idle = Vec::new();
    for _ in 0..200 {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        stream.write_all(head(TOKEN, "content-length: 1000").as_bytes()).await.unwrap();
        idle.push(stream);
    }
    let half_head = tokio::spawn(raw(port, "POST /api/v2/instance/shop/events HTTP/1.1\r\nhost: x\r\nx-half"));
    let half_body = tokio::spawn(raw(port, head(TOKEN, "content-length: 1000") + r#"{"event":"messages.up"#));
    let chunked = tokio::spawn(raw(port, head(TOKEN, "transfer-encoding: chunked") + "5\r\n{\"eve\r\n"));
    let dripping = tokio::spawn({
        let head = head(TOKEN, "content-length: 100000");
        async move {
            let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
            stream.write_all(head.as_bytes()).await.unwrap();
            let (mut read, mut write) = stream.into_split();
            let drip = tokio::spawn(async move {
                while write.write_all(b" ").await.is_ok() {
                    tokio::time::sleep(Duration::from_millis(200)).await;
                }
            });
            let mut answer = [0; 64];
            let length = read.read(&mut answer).await.unwrap_or_default();
            drip.abort();
            String::from_utf8_lossy(&answer[..length]).into_owned()
        }
    });
    // Without a right to send, nothing is waited for.
    let stranger = Instant::now();
    assert!(raw(port, head("wrong", "content-length: 1000")).await.starts_with("HTTP/1.1 401"));
    let chunked_by_stranger = head("wrong", "transfer-encoding: chunked") + "5\r\n{\"eve\r\n";
    assert!(raw(port, chunked_by_stranger).await.starts_with("HTTP/1.1 401"));
    assert!(stranger.elapsed() < Duration::from_secs(3), "{:?}", stranger.elapsed());
    // Others are served as ever.
    let served = Instant::now();
    world.api.get("/livez").await;
    let answer = world.ingest(&[], "nonsense").await;
    refusal(&answer, 400);
    assert!(served.elapsed() < Duration::from_secs(3), "{:?}", served.elapsed());

    let half_head = half_head.await.unwrap();
    assert!(half_head.is_empty() || half_head.starts_with("HTTP/1.1 408"), "{half_head}");
    for answer in [half_body.await.unwrap(), chunked.await.unwrap(), dripping.await.unwrap()] {
        assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    }
    for mut stream in idle {
        let mut answer = Vec::new();
        let _reset = tokio::time::timeout(Duration::from_secs(30), stream.read_to_end(&mut answer)).await.unwrap();
        let answer = String::from_utf8_lossy(&answer);
        assert!(answer.starts_with("HTTP/1.1 408") && answer.contains(r#""statusCode":408"#), "{answer}");
    }
    assert!(begun.elapsed() < Duration::from_secs(25), "{:?}", begun.elapsed());
    world.assert_nothing_stored().await;
}
