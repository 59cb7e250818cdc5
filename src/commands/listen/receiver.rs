//! A receiver on a port: takes requests, plays its script, counts, and tells a watcher.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use parking_lot::RwLock;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::answer::{Dice, Script};
use super::ledger::Ledger;
use super::receipt::{Counters, Counts, Receipt};
use super::verify::Verifier;
use crate::domain::{Secret, Timestamp};

/// Larger bodies are answered 413.
const MAX_BODY_BYTES: usize = 256 << 20;
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);

/// Called for each request, just before its answer. Must be quick: it is on the receiver's path.
pub type Watcher = Arc<dyn Fn(&Receipt) + Send + Sync>;

/// How a receiver is set up.
#[derive(Clone, Default)]
pub struct ReceiverConfig {
    pub script: Script,
    /// Any of them may have signed.
    pub secrets: Vec<Secret>,
    pub seed: u64,
    pub ledger: Option<Arc<Ledger>>,
    pub watcher: Option<Watcher>,
}

impl fmt::Debug for ReceiverConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReceiverConfig").field("script", &self.script).finish_non_exhaustive()
    }
}

struct Shared {
    script: RwLock<Script>,
    verifier: RwLock<Verifier>,
    dice: Dice,
    counters: Counters,
    ledger: Option<Arc<Ledger>>,
    watcher: Option<Watcher>,
}

/// A running receiver. Dropping it closes the port and its connections.
pub struct Receiver {
    addr: SocketAddr,
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
}

impl fmt::Debug for Receiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver").field("addr", &self.addr).finish_non_exhaustive()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        // The connections' tasks are in a set owned by this task: they go with it.
        self.accepting.abort();
    }
}

impl Receiver {
    /// Starts on the current tokio runtime; port 0 takes a free one.
    ///
    /// # Errors
    /// When the address cannot be listened on.
    pub async fn start(addr: SocketAddr, config: ReceiverConfig) -> io::Result<Self> {
        let listener = TcpListener::bind(addr).await?;
        let addr = listener.local_addr()?;
        let shared = Arc::new(Shared {
            script: RwLock::new(config.script),
            verifier: RwLock::new(Verifier::new(&config.secrets)),
            dice: Dice::new(config.seed),
            counters: Counters::default(),
            ledger: config.ledger,
            watcher: config.watcher,
        });
        let accepting = tokio::spawn(accept(listener, Arc::clone(&shared)));
        Ok(Self { addr, shared, accepting })
    }

    pub const fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// `http://address` and `path`, which begins with a slash.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.addr)
    }

    pub fn set_script(&self, script: Script) {
        *self.shared.script.write() = script;
    }

    /// Checks requests to `path` with this secret from now on.
    pub fn trust(&self, path: &str, secret: &Secret) {
        self.shared.verifier.write().trust(path, secret);
    }

    pub fn counts(&self) -> Counts {
        self.shared.counters.read()
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = tokio::task::JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                if let Ok((stream, _)) = accepted {
                    shared.counters.add_connection();
                    connections.spawn(serve(stream, Arc::clone(&shared)));
                } else {
                    // One connection's error, or too many open files: give those in work time to end.
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn serve(stream: TcpStream, shared: Arc<Shared>) {
    // Small answers must not wait for an acknowledgement (Nagle).
    let _ = stream.set_nodelay(true);
    let service = service_fn(|request| respond(request, &shared));
    // A broken connection is the sender's business; what it asked for was counted.
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

async fn respond(request: Request<Incoming>, shared: &Shared) -> Result<Response<Full<Bytes>>, http::Error> {
    let (head, body) = request.into_parts();
    let Ok(body) = Limited::new(body, MAX_BODY_BYTES).collect().await.map(http_body_util::Collected::to_bytes) else {
        return Response::builder().status(StatusCode::PAYLOAD_TOO_LARGE).body(Full::default());
    };
    let script = shared.script.read().clone();
    let status = if script.never { 0 } else { script.next_status(&shared.dice) };
    if !script.delay.is_zero() {
        tokio::time::sleep(script.delay).await;
    }
    shared.record(head.uri.path(), head.headers, body, status);
    if script.never {
        return std::future::pending().await;
    }
    let mut response = Response::builder().status(status);
    for (name, value) in &script.headers {
        response = response.header(name, value);
    }
    response.body(Full::default())
}

impl Shared {
    fn record(&self, path: &str, headers: HeaderMap, body: Bytes, status: u16) {
        let at = Timestamp::now();
        let signature = self.verifier.read().check(path, &headers, &body, at);
        let number = self.counters.add(status, signature, body.len());
        if self.ledger.is_none() && self.watcher.is_none() {
            return;
        }
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let receipt = Receipt {
            number,
            path: path.into(),
            webhook_id: text("webhook-id").unwrap_or_default().into(),
            attempt: text("x-webhook-attempt").and_then(|number| number.parse().ok()).unwrap_or_default(),
            sent_at_seconds: text("webhook-timestamp").and_then(|seconds| seconds.parse().ok()),
            at,
            status,
            signature,
            headers,
            body,
        };
        if let Some(ledger) = &self.ledger {
            ledger.record(&receipt);
        }
        if let Some(watcher) = &self.watcher {
            watcher(&receipt);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::verify::Signature;
    use super::*;
    use crate::commands::http::Client;

    const ANY: ([u8; 4], u16) = ([127, 0, 0, 1], 0);

    async fn post(receiver: &Receiver, id: &str) -> u16 {
        let mut client = Client::new(&receiver.url("/hook").parse().expect("a URL")).expect("plain HTTP");
        let headers = [("webhook-id", id), ("x-webhook-attempt", "3")];
        client.send("POST", "/hook", &headers, Bytes::from_static(b"{}")).await.expect("an answer").status.as_u16()
    }

    #[tokio::test]
    async fn requests_are_counted_answered_and_entered_in_the_ledger() {
        let ledger = Arc::new(Ledger::default());
        let config = ReceiverConfig { ledger: Some(Arc::clone(&ledger)), ..ReceiverConfig::default() };
        let receiver = Receiver::start(ANY.into(), config).await.expect("a port");
        assert_eq!(post(&receiver, "a").await, 200);
        receiver.set_script(Script { status: 503, ..Script::default() });
        assert_eq!(post(&receiver, "a").await, 503);
        assert_eq!(post(&receiver, "b").await, 503);
        assert_eq!(ledger.arrivals("/hook", "a"), super::super::Arrivals { requests: 2, taken: 1 });
        assert_eq!(ledger.totals(), (1, 0));
        let counts = receiver.counts();
        assert_eq!((counts.requests, counts.taken, counts.refused, counts.body_bytes), (3, 1, 2, 6));
    }

    #[tokio::test]
    async fn an_unsigned_request_to_a_receiver_with_a_secret_is_counted_as_bad() {
        let secrets = vec![Secret::random().expect("randomness")];
        let seen = Arc::new(parking_lot::Mutex::new(Vec::new()));
        let entries = Arc::clone(&seen);
        let watcher: Watcher = Arc::new(move |receipt| entries.lock().push((receipt.attempt, receipt.signature)));
        let config = ReceiverConfig { secrets, watcher: Some(watcher), ..ReceiverConfig::default() };
        let receiver = Receiver::start(ANY.into(), config).await.expect("a port");
        post(&receiver, "a").await;
        assert_eq!(receiver.counts().bad_signatures, 1);
        assert_eq!(*seen.lock(), [(3, Signature::Missing)]);
    }

    #[tokio::test]
    async fn a_receiver_that_never_answers_takes_the_request_all_the_same() {
        let (tell, told) = tokio::sync::oneshot::channel();
        let tell = parking_lot::Mutex::new(Some(tell));
        let watcher: Watcher = Arc::new(move |receipt| {
            if let Some(tell) = tell.lock().take() {
                let _ = tell.send(receipt.status);
            }
        });
        let script = Script { never: true, ..Script::default() };
        let config = ReceiverConfig { script, watcher: Some(watcher), ..ReceiverConfig::default() };
        let receiver = Receiver::start(ANY.into(), config).await.expect("a port");
        tokio::select! {
            status = post(&receiver, "a") => panic!("answered {status}"),
            status = told => assert_eq!(status, Ok(0)),
        }
    }
}
