//! Appends that were given up and may still be on their way: a command can wait in a stalled network, or behind a pause of Redis, and be
//! carried out long after its caller was told that it failed. By then newer events may stand in its lane, and the owner has read past
//! the place it takes.
//!
//! So appends carry a generation. After a failure the next one is announced to the shards it touched ([`settle`]) before anything newer
//! is appended: from then on an append of an earlier one changes nothing. What was carried out before, a look at the lane finds.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use futures_util::future::try_join_all;

use super::keys;
use super::shared::Shared;
use crate::domain::ShardId;
use crate::store::StoreError;

/// Commands do not wait longer anywhere.
const KEPT_SECONDS: u64 = 3_600;

/// See the module.
#[derive(Debug, Default)]
pub struct Doubts {
    generation: AtomicU64,
    /// Bits of [`ShardId::bit`].
    shards: AtomicU64,
}

impl Doubts {
    /// Of an append that is made now.
    pub fn generation(&self) -> u64 {
        self.generation.load(Relaxed)
    }

    /// It is not known whether something was appended to these shards, or will be.
    pub fn doubt(&self, shards: impl Iterator<Item = ShardId>) {
        self.shards.fetch_or(shards.fold(0, |bits, shard| bits | shard.bit()), Relaxed);
    }
}

/// Whatever was appended in doubt is there by now, or never will be.
pub async fn settle(shared: &Shared) -> Result<(), StoreError> {
    let doubts = &shared.doubts;
    let bits = doubts.shards.load(Relaxed);
    if bits == 0 {
        return Ok(());
    }
    let generation = doubts.generation.fetch_add(1, Relaxed) + 1;
    let announce = async |shard: ShardId| {
        let mut set = redis::cmd("SET");
        set.arg(shared.keys.of(shard, &keys::named("g:", &shared.nonce))).arg(generation).arg("EX").arg(KEPT_SECONDS);
        shared.link.run(&set).await.map(drop)
    };
    try_join_all(ShardId::all().filter(|shard| bits & shard.bit() != 0).map(announce)).await?;
    doubts.shards.fetch_and(!bits, Relaxed);
    Ok(())
}
