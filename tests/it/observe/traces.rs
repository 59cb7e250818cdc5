//! A trace goes through: from the request's `traceparent` to the receiver's, and both spans to the collector.

use std::time::Duration;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;
use serde_json::{Value, json};

use crate::support::api::Api;
use crate::support::deadline::until_true;
use crate::support::pombo::{Pombo, Setup};
use crate::support::scripted::{Call, Reply, Scripted};

const SOON: Duration = Duration::from_secs(30);
const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .filter_map(|nibble| char::from_digit(nibble.into(), 16))
        .collect()
}

/// Hands in one event as a traced gateway would.
async fn send(pombo: &Pombo, instance: &str, traceparent: &str) {
    let mut client = pombo::commands::http::Client::new(&pombo.url()).expect("a URL");
    let authorization = format!("Bearer {}", pombo.token);
    let headers =
        [("authorization", authorization.as_str()), ("content-type", "application/json"), ("traceparent", traceparent)];
    let body = json!({ "event": "messages.upsert", "data": {} }).to_string();
    let path = format!("/api/v2/instance/{instance}/events");
    let answer = client.send("POST", &path, &headers, body.into()).await.expect("an answer");
    assert_eq!(answer.status.as_u16(), 202);
}

fn parents(receiver: &Scripted) -> Vec<Option<String>> {
    let header = |call: &Call| call.headers.get("traceparent").map(|value| value.to_str().expect("ASCII").to_owned());
    receiver.calls().iter().map(header).collect()
}

async fn failing_once(api: &mut Api) -> (String, Scripted) {
    let instance = api.tenant("shop").await;
    let receiver = Scripted::start(|call: &Call| Reply::status(if call.attempt == 1 { 500 } else { 200 })).await;
    let retry = json!({ "retry": { "scheduleSeconds": [1, 1] } });
    api.webhook(&instance, &receiver.url("/hook"), &retry).await;
    (instance, receiver)
}

#[tokio::test]
async fn each_attempt_is_a_span_of_the_callers_trace_at_receiver_and_collector() {
    let collector = Scripted::start(|_: &Call| Reply::status(200)).await;
    let setup = Setup::default()
        .set("POMBO_TRACE_SEND", "true")
        .set("POMBO_TRACE_OTLP_URL", &collector.url("/v1/traces"))
        .set("POMBO_TRACE_SAMPLE", "0");
    let mut pombo = setup.start().await;
    let mut api = pombo.api();
    let (instance, receiver) = failing_once(&mut api).await;
    send(&pombo, &instance, &format!("00-{TRACE}-b7ad6b7169203331-01")).await;
    // Not sampled by its caller: sent on, and nothing of it is told to the collector.
    send(&pombo, &instance, "00-11111111111111111111111111111111-b7ad6b7169203331-00").await;
    // Without a trace, none is begun.
    api.event(&instance, "messages.upsert", None, &Value::Null).await;
    until_true("all are taken", SOON, async || (receiver.taken() == 3, receiver.len())).await;
    assert!(pombo.terminate().await.success(), "and the last spans are sent");

    let calls = collector.calls();
    let exported = calls.iter().flat_map(|call| {
        assert_eq!((call.path.as_str(), call.header("content-type")), ("/v1/traces", "application/x-protobuf"));
        ExportTraceServiceRequest::decode(call.body.clone()).expect("OTLP").resource_spans
    });
    let spans: Vec<Span> = exported.flat_map(|of| of.scope_spans).flat_map(|of| of.spans).collect();
    assert!(spans.iter().all(|span| hex(&span.trace_id) == TRACE), "{spans:?}");
    let ingest = spans.iter().find(|span| span.name == "ingest").expect("the request's span");
    assert_eq!(hex(&ingest.parent_span_id), "b7ad6b7169203331");
    let attempts: Vec<&Span> = spans.iter().filter(|span| span.name == "deliver").collect();
    assert_eq!((spans.len(), attempts.len()), (3, 2), "{spans:?}");
    for attempt in &attempts {
        assert_eq!(attempt.parent_span_id, ingest.span_id);
        assert!(attempt.end_time_unix_nano > attempt.start_time_unix_nano);
    }
    assert_eq!(attempts.iter().filter(|span| span.status.is_some()).count(), 1, "one of them failed");

    let sent: Vec<String> = parents(&receiver).into_iter().flatten().collect();
    assert_eq!(sent.len(), 4, "the third event has no trace");
    for attempt in attempts {
        let header = format!("00-{TRACE}-{}-01", hex(&attempt.span_id));
        assert!(sent.contains(&header), "{header} not in {sent:?}");
    }
    assert_eq!(sent.iter().filter(|header| header.ends_with("-00")).count(), 2);
    let mut different = sent.clone();
    different.sort();
    different.dedup();
    assert_eq!(different.len(), sent.len(), "each attempt has a span id of its own");
}

#[tokio::test]
async fn receivers_get_no_trace_unless_that_is_switched_on() {
    let pombo = Setup::default().start().await;
    let mut api = pombo.api();
    let (instance, receiver) = failing_once(&mut api).await;
    send(&pombo, &instance, &format!("00-{TRACE}-b7ad6b7169203331-01")).await;
    until_true("it is taken", SOON, async || (receiver.taken() == 1, receiver.len())).await;
    assert_eq!(parents(&receiver), [None, None]);
}
