//! What a delivery costs before the socket: one body per event and format, one signature per attempt, one look into `data`.

use std::hint::black_box;
use std::sync::Arc;

use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use pombo::domain::{
    Business, BusinessId, Chat, Connection, Event, EventId, EventKind, Format, Instance, InstanceId, InstanceState,
    Secret, Secrets, Timestamp, WhatsApp,
};
use pombo::format::{Sender, Signer, inspect, render};

const AT: Timestamp = Timestamp::from_millis(1_713_103_865_660);

fn sender() -> Sender {
    let business = Business {
        id: BusinessId::from_u128(1),
        name: "Acme".into(),
        token: "token".into(),
        attributes: serde_json::Map::new(),
        created_at: AT,
        updated_at: AT,
    };
    let instance = Instance {
        id: InstanceId::new("loja-7").expect("a valid id"),
        business: business.id,
        name: "Loja 7".into(),
        state: InstanceState::Active,
        connection: Connection::Open,
        status_reason: 200,
        auth_id: "auth".into(),
        jwt: "jwt".into(),
        auth_updated_at: AT,
        whatsapp: Some(WhatsApp {
            whatsapp_id: "wa-1".into(),
            remote_jid: "5511999999999@s.whatsapp.net".into(),
            picture_url: Some("https://pps.example/1.jpg".into()),
            push_name: Some("João".into()),
            created_at: AT,
        }),
        created_at: AT,
        updated_at: AT,
    };
    Sender::new(Arc::new(instance), Arc::new(business))
}

/// A text message of about `bytes` bytes.
fn message(bytes: usize) -> Event {
    let frame = r#"{"messageId":"3EB0D30BA3B80C98B5A39DF5","keyId":"3EB0C0C9F5DC05381516","keyRemoteJid":"5511900000252@s.whatsapp.net","keyParticipant":null,"pushName":"João","contentType":"conversation","content":{"text":""},"source":"api","messageTimestamp":1783619701,"createdAt":"2026-02-27T03:03:30.902Z"}"#;
    let text = "amanhã ".repeat(bytes.saturating_sub(frame.len()) / "amanhã ".len());
    let data = frame.replace(r#""text":"""#, &format!(r#""text":"{text}""#));
    assert!(data.len().abs_diff(bytes) < 16, "a message of the size its benchmark says: {}", data.len());
    Event {
        id: EventId::first_at(AT),
        instance: InstanceId::new("loja-7").expect("a valid id"),
        kind: EventKind::MessagesUpsert,
        data: Bytes::from(data),
        client_id: None,
        accepted_at: AT,
        occurred_at: None,
        chat: Some(Chat { jid: "5511900000252@s.whatsapp.net".into() }),
        traceparent: None,
    }
}

fn bodies(c: &mut Criterion) {
    let sender = sender();
    for (size, bytes) in [("0.6KB", 600), ("4KB", 4 << 10), ("64KB", 64 << 10)] {
        let event = message(bytes);
        let mut group = c.benchmark_group(format!("render/{size}"));
        group.throughput(Throughput::Bytes(event.data.len() as u64));
        for format in Format::ALL {
            group.bench_function(BenchmarkId::from_parameter(format.as_str()), |b| {
                b.iter(|| render(format, black_box(&event), &sender));
            });
        }
        group.bench_function(BenchmarkId::from_parameter("inspect"), |b| {
            b.iter(|| inspect(event.kind, black_box(&event.data), AT));
        });
        group.finish();
    }
}

fn signatures(c: &mut Criterion) {
    let secret = || Secret::random().expect("randomness");
    let one = Signer::new(&Secrets::new(secret()));
    let two = Signer::new(&Secrets { current: secret(), previous: Some((secret(), Timestamp::MAX)) });
    let body = vec![b'x'; 650];
    let id = EventId::first_at(AT);
    c.bench_function("sign/0.65KB", |b| b.iter(|| one.sign(id, AT, black_box(&body))));
    c.bench_function("sign/0.65KB/rotating", |b| b.iter(|| two.sign(id, AT, black_box(&body))));
}

criterion_group!(benches, bodies, signatures);
criterion_main!(benches);
