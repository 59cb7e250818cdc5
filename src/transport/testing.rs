//! A receiver whose every byte is scripted, over real sockets on the loopback interface.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::HeaderValue;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio_rustls::TlsAcceptor;

use super::{
    AttemptHeaders, Endpoint, Resolve, Resolving, SystemResolver, Target, TargetPolicy, Transport, TransportConfig,
};

pub(super) const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// What a receiver does on a connection, in order. At the end it closes.
#[derive(Clone, Debug)]
pub(super) enum Step {
    /// Reads one whole request.
    Request,
    Write(Vec<u8>),
    /// Writes it again and again.
    Endless(&'static [u8]),
    /// Writes it again and again, with a pause between.
    Drip(&'static [u8], Duration),
    /// Says nothing more and keeps the connection.
    Stall,
    /// Answers every request with this until the client leaves.
    Serve(&'static [u8]),
}

pub(super) fn write(bytes: impl AsRef<[u8]>) -> Step {
    Step::Write(bytes.as_ref().to_vec())
}

pub(super) struct Receiver {
    pub(super) address: SocketAddr,
    pub(super) connections: Rc<Cell<usize>>,
    pub(super) requests: Rc<RefCell<Vec<String>>>,
}

impl Receiver {
    /// `script` is asked for each connection, which count from 1.
    pub(super) async fn start(script: impl Fn(usize) -> Vec<Step> + 'static) -> Self {
        Self::listen("127.0.0.1:0", None, script).await
    }

    pub(super) async fn listen(
        address: &str,
        tls: Option<Arc<rustls::ServerConfig>>,
        script: impl Fn(usize) -> Vec<Step> + 'static,
    ) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (connections, requests) = (Rc::new(Cell::new(0)), Rc::new(RefCell::new(Vec::new())));
        let receiver = Self { address, connections: Rc::clone(&connections), requests: Rc::clone(&requests) };
        tokio::task::spawn_local(async move {
            while let Ok((socket, _)) = listener.accept().await {
                socket.set_nodelay(true).unwrap();
                connections.set(connections.get() + 1);
                let (steps, requests, tls) = (script(connections.get()), Rc::clone(&requests), tls.clone());
                tokio::task::spawn_local(async move {
                    // An error is the client leaving, which many scripts provoke.
                    let _ended: io::Result<()> = match tls {
                        None => play(socket, steps, &requests).await,
                        Some(config) => match TlsAcceptor::from(config).accept(socket).await {
                            Ok(stream) => play(stream, steps, &requests).await,
                            Err(error) => Err(error),
                        },
                    };
                });
            }
        });
        receiver
    }

    pub(super) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(super) fn endpoint(&self) -> Endpoint {
        endpoint(&transport(|_| {}), &self.url("/hook?key=1"))
    }
}

async fn play<S>(mut socket: S, steps: Vec<Step>, requests: &RefCell<Vec<String>>) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut unread = Vec::new();
    for step in steps {
        match step {
            Step::Request => {
                let request = read_request(&mut socket, &mut unread).await?;
                requests.borrow_mut().push(request);
            }
            Step::Write(bytes) => socket.write_all(&bytes).await?,
            Step::Endless(bytes) => loop {
                socket.write_all(bytes).await?;
            },
            Step::Drip(bytes, pause) => loop {
                socket.write_all(bytes).await?;
                tokio::time::sleep(pause).await;
            },
            Step::Stall => std::future::pending().await,
            Step::Serve(answer) => loop {
                let request = read_request(&mut socket, &mut unread).await?;
                requests.borrow_mut().push(request);
                socket.write_all(answer).await?;
            },
        }
    }
    socket.shutdown().await
}

async fn read_request<S: AsyncRead + Unpin>(socket: &mut S, unread: &mut Vec<u8>) -> io::Result<String> {
    loop {
        if let Some(head) = unread.windows(4).position(|end| end == b"\r\n\r\n") {
            let text = String::from_utf8_lossy(&unread[..head]).into_owned();
            let length =
                text.lines().find_map(|line| line.strip_prefix("content-length: ")).map_or(0, |n| n.parse().unwrap());
            let end: usize = head + 4 + length;
            if unread.len() >= end {
                let whole = String::from_utf8_lossy(&unread[..end]).into_owned();
                unread.drain(..end);
                return Ok(whole);
            }
        }
        if socket.read_buf(unread).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}

/// An address whose listener's queue is full: the kernel drops every further attempt to connect. It stays so while what
/// is returned beside it lives.
pub(super) async fn unaccepting() -> (SocketAddr, TcpListener, Vec<TcpStream>) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    let mut queued = Vec::new();
    while let Ok(Ok(socket)) = tokio::time::timeout(Duration::from_millis(100), TcpStream::connect(address)).await {
        queued.push(socket);
    }
    (address, listener, queued)
}

/// A resolver that gives its answers in order and repeats the last; an empty list of answers is an error.
#[derive(Debug, Default)]
pub(super) struct Scripted(Mutex<VecDeque<Vec<SocketAddr>>>);

impl Scripted {
    pub(super) fn new<const N: usize>(answers: [&[SocketAddr]; N]) -> Arc<Self> {
        Arc::new(Self(Mutex::new(answers.into_iter().map(<[_]>::to_vec).collect())))
    }
}

impl Resolve for Scripted {
    fn resolve(&self, _host: &str, _port: u16) -> Resolving {
        let mut answers = self.0.lock().unwrap();
        let answer = if answers.len() > 1 { answers.pop_front() } else { answers.front().cloned() };
        Box::pin(async move { answer.ok_or_else(|| io::Error::other("no such host")) })
    }
}

pub(super) fn config(change: impl FnOnce(&mut TransportConfig)) -> TransportConfig {
    let mut config = TransportConfig {
        targets: TargetPolicy {
            allow_http: true,
            allow_networks: vec!["127.0.0.1/32".parse().unwrap()],
            allow_hosts: Vec::new(),
        },
        extra_ca_file: None,
        proxy: None,
        max_response_bytes: 16 * 1024,
        max_response_time: Duration::from_millis(200),
        keep_alive: Duration::from_mins(1),
        max_sockets: usize::MAX,
        max_idle_connections: usize::MAX,
        user_agent: "Pombo/test".into(),
    };
    change(&mut config);
    config
}

pub(super) fn transport(change: impl FnOnce(&mut TransportConfig)) -> Transport {
    resolving(Arc::new(SystemResolver), change)
}

pub(super) fn resolving(resolver: Arc<dyn Resolve>, change: impl FnOnce(&mut TransportConfig)) -> Transport {
    Transport::with_resolver(config(change), resolver).unwrap()
}

pub(super) fn endpoint(transport: &Transport, url: &str) -> Endpoint {
    let target = Target::parse(url, transport.targets()).unwrap();
    let mut headers = http::HeaderMap::new();
    headers.insert("content-type", HeaderValue::from_static("application/json"));
    headers.insert("content-length", HeaderValue::from_static("999"));
    transport.endpoint(&target, headers)
}

/// Posts `{}` with a deadline no passing test reaches.
pub(super) async fn post(endpoint: &Endpoint) -> crate::domain::Outcome {
    post_within(endpoint, Duration::from_secs(20)).await
}

pub(super) async fn post_within(endpoint: &Endpoint, timeout: Duration) -> crate::domain::Outcome {
    let headers = AttemptHeaders {
        id: HeaderValue::from_static("msg_1"),
        timestamp: HeaderValue::from_static("1614265330"),
        signature: HeaderValue::from_static("v1,abc"),
        attempt: 12,
        traceparent: None,
        sender: None,
    };
    endpoint.post(&headers, &bytes::Bytes::from_static(b"{}"), timeout).await
}

/// Runs a test as the engine runs an endpoint: on one thread, with local tasks.
pub(super) fn on_one_thread<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, test)
}
