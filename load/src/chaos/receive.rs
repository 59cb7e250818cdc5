//! The receivers of all webhooks, on a thread of their own: every request is written down with its time.

use std::collections::HashSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};

use super::webhooks::Sort;
use crate::clock;
use crate::marker::Marker;
use crate::receive::Inbox;
use crate::wire::Request;

/// A request that came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Arrival {
    /// Of the monotonic clock.
    pub at: u64,
    pub webhook: usize,
    /// Of the event, within its instance.
    pub number: u64,
    /// Whether it was answered 204.
    pub acknowledged: bool,
}

/// What came in, in the order of arrival.
#[derive(Default)]
pub struct Ledger {
    pub arrivals: Vec<Arrival>,
    /// Requests without a marker, or at no webhook's path.
    pub strange: u64,
    /// Requests without the three headers of Standard Webhooks.
    pub unsigned: u64,
    /// The longest that this thread was kept from running: arrivals may be noted so much late, and requests leave so much late.
    pub longest_stall: Duration,
    seen: HashSet<(usize, u64)>,
}

impl Ledger {
    /// Deliveries, each counted once.
    pub fn delivered(&self) -> usize {
        self.seen.len()
    }
}

pub struct Receivers {
    pub addr: SocketAddr,
    ledger: Arc<Mutex<Ledger>>,
}

impl Receivers {
    /// They serve until the process ends.
    pub fn start(webhooks: usize) -> anyhow::Result<Self> {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let addr = listener.local_addr()?;
        let ledger = Arc::new(Mutex::new(Ledger::default()));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let shared = Arc::clone(&ledger);
        std::thread::Builder::new().name("receivers".into()).spawn(move || {
            // It never ends by itself, and what is missing then shows in the ledger.
            let _ended = runtime.block_on(listen(listener, &shared, webhooks));
        })?;
        Ok(Self { addr, ledger })
    }

    pub fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn listen(listener: std::net::TcpListener, ledger: &Arc<Mutex<Ledger>>, webhooks: usize) -> std::io::Result<()> {
    let listener = TcpListener::from_std(listener)?;
    tokio::spawn(note_stalls(Arc::clone(ledger)));
    loop {
        let (stream, _) = listener.accept().await?;
        let ledger = Arc::clone(ledger);
        tokio::spawn(async move {
            // A sender that goes ends its connection.
            let _ended = serve(stream, &ledger, webhooks).await;
        });
    }
}

/// Sleeps shortly, again and again, and looks how much longer it took.
async fn note_stalls(ledger: Arc<Mutex<Ledger>>) {
    const SHORTLY: Duration = Duration::from_millis(10);
    loop {
        let begun = Instant::now();
        tokio::time::sleep(SHORTLY).await;
        let stall = begun.elapsed().saturating_sub(SHORTLY);
        let mut ledger = ledger.lock().unwrap_or_else(PoisonError::into_inner);
        ledger.longest_stall = ledger.longest_stall.max(stall);
    }
}

async fn serve(mut io: TcpStream, ledger: &Mutex<Ledger>, webhooks: usize) -> anyhow::Result<()> {
    io.set_nodelay(true)?;
    let mut inbox = Inbox::new();
    loop {
        let (answer, delay, taken) = loop {
            let pending = inbox.pending();
            if !pending.is_empty()
                && let Some(request) = Request::parse(pending)?
                && pending.len() >= request.head_bytes + request.body_bytes
            {
                let total = request.head_bytes + request.body_bytes;
                let mut ledger = ledger.lock().unwrap_or_else(PoisonError::into_inner);
                let (status, delay) = note(&request, &pending[request.head_bytes..total], &mut ledger, webhooks);
                break (status, delay, total);
            }
            if !inbox.fill(&mut io).await? {
                return Ok(());
            }
        };
        inbox.take(taken);
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        io.write_all(answer).await?;
    }
}

fn note(request: &Request<'_>, body: &[u8], ledger: &mut Ledger, webhooks: usize) -> (&'static [u8], Duration) {
    const TAKEN: &[u8] = b"HTTP/1.1 204 No Content\r\n\r\n";
    const REFUSED: &[u8] = b"HTTP/1.1 503 Not Now\r\ncontent-length: 0\r\n\r\n";
    ledger.unsigned += u64::from(!request.signed);
    let webhook = request.path.strip_prefix("/w").and_then(|index| index.parse().ok());
    let (Some(webhook), Some(marker)) = (webhook.filter(|index| *index < webhooks), Marker::find(body)) else {
        ledger.strange += 1;
        return (TAKEN, Duration::ZERO);
    };
    let sort = Sort::of(webhook);
    let acknowledged = fastrand::f64() >= sort.fails();
    ledger.arrivals.push(Arrival { at: clock::now(), webhook, number: marker.number, acknowledged });
    if acknowledged {
        ledger.seen.insert((webhook, marker.number));
    }
    (if acknowledged { TAKEN } else { REFUSED }, Duration::from_millis(sort.delay_ms()))
}
