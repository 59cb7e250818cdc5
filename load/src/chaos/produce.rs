//! The gateway's side: an open loop of events through the balancer, each sent again with the same id until it is accepted.
//!
//! Of one chat an event is sent after the one before it was accepted, so the order in which a chat's events were handed in is
//! known whatever fails: the order of their numbers.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use serde::{Deserialize, Serialize};

use super::line::{Line, Reply};
use crate::clock;
use crate::engine::TOKEN;
use crate::generate::payload::Payload;

const BACK_OFF: Duration = Duration::from_millis(200);
const EVENT_BYTES: usize = 500;

#[derive(Clone, Debug)]
pub struct Order {
    pub balancer: SocketAddr,
    /// Ids of the instances, addressed in turn.
    pub instances: Vec<String>,
    pub chats: u64,
    /// Events a second.
    pub rate: f64,
    pub connections: usize,
}

/// An event on the gateway's side of the ledger.
#[derive(Clone, Debug, Serialize)]
pub struct Sent {
    pub instance: usize,
    /// Counts up within its chat in steps of the number of chats.
    pub number: u64,
    /// When it should have been sent; of the monotonic clock, as all times.
    pub intended: u64,
    /// When a 202 came; `None`: the producer was told to end before.
    pub accepted: Option<u64>,
    /// Whether that 202 said that it was there already: an earlier try was kept without telling us.
    pub duplicate: bool,
    pub id: String,
    /// Tries that failed: when and how.
    pub failures: Vec<(u64, String)>,
}

#[derive(Deserialize)]
struct Taken {
    duplicates: u64,
    ids: Vec<String>,
}

pub struct Producer {
    thread: JoinHandle<anyhow::Result<Vec<Sent>>>,
    until: Arc<AtomicU64>,
    give_up: Arc<AtomicU64>,
    pub begun: u64,
}

impl Producer {
    pub fn start(order: Order) -> anyhow::Result<Self> {
        let (until, give_up) = (Arc::new(AtomicU64::new(u64::MAX)), Arc::new(AtomicU64::new(u64::MAX)));
        let begun = clock::now();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (end, last) = (Arc::clone(&until), Arc::clone(&give_up));
        let produce = move || {
            runtime.block_on(async {
                let order = Arc::new(order);
                let connection = |number| work(Arc::clone(&order), number, begun, Arc::clone(&end), Arc::clone(&last));
                let workers: Vec<_> = (0..order.connections).map(|number| tokio::spawn(connection(number))).collect();
                let mut sent = Vec::new();
                for worker in workers {
                    sent.extend(worker.await.context("a connection's task died")??);
                }
                sent.sort_unstable_by_key(|event| event.intended);
                Ok(sent)
            })
        };
        let thread = std::thread::Builder::new().name("producer".into()).spawn(produce)?;
        Ok(Self { thread, until, give_up, begun })
    }

    /// Nothing new is sent from now on; what was not accepted yet is tried for `patience` more. All that was sent.
    pub fn end(self, patience: Duration) -> anyhow::Result<Vec<Sent>> {
        let now = clock::now();
        self.give_up.store(now + patience.as_nanos() as u64, Ordering::Release);
        self.until.store(now, Ordering::Release);
        self.thread.join().map_err(|_| anyhow!("the producer panicked"))?
    }
}

/// The turns whose chat belongs to this connection, one after the other.
async fn work(
    order: Arc<Order>,
    line: usize,
    begun: u64,
    until: Arc<AtomicU64>,
    give_up: Arc<AtomicU64>,
) -> anyhow::Result<Vec<Sent>> {
    let instances = order.instances.len() as u64;
    let keys = instances * order.chats;
    let chats = u32::try_from(order.chats)?;
    let mut way = Line::new(order.balancer);
    let mut payload = Payload::new(1, EVENT_BYTES, chats, true);
    let mut all = Vec::new();
    for turn in (0..).filter(|turn: &u64| (turn % keys) as usize % order.connections == line) {
        let intended = begun + (turn as f64 / order.rate * 1e9) as u64;
        let wait = Duration::from_nanos(intended.saturating_sub(clock::now()));
        tokio::time::sleep(wait).await;
        // Also what was due but late because its connection was busy is not begun any more.
        if intended >= until.load(Ordering::Acquire) {
            break;
        }
        let (key, round) = (turn % keys, turn / keys);
        let (instance, chat) = ((key % instances) as usize, key / instances);
        let number = round * order.chats + chat;
        payload.fill(instance, number, intended, true);
        let whole = request(&order.instances[instance], instance, number, &payload.bytes);
        let mut event = Sent {
            instance,
            number,
            intended,
            accepted: None,
            duplicate: false,
            id: String::new(),
            failures: Vec::new(),
        };
        while clock::now() < give_up.load(Ordering::Acquire) {
            match way.ask(&whole).await {
                Reply::Accepted(body) => {
                    let told: Taken = serde_json::from_slice(&body).context("a 202")?;
                    event.accepted = Some(clock::now());
                    event.duplicate = told.duplicates > 0;
                    event.id = told.ids.into_iter().next().context("a 202 without an id")?;
                    break;
                }
                Reply::Failed(kind) => event.failures.push((clock::now(), kind)),
            }
            tokio::time::sleep(BACK_OFF).await;
        }
        let is_over = event.accepted.is_none();
        all.push(event);
        if is_over {
            break;
        }
    }
    Ok(all)
}

/// Every second event names itself in its head, too: only then may a balancer send it again by itself.
fn request(id: &str, instance: usize, number: u64, body: &[u8]) -> Vec<u8> {
    let key =
        if number % 2 == 1 { format!("idempotency-key: load-{instance:06}-{number:010}\r\n") } else { String::new() };
    let head = format!(
        "POST /api/v2/instance/{id}/events HTTP/1.1\r\nhost: pombo\r\nauthorization: Bearer {TOKEN}\r\n{key}\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}
