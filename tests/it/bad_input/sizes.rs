//! Bodies beyond the bound, announced or not, packed or not: refused, and they cost no memory.

use std::io::Write as _;

use bytes::Bytes;
use serde_json::json;

use super::{World, event, raw, refusal};
use crate::support::pombo::TOKEN;

const MIB: usize = 1 << 20;

fn gzip(body: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(body).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test]
async fn huge_bodies_and_bombs_are_refused_at_the_bound_and_cost_no_memory() {
    let mut world = World::new().await;
    let before = world.pombo.rss_kib();
    let huge = vec![b' '; 256 * MIB];
    for (encoding, bomb) in [("gzip", gzip(&huge)), ("zstd", zstd::encode_all(&huge[..], 1).unwrap())] {
        assert!(bomb.len() < MIB);
        for _ in 0..4 {
            let messages = refusal(&world.ingest(&[("content-encoding", encoding)], bomb.clone()).await, 413);
            assert!(messages[0].contains("max_body_bytes"), "{messages:?}");
        }
    }
    drop(huge);
    let grown = world.pombo.rss_kib().saturating_sub(before) / 1_024;
    // 2 GiB inflated in all; what one request may take is a few times its bound of 16 MiB, on each thread that inflates.
    assert!(grown < 256, "grew by {grown} MiB");
    for (encoding, body) in [("gzip", b"not gzip".as_slice()), ("zstd", b"not zstd"), ("gzip", &gzip(b"{}")[..12])] {
        refusal(&world.ingest(&[("content-encoding", encoding)], Bytes::copy_from_slice(body)).await, 400);
    }
    for encoding in ["br", "deflate", "gzip, gzip"] {
        refusal(&world.ingest(&[("content-encoding", encoding)], "{}").await, 415);
    }
    // Announced too large: refused by the announcement. Not announced: refused as it comes.
    let port = world.pombo.port();
    let head = format!("POST {} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {TOKEN}\r\n", world.events_path());
    let answer = raw(port, format!("{head}content-type: application/json\r\ncontent-length: 99999999999\r\n\r\n{{"));
    assert!(answer.await.starts_with("HTTP/1.1 413"));
    refusal(&world.ingest(&[], vec![b' '; 17 * MIB]).await, 413);
    let many = vec![event(&json!({})); 10_001];
    let messages = refusal(&world.ingest(&[], serde_json::to_vec(&many).unwrap()).await, 413);
    assert!(messages[0].contains("10000"), "{messages:?}");
    let body = json!({ "name": "x".repeat(2 * MIB) }).to_string();
    refusal(&world.api.send("POST", "/api/v2/admin/business", "application/json", body).await.unwrap(), 413);
    world.assert_nothing_stored().await;
}
