//! A network between a process and its Redis that can fail: connections stay open, and nothing gets through.

use std::path::PathBuf;
use std::sync::Arc;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

/// What becomes of bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Weather {
    Fair,
    /// Bytes are taken and thrown away. A connection that lost any stays silent for ever, as behind a gateway that forgot it.
    BlackHole,
    /// Bytes wait, and come when it is fair again, however late.
    Stalled,
}

/// A proxy on a free port; dropping it closes its connections.
#[derive(Debug)]
pub struct Proxy {
    port: u16,
    weather: Arc<watch::Sender<Weather>>,
    accepting: JoinHandle<()>,
}

impl Proxy {
    /// In front of a Unix socket.
    pub async fn to(socket: PathBuf) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("a bound socket has an address").port();
        let weather = Arc::new(watch::Sender::new(Weather::Fair));
        let accepting = tokio::spawn(accept(listener, socket, Arc::clone(&weather)));
        Self { port, weather, accepting }
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    pub fn set(&self, weather: Weather) {
        self.weather.send_replace(weather);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, socket: PathBuf, weather: Arc<watch::Sender<Weather>>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            Ok((near, _)) = listener.accept() => {
                let (socket, weather) = (socket.clone(), weather.subscribe());
                connections.spawn(join(near, socket, weather));
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn join(near: TcpStream, socket: PathBuf, weather: watch::Receiver<Weather>) {
    let _may_be_slower = near.set_nodelay(true);
    // Dropping `near` tells the client that nobody is there.
    let Ok(far) = UnixStream::connect(socket).await else { return };
    let ((near_in, near_out), (far_in, far_out)) = (near.into_split(), far.into_split());
    tokio::select! {
        () = carry(near_in, far_out, weather.clone()) => {}
        () = carry(far_in, near_out, weather) => {}
    }
}

async fn carry(
    mut from: impl tokio::io::AsyncRead + Unpin,
    mut to: impl tokio::io::AsyncWrite + Unpin,
    mut weather: watch::Receiver<Weather>,
) {
    let mut buffer = vec![0; 64 << 10];
    let mut is_cut = false;
    loop {
        // An end, and an end by failure, are the same to the other side.
        let Ok(count @ 1..) = from.read(&mut buffer).await else { return };
        is_cut |= *weather.borrow() == Weather::BlackHole;
        if weather.wait_for(|now| *now != Weather::Stalled).await.is_err() {
            return;
        }
        if !is_cut && to.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
}
