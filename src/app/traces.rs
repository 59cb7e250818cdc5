//! Sends spans to a collector as OTLP over HTTP, in batches, beside everything else: a collector that is away costs spans, not deliveries.

use std::sync::mpsc::Receiver;
use std::time::Duration;

use metrics::{Counter, counter};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span as OtlpSpan, Status};
use prost::Message as _;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use url::Url;

use crate::telemetry::names;
use crate::telemetry::traces::{About, Span};
use crate::transport::Transport;

const EVERY: Duration = Duration::from_millis(500);
const TIMEOUT: Duration = Duration::from_secs(5);
const BATCH: usize = 512;
/// The last spans may take this long when the process ends.
const LAST_WITHIN: Duration = Duration::from_secs(2);

/// The running task.
#[derive(Debug)]
pub(super) struct Exporting {
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

struct Exporter {
    spans: Receiver<Span>,
    url: Url,
    transport: Transport,
    exported: Counter,
    dropped: Counter,
}

pub(super) fn start(spans: Receiver<Span>, url: Url, transport: Transport) -> Exporting {
    let count = |result: &'static str| counter!(names::SPANS, "result" => result);
    let exporter = Exporter { spans, url, transport, exported: count("exported"), dropped: count("dropped") };
    let (stop, stopped) = oneshot::channel();
    Exporting { stop, task: actix::spawn(exporter.run(stopped)) }
}

impl Exporting {
    /// Sends what is there and ends.
    pub(super) async fn end(self) {
        let _ended = self.stop.send(());
        let _in_time = tokio::time::timeout(LAST_WITHIN, self.task).await;
    }
}

impl Exporter {
    async fn run(self, mut stopped: oneshot::Receiver<()>) {
        loop {
            let ends = tokio::time::timeout(EVERY, &mut stopped).await.is_ok();
            loop {
                let batch: Vec<OtlpSpan> = self.spans.try_iter().take(BATCH).map(|span| encode(&span)).collect();
                if batch.is_empty() {
                    break;
                }
                self.send(batch).await;
            }
            if ends {
                return;
            }
        }
    }

    async fn send(&self, spans: Vec<OtlpSpan>) {
        let count = spans.len() as u64;
        let body = request(spans).encode_to_vec().into();
        let answer = self.transport.post_plain(&self.url, "application/x-protobuf", body, TIMEOUT).await;
        let problem = match answer {
            Ok(200..=299) => return self.exported.increment(count),
            Ok(status) => format!("it answers {status}"),
            Err(problem) => problem,
        };
        self.dropped.increment(count);
        tracing::warn!(cause = "traces", problem, "the collector did not take spans; they are dropped");
    }
}

fn request(spans: Vec<OtlpSpan>) -> ExportTraceServiceRequest {
    let version = env!("CARGO_PKG_VERSION");
    let resource = Resource {
        attributes: vec![text("service.name", "pombo"), text("service.version", version)],
        ..Resource::default()
    };
    let scope =
        InstrumentationScope { name: "pombo".into(), version: version.into(), ..InstrumentationScope::default() };
    let spans = ScopeSpans { scope: Some(scope), spans, ..ScopeSpans::default() };
    let resource_spans =
        ResourceSpans { resource: Some(resource), scope_spans: vec![spans], ..ResourceSpans::default() };
    ExportTraceServiceRequest { resource_spans: vec![resource_spans] }
}

fn encode(span: &Span) -> OtlpSpan {
    let (name, kind, attributes, failure) = match &span.about {
        About::Ingest { events, refused } => {
            ("ingest", SpanKind::Server, vec![number("pombo.events", *events as i64)], *refused)
        }
        About::Attempt { webhook, event, number: attempt, status, failure } => {
            let mut attributes = vec![
                text("pombo.webhook.id", &webhook.to_string()),
                text("pombo.event.id", &event.to_string()),
                number("pombo.attempt", i64::from(*attempt)),
            ];
            if *status > 0 {
                attributes.push(number("http.response.status_code", i64::from(*status)));
            }
            attributes.extend(failure.map(|code| text("error.type", code)));
            ("deliver", SpanKind::Client, attributes, *failure)
        }
    };
    let parent = span.place.parent;
    OtlpSpan {
        trace_id: span.place.trace.to_be_bytes().to_vec(),
        span_id: span.id.to_be_bytes().to_vec(),
        parent_span_id: if parent == 0 { Vec::new() } else { parent.to_be_bytes().to_vec() },
        name: name.into(),
        kind: kind.into(),
        start_time_unix_nano: span.start_ns,
        end_time_unix_nano: span.end_ns,
        attributes,
        status: failure.map(|code| Status { message: code.into(), code: StatusCode::Error.into() }),
        ..OtlpSpan::default()
    }
}

fn text(key: &str, value: &str) -> KeyValue {
    attribute(key, Value::StringValue(value.into()))
}

fn number(key: &str, value: i64) -> KeyValue {
    attribute(key, Value::IntValue(value))
}

fn attribute(key: &str, value: Value) -> KeyValue {
    KeyValue { key: key.into(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}
