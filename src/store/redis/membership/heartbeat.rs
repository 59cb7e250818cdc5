//! One tick: this node tells Redis that it lives and asks for its leases, in one call. On a Redis Cluster each shard is a call of
//! its own, all on their way at once.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use futures_util::future::try_join_all;
use redis::Value;
use serde::{Deserialize, Serialize};

use crate::cluster::NodeId;
use crate::domain::{ShardId, Timestamp};
use crate::store::StoreError;
use crate::store::redis::answer::{bytes, fields, list, number};
use crate::store::redis::rows::corrupt;
use crate::store::redis::script::{Call, Script};
use crate::store::redis::shared::Shared;
use crate::store::redis::url::Place;

/// What a node wants of the lease of a shard. Owners are `<node>:<token>`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Ask {
    Renew(String),
    Take,
    Release(String),
    Look,
}

/// Renewed or let go of: 1, taken: the token, seen: the milliseconds left, and the owner.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Answer {
    pub number: u64,
    pub text: String,
}

/// How a tick speaks of the node itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    Beat,
    Bye,
    Read,
}

impl Mode {
    const fn word(self) -> &'static [u8] {
        match self {
            Self::Beat => b"beat",
            Self::Bye => b"bye",
            Self::Read => b"read",
        }
    }
}

/// What a node tells the others of itself.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct About {
    pub name: String,
    pub address: Option<String>,
    pub version: String,
    pub lease_ms: u64,
    /// Left out the first time: it is by Redis's clock.
    pub started_at: Option<Timestamp>,
}

/// A live node.
#[derive(Clone, Debug)]
pub struct Peer {
    pub id: NodeId,
    pub gone_at: Timestamp,
    pub about: About,
}

#[derive(Clone, Debug)]
pub struct Told {
    pub now: Timestamp,
    /// The node's last beat had not been forgotten.
    pub was_known: bool,
    /// The database has the mark it got when the store was opened.
    pub is_in_use: bool,
    pub directory_version: u64,
    pub peers: Vec<Peer>,
    /// In the order asked.
    pub answers: Vec<Answer>,
}

/// The way to Redis for ticks.
#[derive(Debug)]
pub struct Heartbeat {
    pub shared: Arc<Shared>,
    pub node: NodeId,
    pub about: About,
    pub lease: Duration,
    script: Script,
    started_at: OnceLock<Timestamp>,
}

impl Heartbeat {
    pub fn new(shared: Arc<Shared>, node: NodeId, about: About, lease: Duration) -> Self {
        let script = Script::new(include_str!("lua/tick.lua"));
        Self { shared, node, about, lease, script, started_at: OnceLock::new() }
    }

    pub async fn tick(&self, mode: Mode, asks: &[(ShardId, Ask)]) -> Result<Told, StoreError> {
        let keys = &self.shared.keys;
        if !matches!(self.shared.config.url.place, Place::Cluster(_)) {
            return self.call(keys.directory(), mode.word(), asks).await;
        }
        let mut told = self.call(keys.directory(), mode.word(), &[]).await?;
        let calls = asks.iter().map(|ask| self.call(keys.base(ask.0), b"", std::slice::from_ref(ask)));
        told.answers = try_join_all(calls).await?.into_iter().flat_map(|told| told.answers).collect();
        Ok(told)
    }

    async fn call(&self, base: &str, mode: &[u8], asks: &[(ShardId, Ask)]) -> Result<Told, StoreError> {
        let about = About { started_at: self.started_at.get().copied(), ..self.about.clone() };
        let about = serde_json::to_vec(&about).expect("plain data serialises");
        let mut call = Call::new(base);
        call.arg(mode).arg(self.node.to_string().as_bytes());
        call.number(u64::try_from(self.lease.as_millis()).unwrap_or(u64::MAX)).arg(&about).number(asks.len() as u64);
        for (shard, ask) in asks {
            let (verb, owner): (&[u8], &str) = match ask {
                Ask::Renew(owner) => (b"renew", owner),
                Ask::Take => (b"take", ""),
                Ask::Release(owner) => (b"release", owner),
                Ask::Look => (b"look", ""),
            };
            call.arg(self.shared.keys.base(*shard).as_bytes()).arg(verb).arg(owner.as_bytes());
        }
        let told = parse(self.shared.link.call(&self.script, &call).await?, asks.len())?;
        if mode == Mode::Beat.word() {
            self.started_at.get_or_init(|| told.now);
        }
        Ok(told)
    }

    /// Asks, and tells when it began to ask: leases count from then.
    pub async fn tick_at(self: Arc<Self>, mode: Mode, asks: Vec<(ShardId, Ask)>) -> Tick {
        let asked = Instant::now();
        let told = self.tick(mode, &asks).await;
        Tick { mode, asks, asked, told }
    }
}

/// A tick and what came of it.
#[derive(Debug)]
pub struct Tick {
    pub mode: Mode,
    pub asks: Vec<(ShardId, Ask)>,
    pub asked: Instant,
    pub told: Result<Told, StoreError>,
}

fn parse(told: Value, asked: usize) -> Result<Told, StoreError> {
    let [now, known, in_use, version, nodes, answers] = fields(told)?;
    let text = |value: Value| -> Result<String, StoreError> {
        Ok(String::from_utf8_lossy(&bytes(value)?.unwrap_or_default()).into_owned())
    };
    let mut peers = Vec::new();
    let mut nodes = list(nodes)?.into_iter();
    while let (Some(id), Some(gone_at), Some(about)) = (nodes.next(), nodes.next(), nodes.next()) {
        peers.extend(peer(&text(id)?, number(&gone_at)?, &text(about)?));
    }
    let mut pairs = list(answers)?.into_iter();
    let mut answers = Vec::with_capacity(asked);
    while let (Some(told), Some(owner)) = (pairs.next(), pairs.next()) {
        answers.push(Answer { number: number(&told)?, text: text(owner)? });
    }
    if answers.len() != asked {
        return Err(corrupt("an answer of Redis", &format!("{asked} leases expected, not {}", answers.len())));
    }
    let now = Timestamp::from_millis(number(&now)?);
    let (was_known, is_in_use) = (number(&known)? > 0, number(&in_use)? > 0);
    Ok(Told { now, was_known, is_in_use, directory_version: number(&version)?, peers, answers })
}

/// `None` for what another release may have written: such a node is not counted on.
fn peer(id: &str, gone_at: u64, about: &str) -> Option<Peer> {
    let (since, about) = about.split_once(' ')?;
    let since = Timestamp::from_millis(since.parse().ok()?);
    let about: About = serde_json::from_str(about).ok()?;
    let about = About { started_at: about.started_at.or(Some(since)), ..about };
    Some(Peer { id: id.parse().ok()?, gone_at: Timestamp::from_millis(gone_at), about })
}
