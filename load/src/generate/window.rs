//! The bound of a closed loop: so many deliveries under way, from being sent to having arrived.

use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::Notify;

use crate::clock;
use crate::receive::Progress;
use crate::wire::Answer;

const ASK_EVERY: Duration = Duration::from_millis(1);

pub struct Window {
    in_flight: u64,
    /// Webhooks that each event must reach.
    fan_out: u64,
    entered: Cell<u64>,
    delivered: Cell<u64>,
    news: Notify,
}

impl Window {
    pub fn start(in_flight: u64, fan_out: u64, receiver: SocketAddr) -> Rc<Self> {
        let (entered, delivered) = (Cell::new(0), Cell::new(0));
        let window = Rc::new(Self { in_flight, fan_out, entered, delivered, news: Notify::new() });
        tokio::task::spawn_local({
            let window = Rc::clone(&window);
            async move {
                // Without news nobody enters any more and the run ends at its time.
                let _ended = window.ask(receiver).await;
            }
        });
        window
    }

    fn under_way(&self) -> u64 {
        self.entered.get().saturating_sub(self.delivered.get())
    }

    /// Waits for room; `false` when the time is up before there is any. One request may pass the bound by its own size.
    pub async fn enter(&self, events: u64, until: u64) -> bool {
        while self.under_way() >= self.in_flight {
            let left = Duration::from_nanos(until.saturating_sub(clock::now()));
            if tokio::time::timeout(left, self.news.notified()).await.is_err() {
                return false;
            }
        }
        self.entered.set(self.entered.get() + events * self.fan_out);
        true
    }

    pub fn leave(&self, events: u64) {
        self.entered.set(self.entered.get().saturating_sub(events * self.fan_out));
        self.news.notify_waiters();
    }

    async fn ask(&self, receiver: SocketAddr) -> anyhow::Result<()> {
        let mut stream = TcpStream::connect(receiver).await?;
        stream.set_nodelay(true)?;
        let mut buffer = vec![0; 1_024];
        loop {
            tokio::time::sleep(ASK_EVERY).await;
            stream.write_all(b"GET /progress HTTP/1.1\r\n\r\n").await?;
            let mut end = 0;
            let progress: Progress = loop {
                let count = stream.read(&mut buffer[end..]).await?;
                anyhow::ensure!(count > 0, "the receiver is gone");
                end += count;
                if let Some(answer) = Answer::parse(&buffer[..end])?
                    && end >= answer.total_bytes()
                {
                    break serde_json::from_slice(&buffer[answer.head_bytes..end])?;
                }
            };
            if progress.delivered > self.delivered.get() {
                self.delivered.set(progress.delivered);
                self.news.notify_waiters();
            }
        }
    }
}
