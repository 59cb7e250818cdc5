//! Receivers that do what receivers must not: each takes connections and counts them.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

const DRIP_EVERY: Duration = Duration::from_millis(200);

/// What a bad receiver does with a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Manner {
    /// Takes the connection and never answers.
    Hanging,
    /// Answers the head one byte in 200 ms.
    DrippingHead,
    /// Answers 200 at once, and then a body of one byte in 200 ms.
    DrippingBody,
    /// Answers 200 and a body without an end, as fast as it is read.
    EndlessBody,
    /// Resets the connection once a request has come.
    Resetting,
}

/// A bad receiver on a free port. Dropping it closes the port and its connections.
#[derive(Debug)]
pub struct Nasty {
    addr: SocketAddr,
    counts: Arc<Counts>,
    accepting: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Counts {
    connections: AtomicUsize,
    open: AtomicUsize,
    most_open: AtomicUsize,
    requests: AtomicUsize,
}

impl Drop for Nasty {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// Counts a connection as open for as long as it lives.
struct Open(Arc<Counts>);

impl Open {
    fn new(counts: &Arc<Counts>) -> Self {
        counts.connections.fetch_add(1, Ordering::Relaxed);
        let open = counts.open.fetch_add(1, Ordering::Relaxed) + 1;
        counts.most_open.fetch_max(open, Ordering::Relaxed);
        Self(Arc::clone(counts))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Nasty {
    pub async fn start(manner: Manner) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let addr = listener.local_addr().expect("a bound socket has an address");
        let counts = Arc::new(Counts::default());
        let counted = Arc::clone(&counts);
        let accepting = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                tokio::select! {
                    Ok((stream, _)) = listener.accept() => {
                        let open = Open::new(&counted);
                        connections.spawn(async move {
                            // A sender that gives up ends the connection: that is what it should do.
                            let _ = misbehave(stream, manner, &open.0).await;
                        });
                    }
                    Some(_) = connections.join_next() => {}
                }
            }
        });
        Self { addr, counts, accepting }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.addr)
    }

    /// Connections so far.
    pub fn connections(&self) -> usize {
        self.counts.connections.load(Ordering::Relaxed)
    }

    /// Connections now.
    pub fn open(&self) -> usize {
        self.counts.open.load(Ordering::Relaxed)
    }

    /// The most connections at one time.
    pub fn most_open(&self) -> usize {
        self.counts.most_open.load(Ordering::Relaxed)
    }

    /// Reads that brought the beginning of a request.
    pub fn requests(&self) -> usize {
        self.counts.requests.load(Ordering::Relaxed)
    }
}

async fn misbehave(mut stream: TcpStream, manner: Manner, counts: &Counts) -> std::io::Result<()> {
    let mut buffer = vec![0; 64 << 10];
    let read = stream.read(&mut buffer).await?;
    if read == 0 {
        return Ok(());
    }
    counts.requests.fetch_add(1, Ordering::Relaxed);
    let (mut input, mut output) = match manner {
        Manner::Resetting => {
            // Closing with a linger of zero sends a reset rather than an end.
            stream.set_zero_linger()?;
            return Ok(());
        }
        _ => stream.into_split(),
    };
    // Goes on reading, so that an end of the connection is noticed whatever is written.
    let reading = async {
        while input.read(&mut buffer).await? > 0 {}
        Ok(())
    };
    let writing = async {
        match manner {
            Manner::Hanging | Manner::Resetting => std::future::pending().await,
            Manner::DrippingHead => {
                drip(&mut output, b"HTTP/1.1 200 OK\r\nx-drip: ").await?;
                loop {
                    drip(&mut output, b"drip").await?;
                }
            }
            Manner::DrippingBody => {
                output.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000000\r\n\r\n").await?;
                loop {
                    drip(&mut output, b".").await?;
                }
            }
            Manner::EndlessBody => {
                output.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await?;
                let chunk = [b"4000\r\n".as_slice(), &[b'x'; 0x4000], b"\r\n"].concat();
                loop {
                    output.write_all(&chunk).await?;
                }
            }
        }
    };
    tokio::select! {
        ended = reading => ended,
        ended = writing => ended,
    }
}

async fn drip(output: &mut tokio::net::tcp::OwnedWriteHalf, bytes: &[u8]) -> std::io::Result<()> {
    for byte in bytes {
        output.write_all(std::slice::from_ref(byte)).await?;
        tokio::time::sleep(DRIP_EVERY).await;
    }
    Ok(())
}

/// The URL of a port where nobody listens.
pub fn dead_url(path: &str) -> String {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).expect("a free port");
    let addr = socket.local_addr().expect("a bound socket has an address");
    // Bound as long as the tests run: a port that was let go would be the next receiver's.
    std::mem::forget(socket);
    format!("http://{addr}{path}")
}
