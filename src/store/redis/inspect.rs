//! What kind of Redis this is, read once at the start: what accepted events survive, and what an operator should know.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use redis::cmd;

use super::answer::{all_bytes, bytes};
use super::read::last_event;
use super::shared::Shared;
use crate::domain::ShardId;
use crate::store::{Durability, RecoveryReport, StoreError};

/// The layout described in `keys` and `rows`.
const FORMAT: &str = "1";
const LOOK_AT_MEMORY_EVERY: Duration = Duration::from_secs(10);

/// Found when the store was opened.
#[derive(Clone, Debug)]
pub struct RedisReport {
    /// Empty when Redis does not tell.
    pub version: String,
    pub durability: Durability,
    /// What an operator should change, or know.
    pub warnings: Vec<String>,
}

/// Checks that the data is ours and of this format, or marks an empty database as such.
pub async fn claim(shared: &Shared) -> Result<(), StoreError> {
    let meta = format!("{}meta", shared.keys.directory());
    for (field, ours) in [("format", FORMAT.to_owned()), ("shards", ShardId::COUNT.to_string())] {
        let mut mark = cmd("HSETNX");
        mark.arg(&meta).arg(field).arg(&ours);
        shared.link.run(&mark).await?;
        let mut read = cmd("HGET");
        read.arg(&meta).arg(field);
        let found = bytes(shared.link.run(&read).await?)?.unwrap_or_default();
        if found != ours.as_bytes() {
            let found = String::from_utf8_lossy(&found).into_owned();
            return Err(StoreError::NewerFormat(format!("{}: {field} {found}, not {ours}", shared.link.url())));
        }
    }
    Ok(())
}

/// Counts what is there.
pub async fn recover(shared: &Shared) -> Result<RecoveryReport, StoreError> {
    let began = Instant::now();
    shared.count_all().await?;
    let (unfinished, dead) = shared.counts.totals();
    let records = super::read::directory(shared).await?;
    Ok(RecoveryReport {
        unfinished,
        dead,
        lanes: shared.counts.active().len() as u64,
        directory: (records.businesses.len() + records.instances.len() + records.webhooks.len()) as u64,
        unclean: false,
        last_event: last_event(shared).await?,
        took: began.elapsed(),
    })
}

/// A hosted Redis may refuse to tell: then the least is assumed, with a warning.
pub async fn report(shared: &Shared) -> RedisReport {
    let mut warnings = Vec::new();
    let info = told(shared, &["INFO", "server"]).await;
    let version = info
        .iter()
        .flat_map(|text| text.lines())
        .find_map(|line| line.strip_prefix("redis_version:"))
        .unwrap_or_default()
        .to_owned();
    let appendonly = setting(shared, "appendonly").await;
    let appendfsync = setting(shared, "appendfsync").await;
    let durability = match (appendonly.as_deref(), appendfsync.as_deref()) {
        (Some("yes"), Some("always")) => Durability::AofAlways,
        (Some("yes"), _) => Durability::AofEverysec,
        _ => Durability::RedisNone,
    };
    match appendonly.as_deref() {
        Some("yes") => {}
        Some(_) => warnings.push(
            "Redis keeps no append-only file: a crash of Redis loses accepted events; set `appendonly yes`".into(),
        ),
        None => {
            warnings
                .push("Redis does not tell whether it keeps an append-only file: assumed that it keeps none".into());
        }
    }
    match setting(shared, "maxmemory-policy").await.as_deref() {
        Some("noeviction") => {}
        Some(policy) => {
            warnings.push(format!("Redis may evict accepted events: set `maxmemory-policy noeviction`, not {policy}"));
        }
        None => warnings.push("Redis does not tell its `maxmemory-policy`: it must be `noeviction`".into()),
    }
    RedisReport { version, durability, warnings }
}

/// What Redis said of its memory, looked at now and then.
#[derive(Debug, Default)]
pub struct Memory {
    used: AtomicU64,
    limit: AtomicU64,
    looked_at: Mutex<Option<Instant>>,
}

impl Memory {
    /// Bytes used, and the most there may be; 0: no bound.
    pub fn told(&self) -> (u64, u64) {
        (self.used.load(Relaxed), self.limit.load(Relaxed))
    }

    fn is_due(&self) -> bool {
        let mut looked_at = self.looked_at.lock();
        let is_due = looked_at.is_none_or(|at| at.elapsed() >= LOOK_AT_MEMORY_EVERY);
        if is_due {
            *looked_at = Some(Instant::now());
        }
        is_due
    }
}

/// Takes note of Redis's memory when the last look is old; one that does not tell is left alone.
pub async fn look_at_memory(shared: &Shared) {
    if !shared.memory.is_due() {
        return;
    }
    let Some(info) = told(shared, &["INFO", "memory"]).await else { return };
    let field =
        |name: &str| info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')?.trim().parse().ok());
    shared.memory.used.store(field("used_memory").unwrap_or(0), Relaxed);
    shared.memory.limit.store(field("maxmemory").unwrap_or(0), Relaxed);
}

async fn told(shared: &Shared, words: &[&str]) -> Option<String> {
    let mut command = cmd(words[0]);
    for word in &words[1..] {
        command.arg(word);
    }
    let answer = bytes(shared.link.run(&command).await.ok()?).ok()??;
    String::from_utf8(answer).ok()
}

async fn setting(shared: &Shared, name: &str) -> Option<String> {
    let mut read = cmd("CONFIG");
    read.arg("GET").arg(name);
    let pair = all_bytes(shared.link.run(&read).await.ok()?).ok()?;
    String::from_utf8(pair.into_iter().nth(1)?).ok()
}
