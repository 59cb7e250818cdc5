use std::io::Write as _;
use std::time::Duration;

use actix_web::test::TestRequest;
use actix_web::{App, HttpServer};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::super::configure;
use super::super::world::World;
use crate::engine::IngestError;

const PATH: &str = "/api/v2/instance/shop-1/events";
const ONE: &str =
    r#"{"event":"messages.upsert","data":{"keyRemoteJid":"5511@s.whatsapp.net","content":{"text":"oi"}}}"#;

fn post(content_type: &str, body: impl Into<Vec<u8>>) -> TestRequest {
    TestRequest::post().uri(PATH).insert_header(("Content-Type", content_type)).set_payload(body.into())
}

#[actix_web::test]
async fn one_event_is_taken_with_its_chat_key_and_trace() {
    let world = World::new().await;
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let request =
        post("application/json", ONE).insert_header(("Idempotency-Key", "k-1")).insert_header(("traceparent", trace));
    let reply = world.call(request).await;
    assert_eq!(reply.status, 202, "{:?}", reply.body);
    let answer = reply.json();
    assert_eq!((&answer["accepted"], &answer["duplicates"]), (&1.into(), &0.into()));
    assert!(answer["ids"][0].as_str().unwrap().starts_with("evt_"));
    let taken = world.engine.taken.lock();
    assert_eq!(&*taken[0].chat.as_ref().unwrap().jid, "5511@s.whatsapp.net");
    assert_eq!(taken[0].client_id.as_deref(), Some("k-1"));
    assert_eq!(taken[0].traceparent.as_deref(), Some(trace));
    assert!(ONE.contains(std::str::from_utf8(&taken[0].data).unwrap()));
}

#[actix_web::test]
async fn arrays_lines_and_large_compressed_batches_are_taken_whole() {
    let world = World::new().await;
    assert_eq!(world.call(post("application/json", format!("[{ONE},{ONE}]"))).await.json()["accepted"], 2);
    assert_eq!(world.call(post("application/x-ndjson", format!("{ONE}\n{ONE}\n{ONE}"))).await.json()["accepted"], 3);
    // Over the size that is parsed in place.
    let large = format!(r#"{{"event":"new.jwt","data":"{}"}}"#, "x".repeat(300 << 10));
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(large.as_bytes()).unwrap();
    let request = post("application/json", gzip.finish().unwrap()).insert_header(("Content-Encoding", "gzip"));
    assert_eq!(world.call(request).await.json()["accepted"], 1);
    assert_eq!(world.engine.taken.lock().len(), 6);
}

#[actix_web::test]
async fn refusals_have_their_status_and_take_nothing() {
    let world = World::new().await;
    let too_many = format!("[{}]", vec![ONE; 101].join(","));
    let bomb = zstd::encode_all(&vec![b' '; 64 << 20][..], 3).unwrap();
    for (status, request, told) in [
        (400, post("application/json", format!("[{ONE},{{}}]")), "entry 1"),
        (400, post("application/json", "[]"), "empty"),
        (400, post("application/json", format!("[{ONE},{ONE}]")).insert_header(("Idempotency-Key", "k")), "single"),
        (413, post("application/json", too_many), "max_events"),
        (413, post("application/json", vec![b' '; (1 << 20) + 1]), "max_body_bytes"),
        (413, post("application/json", bomb).insert_header(("Content-Encoding", "zstd")), "max_body_bytes"),
        (415, post("application/json", ONE).insert_header(("Content-Encoding", "br")), "Content-Encoding"),
        (415, post("text/plain", ONE), "Content-Type"),
        (401, post("application/json", ONE).insert_header(("apikey", "wrong")), "token"),
        (404, post("application/json", ONE).insert_header(("apikey", world.other_token.clone())), "not found"),
        (405, TestRequest::get().uri(PATH), "POST"),
    ] {
        let reply = world.call(request).await;
        assert_eq!(reply.status, status, "{told}: {:?}", reply.body);
        let answer = reply.json();
        assert_eq!(answer["statusCode"], status);
        assert!(answer["message"][0].as_str().unwrap().contains(told), "{told}: {answer}");
    }
    assert!(world.engine.taken.lock().is_empty());
}

#[actix_web::test]
async fn an_engine_at_its_bound_says_when_to_come_back() {
    let world = World::new().await;
    *world.engine.refusal.lock() = Some(IngestError::Busy { bound: "backlog", retry_after: Duration::from_secs(3) });
    let reply = world.call(post("application/json", ONE)).await;
    assert!(matches!(reply.status, 429 | 503));
    assert_eq!(reply.headers.get("retry-after").unwrap(), "3");
}

#[actix_web::test]
async fn a_request_that_breaks_off_stores_nothing() {
    let world = World::new().await;
    let shared = world.shared.clone();
    let server = HttpServer::new(move || App::new().configure(|config| configure(config, &shared)))
        .workers(1)
        .disable_signals()
        .bind("127.0.0.1:0")
        .unwrap();
    let address = server.addrs()[0];
    let server = server.run();
    let handle = server.handle();
    actix_web::rt::spawn(server);
    let send = async |announced: usize| {
        let mut socket = tokio::net::TcpStream::connect(address).await.unwrap();
        let head = format!(
            "POST {PATH} HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Type: application/x-ndjson\r\nAuthorization: Bearer {}\r\n\
             Content-Length: {announced}\r\n\r\n{ONE}\n",
            world.instance_token
        );
        socket.write_all(head.as_bytes()).await.unwrap();
        socket.shutdown().await.unwrap();
        let mut answer = Vec::new();
        // The end of the stream is the server's: it is done with the request then.
        let _ = socket.read_to_end(&mut answer).await;
        String::from_utf8_lossy(&answer).into_owned()
    };
    let answer = send(ONE.len() + 100).await;
    assert!(!answer.contains(" 202 "), "{answer}");
    assert!(world.engine.taken.lock().is_empty());
    assert!(send(ONE.len() + 1).await.contains(" 202 "), "the same request in full is taken");
    assert_eq!(world.engine.taken.lock().len(), 1);
    handle.stop(false).await;
}
