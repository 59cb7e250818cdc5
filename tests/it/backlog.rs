//! A dead receiver with a big backlog: memory stays bounded (P7), nobody else notices (P5), a start with it is quick, and when
//! the receiver comes back it is met with a ramp, not with a burst.
//!
//! 100,000 deliveries unless `POMBO_TEST_BACKLOG` says otherwise.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::Response;
use http_body_util::{BodyExt as _, Full};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::support::api::Api;
use crate::support::deadline::until_true;
use crate::support::pombo::{Pombo, Setup};
use crate::support::receiver::Inbox;

const BATCH: u64 = 5_000;
/// At any time, also while big batches are taken in as fast as they can be.
const MAX_RSS_KIB: u64 = 200 << 10;
const MAX_START: Duration = Duration::from_secs(3);
const CONCURRENCY: u32 = 16;

fn backlog() -> u64 {
    std::env::var("POMBO_TEST_BACKLOG").ok().and_then(|text| text.parse().ok()).unwrap_or(100_000)
}

/// A receiver that knows how many requests it has at once.
#[derive(Debug, Default)]
struct Gauge {
    now: AtomicU32,
    completed: AtomicU64,
    /// (requests at once, this one included; requests completed before it), for the first arrivals.
    arrivals: Mutex<Vec<(u32, u64)>>,
}

const NOTED: usize = 10_000;

impl Gauge {
    async fn take(&self, request: hyper::Request<hyper::body::Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
        let completed = self.completed.load(Ordering::SeqCst);
        let now = self.now.fetch_add(1, Ordering::SeqCst) + 1;
        {
            let mut arrivals = self.arrivals.lock();
            if arrivals.len() < NOTED {
                arrivals.push((now, completed));
            }
        }
        let _ = request.into_body().collect().await;
        // Long beside the way there and back, so that requests at once are seen at once.
        tokio::time::sleep(Duration::from_millis(if completed < 300 { 15 } else { 1 })).await;
        self.now.fetch_sub(1, Ordering::SeqCst);
        self.completed.fetch_add(1, Ordering::SeqCst);
        Ok(Response::new(Full::default()))
    }

    async fn serve(self: Arc<Self>, listener: TcpListener) {
        loop {
            let Ok((stream, _)) = listener.accept().await else { continue };
            let gauge = Arc::clone(&self);
            tokio::spawn(async move {
                let _ = stream.set_nodelay(true);
                let service = service_fn(|request| gauge.take(request));
                let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
            });
        }
    }
}

/// The most memory a process has had, looked at many times a second.
#[derive(Debug)]
struct Watch {
    most: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
}

impl Watch {
    fn on(pid: u32) -> Self {
        let (most, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let path = PathBuf::from(format!("/proc/{pid}/status"));
        let (sees, stops) = (Arc::clone(&most), Arc::clone(&stop));
        std::thread::spawn(move || {
            while !stops.load(Ordering::Relaxed) {
                let status = std::fs::read_to_string(&path).unwrap_or_default();
                let rss = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
                let kib = rss.and_then(|rss| rss.split_whitespace().next()?.parse().ok()).unwrap_or(0);
                sees.fetch_max(kib, Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(20));
            }
        });
        Self { most, stop }
    }

    fn most_kib(&self) -> u64 {
        self.most.load(Ordering::Relaxed)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// Milliseconds from the request to the receiver's note, the 50th and the 95th of a hundred, one after the other.
async fn latency(api: &mut Api, instance: &str, inbox: &Inbox) -> (f64, f64) {
    let mut times = Vec::new();
    for _ in 0..100 {
        let (begun, before) = (Instant::now(), inbox.len());
        api.event(instance, "messages.upsert", None, &json!({ "messageId": "probe" })).await;
        while inbox.len() == before {
            assert!(begun.elapsed() < Duration::from_secs(20), "a healthy webhook stands still");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        times.push(begun.elapsed().as_secs_f64() * 1_000.0);
    }
    times.sort_by(f64::total_cmp);
    (times[50], times[95])
}

/// The engine's processor time in µs for each of so many deliveries, events a thousand at a time.
async fn cost(api: &mut Api, instance: &str, inbox: &Inbox, pombo: &Pombo, deliveries: u64) -> f64 {
    let (began, taken) = (pombo.cpu_ticks(), inbox.len());
    for first in (0..deliveries).step_by(1_000) {
        api.events(instance, batch(first, 1_000.min(deliveries - first))).await;
    }
    until_true("the healthy webhook has all", Duration::from_mins(1), async || {
        let come = (inbox.len() - taken) as u64;
        (come == deliveries, come)
    })
    .await;
    let tick_us = 1_000_000 / rustix::param::clock_ticks_per_second();
    ((pombo.cpu_ticks() - began) * tick_us) as f64 / deliveries as f64
}

/// Until the engine does next to nothing: what came in has been merged into its files.
async fn until_at_rest(pombo: &Pombo) {
    until_true("what came in is merged", Duration::from_mins(2), async || {
        let before = pombo.cpu_ticks();
        tokio::time::sleep(Duration::from_millis(250)).await;
        let used = pombo.cpu_ticks() - before;
        (used <= 1, used)
    })
    .await;
}

/// A port below those the system hands out by itself: nothing takes it while its receiver is down.
fn quiet_port() -> SocketAddr {
    let first = 10_000 + (std::process::id() % 1_900) as u16;
    let free = (first..12_000).find(|port| std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok());
    SocketAddr::from((Ipv4Addr::LOCALHOST, free.expect("a free port")))
}

fn batch(first: u64, count: u64) -> String {
    let line = |number: u64| {
        let chat = format!("55119{:08}@s.whatsapp.net", number % 500);
        let data =
            json!({ "messageId": format!("m{number}"), "keyRemoteJid": chat, "content": { "text": "x".repeat(200) } });
        format!("{}\n", json!({ "event": "messages.upsert", "data": data }))
    };
    (first..first + count).map(line).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_receiver_with_a_big_backlog_fills_no_memory_and_comes_back_gently() {
    let backlog = backlog();
    let setup = Setup::default().set("POMBO_BREAKER_OPEN_S", "1").set("POMBO_BREAKER_MAX_OPEN_S", "2");
    let mut pombo = setup.start().await;
    let (inbox, dead) = (Inbox::open().await, quiet_port());
    let mut api = pombo.api();
    let business = api.business("backlog").await;
    let (sick, well) = (api.instance(&business, "sick").await, api.instance(&business, "well").await);
    let more = json!({ "concurrency": CONCURRENCY, "retry": { "scheduleSeconds": vec![2; 30] } });
    let hook = api.webhook(&sick, &format!("http://{dead}/dead"), &more).await;
    api.webhook(&well, &inbox.url("/well"), &json!({})).await;

    let watch = Watch::on(pombo.pid());
    let before = latency(&mut api, &well, &inbox).await;
    let cost_empty = cost(&mut api, &well, &inbox, &pombo, backlog / 10).await;
    // As many events as will wait, delivered: a store that holds them merges more than an empty one, whatever waits.
    let by_hand = std::env::var_os("POMBO_TEST_BACKLOG").is_some();
    cost(&mut api, &well, &inbox, &pombo, if by_hand { backlog } else { backlog / 10 }).await;
    until_at_rest(&pombo).await;
    let cost_before = cost(&mut api, &well, &inbox, &pombo, backlog / 10).await;
    let begun = Instant::now();
    let mut posted = 0;
    while posted < backlog {
        let count = BATCH.min(backlog - posted);
        api.events(&sick, batch(posted, count)).await;
        posted += count;
    }
    let posting = begun.elapsed();
    let filling_kib = watch.most_kib();
    let standing = latency(&mut api, &well, &inbox).await;
    let standing_kib = pombo.rss_kib();
    let cost_merging = cost(&mut api, &well, &inbox, &pombo, backlog / 10).await;
    until_at_rest(&pombo).await;
    let cost_beside = cost(&mut api, &well, &inbox, &pombo, backlog / 10).await;
    assert_eq!(api.unfinished(&hook).await, backlog);
    let filled = watch.most_kib();
    drop(watch);

    pombo.kill9().await;
    let begun = Instant::now();
    pombo.start().await;
    let mut api = pombo.api();
    api.get("/readyz").await;
    let starting = begun.elapsed();
    let watch = Watch::on(pombo.pid());
    let after = latency(&mut api, &well, &inbox).await;
    assert_eq!(api.unfinished(&hook).await, backlog);
    until_true("the breaker opens", Duration::from_secs(20), async || {
        let circuit = api.stats(&hook).await["gate"]["circuit"].clone();
        (circuit == "open", circuit)
    })
    .await;

    let gauge = Arc::new(Gauge::default());
    let server = tokio::spawn(Arc::clone(&gauge).serve(TcpListener::bind(dead).await.unwrap()));
    until_true("the first is taken", Duration::from_secs(20), async || {
        let completed = gauge.completed.load(Ordering::SeqCst);
        (completed > 0, completed)
    })
    .await;
    let begun = Instant::now();
    let goal = backlog.min(50_000);
    let mut steps = vec![0];
    while gauge.completed.load(Ordering::SeqCst) < goal {
        tokio::time::sleep(Duration::from_secs(2)).await;
        let (completed, last) = (gauge.completed.load(Ordering::SeqCst), *steps.last().unwrap());
        assert!(completed > last, "the drain stands still at {completed}");
        steps.push(completed);
    }
    let draining = begun.elapsed();
    let left = api.unfinished(&hook).await;
    let drained_kib = watch.most_kib();
    server.abort();
    println!(
        "{backlog} pending: posted in {posting:.1?}, started again in {starting:.2?}; RSS in MiB: {} filling, {} standing, {} \
         draining at most; healthy latency in ms (p50, p95): {before:.1?} before, {standing:.1?} beside the backlog, {after:.1?} \
         after the start; healthy deliveries cost {cost_empty:.1} µs in an empty store, {cost_before:.1} after as many, \
         {cost_merging:.1} right after the backlog came in and {cost_beside:.1} beside it; {goal} drained in {draining:.1?}, {left} left, every 2 s: {steps:?}",
        filling_kib >> 10,
        standing_kib >> 10,
        drained_kib >> 10
    );
    ramps(&gauge.arrivals.lock());
    assert!(
        filled.max(drained_kib) < MAX_RSS_KIB,
        "RSS rose to {filled} KiB filling (then {standing_kib}), to {drained_kib} KiB draining"
    );
    assert!(starting < MAX_START, "the start took {starting:?}");
    for (when, seen) in [("beside the backlog", standing), ("after the start", after)] {
        assert!(seen.0 < before.0 * 3.0 + 10.0, "healthy latency {seen:?} {when}, {before:?} before");
    }
    let status: Value = api.stats(&hook).await;
    assert!(status["unfinished"].as_u64().unwrap() <= backlog - goal + u64::from(CONCURRENCY) + 4_096, "{status}");
}

/// 1 at once until one was taken, 2 until two more, 4 until four more, …, and never more than the webhook's `concurrency`.
fn ramps(arrivals: &[(u32, u64)]) {
    for (number, (now, completed)) in arrivals.iter().enumerate() {
        let bound = 1_u32.checked_shl((completed + 1).ilog2()).unwrap_or(u32::MAX).min(CONCURRENCY);
        assert!(*now <= bound, "arrival {number}: {now} at once after {completed} were taken, the ramp allows {bound}");
    }
    let most = arrivals.iter().map(|(now, _)| *now).max().unwrap_or_default();
    assert!(most >= CONCURRENCY / 2, "the ramp ends at the window: at most {most} at once were seen");
}
