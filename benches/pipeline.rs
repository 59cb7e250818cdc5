//! The whole engine in this process: batches of 64 events from the POST until every delivery is made and settled.
//!
//! By fan-out (webhooks of the instance) and by what a commit survives. Sender, engine and receiver share the machine, so the figures
//! are of all three; the receiver answers 200 at once and keeps nothing. After each batch the engine is asked whether anything is
//! unfinished: it begins the next one with empty lanes. `cargo bench --bench pipeline`.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, SamplingMode, Throughput};
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use pombo::app::App;
use pombo::commands::demo::api::Api;
use pombo::commands::http::{Answer, Client};
use pombo::config::{Config, LogLevel, SecretText};
use pombo::store::Durability;
use pombo::telemetry::logging;
use serde::Deserialize;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::Notify;
use url::Url;

/// The binary's allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const EVENTS: u64 = 64;
const FAN_OUTS: [u64; 3] = [1, 10, 100];
/// Bytes of text in a message, so that an event has about 700 in all.
const TEXT: usize = 400;
/// One batch, in a debug build on a busy machine too.
const PATIENCE: Duration = Duration::from_mins(2);
const TOKEN: &str = "bench-0123456789abcdef0123456789abcdef";

/// What the receiver has taken.
#[derive(Default)]
struct Taken {
    count: AtomicU64,
    awaited: AtomicU64,
    reached: Notify,
}

impl Taken {
    fn one(&self) {
        if self.count.fetch_add(1, Ordering::AcqRel) + 1 >= self.awaited.load(Ordering::Acquire) {
            self.reached.notify_one();
        }
    }

    async fn answer(&self, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, hyper::Error> {
        request.into_body().collect().await?;
        self.one();
        Ok(Response::new(Full::default()))
    }
}

/// A server on a thread of its own, for as long as the process runs.
fn receive(taken: &Arc<Taken>) -> SocketAddr {
    let taken = Arc::clone(taken);
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let addr = listener.local_addr().expect("it is bound");
    listener.set_nonblocking(true).expect("a socket's option");
    let serve = async move {
        let listener = TcpListener::from_std(listener).expect("a runtime with I/O");
        loop {
            let (stream, _) = listener.accept().await.expect("files for all connections");
            stream.set_nodelay(true).expect("a socket's option");
            let taken = Arc::clone(&taken);
            tokio::spawn(async move {
                let service = service_fn(|request| taken.answer(request));
                // The engine closes it when it ends.
                let _closed = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
            });
        }
    };
    std::thread::Builder::new()
        .name("receiver".into())
        .spawn(move || -> Infallible { runtime().block_on(serve) })
        .expect("a thread");
    addr
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}

#[derive(Deserialize)]
struct Cluster {
    unfinished: u64,
}

/// An engine with one instance, and the connection that feeds it.
struct Line {
    app: App,
    client: Client,
    events_path: String,
    body: Bytes,
    taken: Arc<Taken>,
    deliveries: u64,
    /// Goes with the line.
    _folder: tempfile::TempDir,
}

impl Line {
    fn build(
        runtime: &Runtime,
        durability: Durability,
        fan_out: u64,
        receiver: SocketAddr,
        taken: &Arc<Taken>,
    ) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let mut config = Config {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            data_dir: folder.path().to_owned(),
            admin_token: Some(SecretText::new(TOKEN)),
            durability,
            ..Config::default()
        };
        config.targets.allow_http = true;
        config.targets.allow_networks.push(ipnet::Ipv4Net::new_assert(Ipv4Addr::new(127, 0, 0, 0), 8).into());
        let app = pombo::app::start(config).expect("the engine starts");
        let url: Url = format!("http://{}", app.addr()).parse().expect("a URL");
        let instance = runtime.block_on(set_up(&url, fan_out, receiver));
        Self {
            client: Client::new(&url).expect("plain HTTP"),
            events_path: format!("/api/v2/instance/{instance}/events"),
            body: events(),
            taken: Arc::clone(taken),
            deliveries: EVENTS * fan_out,
            app,
            _folder: folder,
        }
    }

    async fn call(&mut self, method: &str, path: &str, body: Bytes) -> Answer {
        let authorization = format!("Bearer {TOKEN}");
        let headers = [("authorization", authorization.as_str()), ("content-type", "application/x-ndjson")];
        self.client.send(method, path, &headers, body).await.expect("an answer")
    }

    /// One batch, until nothing of it is left to do.
    async fn run(&mut self) {
        let before = self.taken.count.load(Ordering::Acquire);
        let awaited = before + self.deliveries;
        self.taken.awaited.store(awaited, Ordering::Release);
        let path = self.events_path.clone();
        let answer = self.call("POST", &path, self.body.clone()).await;
        assert_eq!(answer.status, 202, "{}", String::from_utf8_lossy(&answer.body));
        while self.taken.count.load(Ordering::Acquire) < awaited {
            self.taken.reached.notified().await;
        }
        while self.unfinished().await > 0 {}
        assert_eq!(self.taken.count.load(Ordering::Acquire), awaited, "deliveries were repeated");
    }

    async fn unfinished(&mut self) -> u64 {
        let answer = self.call("GET", "/api/v2/admin/cluster", Bytes::new()).await;
        assert_eq!(answer.status, 200);
        serde_json::from_slice::<Cluster>(&answer.body).expect("the document's object").unfinished
    }
}

/// An instance with so many webhooks; answers its id.
async fn set_up(url: &Url, fan_out: u64, receiver: SocketAddr) -> String {
    let mut api = Api::new(url, TOKEN).expect("plain HTTP");
    let business = api.business("Bench").await.expect("a business");
    let instance = api.instance(&business, "bench").await.expect("an instance");
    for number in 0..fan_out {
        let target = format!("http://{receiver}/{number}");
        api.webhook(&instance, &format!("Webhook {number}"), &target, &json!({})).await.expect("a webhook");
    }
    instance
}

/// Messages of as many chats, one event a line.
fn events() -> Bytes {
    let event = |number: u64| {
        let chat = format!("55119{number:08}@s.whatsapp.net");
        let data = json!({
            "key": { "remoteJid": chat, "fromMe": false, "id": format!("3EB0{number:016X}") },
            "pushName": "Bench",
            "messageType": "conversation",
            "messageTimestamp": 1_760_000_000 + number,
            "message": { "conversation": "pombo ".repeat(TEXT / 6) },
        });
        format!("{}\n", json!({ "event": "messages.upsert", "data": data }))
    };
    (0..EVENTS).map(event).collect::<String>().into()
}

fn main() {
    let mut config = Config::default();
    config.log.level = LogLevel::parse("error").expect("a level");
    logging::init(&config.log).expect("the first logger");
    let taken = Arc::new(Taken::default());
    let (receiver, runtime) = (receive(&taken), runtime());
    let mut criterion = Criterion::default().configure_from_args();
    for durability in [Durability::Os, Durability::Fsync] {
        let mut group = criterion.benchmark_group(format!("ingest to settled, {}", durability.as_str()));
        group.sample_size(10).sampling_mode(SamplingMode::Flat);
        for fan_out in FAN_OUTS {
            // Built only if it is measured: a filter may leave it out.
            let mut line = None;
            group.throughput(Throughput::Elements(EVENTS * fan_out));
            group.bench_function(BenchmarkId::new("fan-out", fan_out), |bencher| {
                let line = line.get_or_insert_with(|| Line::build(&runtime, durability, fan_out, receiver, &taken));
                bencher.iter_custom(|batches| {
                    let began = Instant::now();
                    for _ in 0..batches {
                        let settled = async { tokio::time::timeout(PATIENCE, line.run()).await };
                        runtime.block_on(settled).expect("a batch is settled in time");
                    }
                    began.elapsed()
                });
            });
            if let Some(line) = line {
                line.app.stop().expect("an orderly end");
            }
        }
        group.finish();
    }
    criterion.final_summary();
}
