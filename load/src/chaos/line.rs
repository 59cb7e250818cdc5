//! One connection to the balancer: a request, its answer, and by whom it was given.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::wire::Answer;

/// A gateway gives a request up after this time and sends it again.
const PATIENCE: Duration = Duration::from_secs(10);

/// An answer, or why there was none.
pub enum Reply {
    Accepted(Vec<u8>),
    Failed(String),
}

pub struct Line {
    to: SocketAddr,
    stream: Option<TcpStream>,
    buffer: Vec<u8>,
}

impl Line {
    pub const fn new(to: SocketAddr) -> Self {
        Self { to, stream: None, buffer: Vec::new() }
    }

    /// Sends head and body in one piece.
    pub async fn ask(&mut self, request: &[u8]) -> Reply {
        let answer = match tokio::time::timeout(PATIENCE, self.exchange(request)).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(kind)) => {
                self.stream = None;
                return Reply::Failed(kind);
            }
            Err(_) => {
                self.stream = None;
                return Reply::Failed(format!("no answer within {} s", PATIENCE.as_secs()));
            }
        };
        let (status, body) = answer;
        let by = if is_the_balancers(&body) { "the balancer" } else { "pombo" };
        if status == 202 { Reply::Accepted(body) } else { Reply::Failed(format!("{status} by {by}")) }
    }

    async fn exchange(&mut self, request: &[u8]) -> Result<(u16, Vec<u8>), String> {
        let told = |what: &str| what.to_owned();
        let stream = match &mut self.stream {
            Some(stream) => stream,
            none => {
                let stream = TcpStream::connect(self.to).await.map_err(|_| told("not connected"))?;
                stream.set_nodelay(true).map_err(|_| told("not connected"))?;
                none.insert(stream)
            }
        };
        stream.write_all(request).await.map_err(|_| told("connection broken"))?;
        self.buffer.clear();
        loop {
            let count = stream.read_buf(&mut self.buffer).await.map_err(|_| told("connection broken"))?;
            if count == 0 {
                return Err(told(if self.buffer.is_empty() { "closed without an answer" } else { "half an answer" }));
            }
            if let Some(answer) = Answer::parse(&self.buffer).map_err(|_| told("an answer that is not HTTP"))?
                && self.buffer.len() >= answer.total_bytes()
            {
                let body = self.buffer[answer.head_bytes..answer.total_bytes()].to_vec();
                if closes(&self.buffer[..answer.head_bytes]) {
                    self.stream = None;
                }
                return Ok((answer.status, body));
            }
        }
    }
}

/// Whether the other side will close after this answer. A page without a length ends with its connection, too.
fn closes(head: &[u8]) -> bool {
    let head = String::from_utf8_lossy(head).to_ascii_lowercase();
    head.contains("connection: close") || !head.contains("content-length:")
}

/// Its own words are of replicas, or a page.
fn is_the_balancers(body: &[u8]) -> bool {
    let text = String::from_utf8_lossy(body);
    !text.starts_with('{') || text.contains("replica")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_that_is_to_be_closed_is_not_used_again() {
        assert!(closes(b"HTTP/1.1 503 x\r\nConnection: close\r\ncontent-length: 3\r\n\r\n"));
        assert!(closes(b"HTTP/1.0 503 x\r\n\r\n"));
        assert!(!closes(b"HTTP/1.1 202 x\r\nContent-Length: 3\r\n\r\n"));
    }
}
