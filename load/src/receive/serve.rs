//! One connection of a sender.

use std::cell::RefCell;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use super::behaviour::Behaviour;
use super::ledger::Ledger;
use crate::clock;
use crate::marker::Marker;
use crate::wire::Request;

const TAKEN: &[u8] = b"HTTP/1.1 204 No Content\r\n\r\n";
const DRIP: &[u8] = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
const DROP_OF_BODY: &[u8] = b"1\r\n.\r\n";
const BUFFER_BYTES: usize = 16 << 10;

/// Bytes that came in and were not taken yet.
pub struct Inbox {
    bytes: Vec<u8>,
    begin: usize,
    end: usize,
}

impl Inbox {
    pub fn new() -> Self {
        Self { bytes: vec![0; BUFFER_BYTES], begin: 0, end: 0 }
    }

    pub fn pending(&self) -> &[u8] {
        &self.bytes[self.begin..self.end]
    }

    pub fn take(&mut self, count: usize) {
        self.begin += count;
        if self.begin == self.end {
            (self.begin, self.end) = (0, 0);
        }
    }

    /// `false` at the end of the stream.
    pub async fn fill(&mut self, io: &mut (impl AsyncRead + Unpin)) -> std::io::Result<bool> {
        if self.end == self.bytes.len() {
            if self.begin > 0 {
                self.bytes.copy_within(self.begin..self.end, 0);
                (self.begin, self.end) = (0, self.end - self.begin);
            } else {
                self.bytes.resize(2 * self.bytes.len(), 0);
            }
        }
        let count = io.read(&mut self.bytes[self.end..]).await?;
        self.end += count;
        Ok(count > 0)
    }
}

/// What became of a request, to be told to its sender.
enum Reply {
    At(Duration),
    Now,
    Status(u16),
    Never,
    Drip(Duration),
}

/// Serves until the sender goes.
pub async fn serve(
    mut io: impl AsyncRead + AsyncWrite + Unpin,
    classes: &[Behaviour],
    ledger: &RefCell<Ledger>,
) -> anyhow::Result<()> {
    let mut inbox = Inbox::new();
    loop {
        let (reply, taken) = loop {
            let pending = inbox.pending();
            if !pending.is_empty()
                && let Some(request) = Request::parse(pending)?
                && pending.len() >= request.head_bytes + request.body_bytes
            {
                let total = request.head_bytes + request.body_bytes;
                let body = &pending[request.head_bytes..total];
                break (note(&request, body, classes, &mut ledger.borrow_mut()), total);
            }
            if !inbox.fill(&mut io).await? {
                return Ok(());
            }
        };
        inbox.take(taken);
        match reply {
            Reply::Now => io.write_all(TAKEN).await?,
            Reply::At(delay) => {
                tokio::time::sleep(delay).await;
                io.write_all(TAKEN).await?;
            }
            Reply::Status(status) => {
                io.write_all(format!("HTTP/1.1 {status} No\r\ncontent-length: 0\r\n\r\n").as_bytes()).await?;
            }
            Reply::Never => {
                // Until the sender gives up and closes.
                while inbox.fill(&mut io).await? {
                    inbox.take(inbox.pending().len());
                }
                return Ok(());
            }
            Reply::Drip(every) => {
                io.write_all(DRIP).await?;
                loop {
                    tokio::time::sleep(every).await;
                    io.write_all(DROP_OF_BODY).await?;
                }
            }
        }
        io.flush().await?;
    }
}

fn note(request: &Request<'_>, body: &[u8], classes: &[Behaviour], ledger: &mut Ledger) -> Reply {
    let arrived = clock::now();
    ledger.requests += 1;
    ledger.body_bytes += body.len() as u64;
    ledger.unsigned += u64::from(!request.signed);
    let known = webhook(request.path).filter(|(class, _)| *class < classes.len());
    let (Some((class, webhook)), Some(marker)) = (known, Marker::find(body)) else {
        ledger.strange += 1;
        return Reply::Now;
    };
    let reply = match classes[class] {
        Behaviour::Slow { delay_ms } => Reply::At(Duration::from_millis(delay_ms)),
        Behaviour::Failing { share, status } if fastrand::f64() < share => Reply::Status(status),
        Behaviour::Receive | Behaviour::Dead | Behaviour::Failing { .. } => Reply::Now,
        Behaviour::Hanging => Reply::Never,
        Behaviour::Dripping { every_ms } => Reply::Drip(Duration::from_millis(every_ms)),
    };
    match reply {
        Reply::Status(_) | Reply::Never => ledger.classes[class].refused += 1,
        _ => ledger.acknowledge(class, webhook, &marker, arrived),
    }
    reply
}

/// Class and index out of `/c<class>/w<index>`.
fn webhook(path: &str) -> Option<(usize, usize)> {
    let (class, webhook) = path.strip_prefix("/c")?.split_once("/w")?;
    Some((class.parse().ok()?, webhook.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_names_class_and_webhook() {
        assert_eq!(webhook("/c1/w29999"), Some((1, 29_999)));
        assert_eq!(webhook("/progress"), None);
    }

    #[tokio::test(flavor = "current_thread")]
    async fn two_requests_in_one_piece_get_two_answers_and_a_strange_one_is_counted() {
        let ledger = RefCell::new(Ledger::new(1, false));
        let (mut sender, receiver) = tokio::io::duplex(4_096);
        sender
            .write_all(b"POST /c0/w0 HTTP/1.1\r\n\r\nPOST /c0/w0 HTTP/1.1\r\ncontent-length: 3\r\n\r\nabc")
            .await
            .expect("room");
        sender.shutdown().await.expect("open");
        serve(receiver, &[Behaviour::Receive], &ledger).await.expect("served");
        let mut answers = Vec::new();
        sender.read_to_end(&mut answers).await.expect("answers");
        assert_eq!(answers, [TAKEN, TAKEN].concat());
        let ledger = ledger.borrow();
        assert_eq!((ledger.requests, ledger.strange, ledger.unsigned), (2, 2, 2));
    }
}
