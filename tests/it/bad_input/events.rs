//! Events that are not events: all that is wrong is told, and none of a batch is stored.

use serde_json::json;

use super::{World, event, refusal};

#[tokio::test]
async fn wrong_events_are_refused_with_all_that_is_wrong_and_none_of_a_batch_is_stored() {
    let mut world = World::new().await;
    let deep = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    let cases: Vec<(Vec<u8>, &[&str])> = vec![
        (b"".to_vec(), &["empty"]),
        (b"[]".to_vec(), &["empty"]),
        (b"{".to_vec(), &["not JSON"]),
        (b"{\"event\":\"messages.upsert\",\"data\":{}} x".to_vec(), &["not JSON"]),
        (b"{\"event\":\"messages.upsert\",\"data\":\"\xff\xfe\"}".to_vec(), &["UTF-8"]),
        (b"7".to_vec(), &["must be an object"]),
        (
            br#"{"event":"no.such","id":7,"occurredAt":"yesterday"}"#.to_vec(),
            &["event", "data is required", "id must", "occurredAt must"],
        ),
        (br#"{"event":{},"data":null,"id":""}"#.to_vec(), &["event must", "id must"]),
        (
            br#"[{"event":"messages.upsert","data":{}},{"event":"messages.upsert"},3]"#.to_vec(),
            &["entry 1: data is required", "entry 2: must be an object"],
        ),
        (br#"[{"event":"messages.upsert","data":{}},{"event":"#.to_vec(), &["entry 1: not JSON"]),
        (format!(r#"{{"event":"messages.upsert","data":{}}}"#, deep(100_000)).into_bytes(), &["nest"]),
        (format!(r#"{{"event":"messages.upsert","data":{{}},"id":"{}"}}"#, "i".repeat(257)).into_bytes(), &["id must"]),
    ];
    for (body, wanted) in cases {
        let shown = String::from_utf8_lossy(&body[..body.len().min(120)]).into_owned();
        let messages = refusal(&world.ingest(&[], body).await, 400);
        for wanted in wanted {
            assert!(messages.iter().any(|message| message.contains(wanted)), "{shown}: {wanted:?} in {messages:?}");
        }
    }
    let lines = "{\"event\":\"messages.upsert\",\"data\":{}}\n\n{\"event\":\"messages.upsert\"\n";
    let messages = refusal(&world.ingest(&[("content-type", "application/x-ndjson")], lines).await, 400);
    assert!(messages[0].contains("entry 1 (line 3)"), "{messages:?}");
    for kind in ["text/plain", "application/xml", "multipart/form-data; boundary=x"] {
        refusal(&world.ingest(&[("content-type", kind)], event(&json!({})).to_string()).await, 415);
    }
    let two = json!([event(&json!({})), event(&json!({}))]).to_string();
    for (key, body) in [("k", two), ("", event(&json!({})).to_string())] {
        refusal(&world.ingest(&[("idempotency-key", key)], body).await, 400);
    }
    world.assert_nothing_stored().await;
}
