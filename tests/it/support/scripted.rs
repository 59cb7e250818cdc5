//! A receiver that answers each request as a closure says, and keeps what came in the order of arrival.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Call {
    pub path: String,
    /// `webhook-id`
    pub id: String,
    /// `x-webhook-attempt`
    pub attempt: u16,
    /// When its head had come.
    pub at: Instant,
    pub headers: HeaderMap,
    pub body: Bytes,
    /// What it is answered with; 0 before that is known.
    pub status: u16,
}

impl Call {
    pub fn is_taken(&self) -> bool {
        (200..300).contains(&self.status)
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("bodies of deliveries are JSON")
    }

    /// A header that must be there.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_else(|| panic!("no header {name}"))
    }
}

/// What to answer, and when.
#[derive(Clone, Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    pub body: &'static str,
    pub after: Duration,
}

impl Reply {
    pub fn status(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: "", after: Duration::ZERO }
    }

    /// Closes the connection without an answer.
    pub fn hang_up() -> Self {
        Self::status(0)
    }

    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub fn body(self, body: &'static str) -> Self {
        Self { body, ..self }
    }

    pub fn after(self, after: Duration) -> Self {
        Self { after, ..self }
    }
}

type Script = Box<dyn Fn(&Call) -> Reply + Send + Sync>;

struct Shared {
    script: Mutex<Arc<Script>>,
    calls: Mutex<Vec<Call>>,
}

/// A running receiver; dropping it closes its port and connections.
pub struct Scripted {
    addr: SocketAddr,
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Scripted {
    /// On a free port. `script` is asked when a request has come whole; retries are told apart by [`Call::attempt`].
    pub async fn start(script: impl Fn(&Call) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let addr = listener.local_addr().expect("a bound socket has an address");
        let script: Script = Box::new(script);
        let shared = Arc::new(Shared { script: Mutex::new(Arc::new(script)), calls: Mutex::default() });
        let accepting = tokio::spawn(accept(listener, Arc::clone(&shared)));
        Self { addr, shared, accepting }
    }

    pub fn port(&self) -> u16 {
        self.addr.port()
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.addr)
    }

    /// Another script from now on.
    pub fn play(&self, script: impl Fn(&Call) -> Reply + Send + Sync + 'static) {
        *self.shared.script.lock() = Arc::new(Box::new(script));
    }

    /// All so far.
    pub fn calls(&self) -> Vec<Call> {
        self.shared.calls.lock().clone()
    }

    /// Those of one delivery.
    pub fn calls_of(&self, id: &str) -> Vec<Call> {
        self.shared.calls.lock().iter().filter(|call| call.id == id).cloned().collect()
    }

    /// Those to one path.
    pub fn calls_to(&self, path: &str) -> Vec<Call> {
        self.shared.calls.lock().iter().filter(|call| call.path == path).cloned().collect()
    }

    pub fn len(&self) -> usize {
        self.shared.calls.lock().len()
    }

    pub fn taken(&self) -> usize {
        self.shared.calls.lock().iter().filter(|call| call.is_taken()).count()
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            Ok((stream, _)) = listener.accept() => {
                let shared = Arc::clone(&shared);
                connections.spawn(async move {
                    let _may_be_slower = stream.set_nodelay(true);
                    let service = service_fn(|request| answer(request, &shared));
                    // A connection that breaks is the sender's business.
                    let _ended = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
                });
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn answer(request: Request<Incoming>, shared: &Shared) -> io::Result<Response<Full<Bytes>>> {
    let at = Instant::now();
    let (head, body) = request.into_parts();
    let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
    let text = |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    let mut call = Call {
        path: head.uri.path().to_owned(),
        id: text("webhook-id"),
        attempt: text("x-webhook-attempt").parse().unwrap_or_default(),
        at,
        headers: head.headers,
        body,
        status: 0,
    };
    let script = Arc::clone(&shared.script.lock());
    let reply = script(&call);
    call.status = reply.status;
    shared.calls.lock().push(call);
    tokio::time::sleep(reply.after).await;
    if reply.status == 0 {
        return Err(io::ErrorKind::ConnectionAborted.into());
    }
    let mut response = Response::builder().status(reply.status);
    for (name, value) in reply.headers {
        response = response.header(name, value);
    }
    Ok(response.body(Full::from(reply.body)).expect("scripts are valid HTTP"))
}
