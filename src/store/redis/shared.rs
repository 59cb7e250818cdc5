//! What all operations share: the link, names, scripts, counts, fences.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use parking_lot::{Mutex, RwLock};

use super::RedisConfig;
use super::counts::Counts;
use super::doubts::Doubts;
use super::keys::Keys;
use super::link::Link;
use super::memory::Memory;
use super::retention::Walk;
use super::script::Scripts;
use crate::domain::{ShardId, Timestamp};
use crate::store::{Durability, Persistence, StoreError};

#[derive(Debug)]
pub struct Shared {
    pub config: RedisConfig,
    pub link: Link,
    /// For writes that are confirmed; see `confirm`.
    pub(super) confirmed: Option<Link>,
    pub(super) footing: RwLock<Arc<Persistence>>,
    pub keys: Keys,
    pub scripts: Scripts,
    pub counts: Counts,
    pub doubts: Doubts,
    /// Tells this process's appends from those of others.
    pub nonce: [u8; 8],
    fences: RwLock<Vec<Vec<u8>>>,
    /// Bits of the shards that this process keeps tidy.
    looked_after: AtomicU64,
    messages_before: AtomicU64,
    pub walk: Mutex<Option<Walk>>,
    /// Each shard's sequence when all its lanes were counted last.
    pub counted_at: Mutex<[Option<u64>; ShardId::COUNT]>,
    pub commits: AtomicU64,
    pub memory: Memory,
    is_closed: AtomicBool,
}

impl Shared {
    pub fn new(config: RedisConfig) -> Result<Self, StoreError> {
        let link = || Link::new(&config.url, config.timeout, config.meters.clone());
        let is_confirmed = config.wait_aof || config.wait_replicas > 0;
        let (link, confirmed) = (link()?, if is_confirmed { Some(link()?) } else { None });
        let keys = Keys::new(&config.prefix);
        Ok(Self {
            link,
            confirmed,
            footing: RwLock::new(Arc::new(Persistence::of(Durability::RedisNone))),
            keys,
            config,
            scripts: Scripts::new(),
            counts: Counts::default(),
            doubts: Doubts::default(),
            nonce: fastrand::u64(..).to_be_bytes(),
            fences: RwLock::new(vec![Vec::new(); ShardId::COUNT]),
            looked_after: AtomicU64::new(0),
            messages_before: AtomicU64::new(0),
            walk: Mutex::default(),
            counted_at: Mutex::new([None; ShardId::COUNT]),
            commits: AtomicU64::new(0),
            memory: Memory::default(),
            is_closed: AtomicBool::new(false),
        })
    }

    pub fn open(&self) -> Result<&Self, StoreError> {
        if self.is_closed.load(Relaxed) { Err(StoreError::Closed) } else { Ok(self) }
    }

    pub fn close(&self) {
        self.is_closed.store(true, Relaxed);
    }

    /// What a settlement must find as the shard's owner; empty: it is not checked.
    pub fn fence(&self, shard: ShardId) -> Vec<u8> {
        self.fences.read()[shard.index()].clone()
    }

    pub fn set_fence(&self, shard: ShardId, owner: Option<&str>) {
        self.fences.write()[shard.index()] = owner.unwrap_or_default().as_bytes().to_vec();
        match owner {
            Some(_) => self.looked_after.fetch_or(shard.bit(), Relaxed),
            None => self.looked_after.fetch_and(!shard.bit(), Relaxed),
        };
    }

    /// The shard is another's from now on. The fence stays: settlements of before are refused as soon as there is a new owner.
    pub fn let_go(&self, shard: ShardId) {
        self.looked_after.fetch_and(!shard.bit(), Relaxed);
    }

    /// Whether this process is the shard's owner as far as it knows.
    pub fn looks_after(&self, shard: ShardId) -> bool {
        self.looked_after.load(Relaxed) & shard.bit() != 0 || !self.config.many_nodes
    }

    /// The shards this process looks after: those it has a fence for, or all when it has none and there are no others.
    pub fn looked_after(&self) -> Vec<ShardId> {
        let bits = self.looked_after.load(Relaxed);
        let all = bits == 0 && !self.config.many_nodes;
        ShardId::all().filter(|shard| all || bits & shard.bit() != 0).collect()
    }

    /// States of messages before this have expired.
    pub fn messages_before(&self) -> Timestamp {
        Timestamp::from_millis(self.messages_before.load(Relaxed))
    }

    pub fn expire_messages(&self, before: Timestamp) {
        self.messages_before.store(before.millis(), Relaxed);
    }
}
