//! What kind of Redis this is: whose data it holds, what accepted events survive there, and what an operator should know.
//! Looked at when the store is opened, and again every [`RedisConfig::look_every`](super::RedisConfig::look_every): it may be set
//! otherwise while it runs.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Weak};
use std::time::Instant;

use redis::{Cmd, Value, cmd};

use super::answer::bytes;
use super::buckets::last_event;
use super::shared::Shared;
use crate::domain::ShardId;
use crate::store::{Durability, Persistence, RecoveryReport, RedisPersistence, StoreError};

/// The layout described in `keys` and `rows`.
const FORMAT: &str = "1";

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

/// Looks again now and then, until the store is closed or gone. A change is told once.
pub async fn watch(shared: Weak<Shared>) {
    loop {
        let Some(every) = shared.upgrade().map(|shared| shared.config.look_every) else { return };
        tokio::time::sleep(every).await;
        let Some(shared) = shared.upgrade().filter(|shared| shared.open().is_ok()) else { return };
        // Who does not answer is told of by those who need an answer.
        let Ok(found) = look(&shared).await else { continue };
        let before = shared.stand_on(found);
        let now = shared.footing();
        let (was, is) = (before.durability.as_str(), now.durability.as_str());
        if was != is {
            tracing::warn!(
                was,
                is,
                least = shared.config.least.as_str(),
                "Redis was set otherwise: what accepted events survive"
            );
        }
        for warning in now.warnings.iter().filter(|warning| !before.warnings.contains(warning)) {
            tracing::warn!("{warning}");
        }
    }
}

/// # Errors
/// When Redis does not answer. One that answers and does not tell is assumed to keep the least, with a warning.
pub async fn look(shared: &Shared) -> Result<Persistence, StoreError> {
    let mut info = cmd("INFO");
    info.arg("server").arg("persistence").arg("memory");
    let info = Told::of(&told(shared, &info).await?);
    let mut settings = cmd("CONFIG");
    settings.arg("GET").arg("appendonly").arg("appendfsync").arg("maxmemory-policy");
    let settings = Told::of(&told(shared, &settings).await?);
    let aof_enabled = match info.get("aof_enabled").as_deref() {
        Some("1") => Some("yes".to_owned()),
        Some("0") => Some("no".to_owned()),
        other => other.map(str::to_owned),
    };
    let redis = RedisPersistence {
        version: info.get("redis_version").unwrap_or_default(),
        appendonly: settings.get("appendonly").or(aof_enabled),
        appendfsync: settings.get("appendfsync"),
        maxmemory_policy: settings.get("maxmemory-policy").or_else(|| info.get("maxmemory_policy")),
    };
    let durability = durability(&redis, shared.config.wait_aof);
    let mut warnings = warnings(&redis, shared.config.wait_aof);
    let least = shared.config.least;
    if !durability.holds(least) {
        let (is, least) = (durability.as_str(), least.as_str());
        warnings.push(format!("events are refused: they would be kept as {is} only, and {least} is required"));
    }
    Ok(Persistence { durability, redis: Some(redis), warnings })
}

fn durability(redis: &RedisPersistence, waits_for_file: bool) -> Durability {
    if redis.appendonly.as_deref() != Some("yes") {
        return Durability::RedisNone;
    }
    match redis.appendfsync.as_deref() {
        _ if waits_for_file => Durability::AofAlways,
        Some("always") => Durability::AofAlways,
        Some("everysec" | "always/everysec") => Durability::AofEverysec,
        _ => Durability::RedisNone,
    }
}

fn warnings(redis: &RedisPersistence, waits_for_file: bool) -> Vec<String> {
    let mut warnings = Vec::new();
    match (redis.appendonly.as_deref(), redis.appendfsync.as_deref()) {
        (None, _) => warnings
            .push("Redis does not tell whether it keeps an append-only file: assumed that it keeps none".to_owned()),
        (Some(appendonly), _) if appendonly != "yes" => warnings.push(
            "Redis keeps no append-only file: a crash of Redis loses accepted events; set `appendonly yes`".to_owned(),
        ),
        _ if waits_for_file => {}
        (_, None) => warnings.push(
            "Redis does not tell its `appendfsync`: assumed that it never syncs; allow `CONFIG GET`".to_owned(),
        ),
        (_, Some("always" | "everysec" | "always/everysec")) => {}
        (_, Some(_)) => warnings.push(
            "Redis leaves syncing to the system: a loss of power loses accepted events; set `appendfsync everysec` or `always`"
                .to_owned(),
        ),
    }
    match redis.maxmemory_policy.as_deref() {
        Some("noeviction") => {}
        Some(policy) => {
            warnings.push(format!("Redis may evict accepted events: set `maxmemory-policy noeviction`, not {policy}"));
        }
        None => warnings.push("Redis does not tell its `maxmemory-policy`: it must be `noeviction`".to_owned()),
    }
    warnings
}

/// What each server says; nothing of one that refuses to say it.
async fn told(shared: &Shared, command: &Cmd) -> Result<Vec<Value>, StoreError> {
    match shared.link.ask_all(command).await? {
        Ok(told) => Ok(told),
        // It answered, e.g. that this user may not ask.
        Err(error) if error.code().is_some() => Ok(Vec::new()),
        Err(error) => Err(StoreError::Unavailable(error.to_string())),
    }
}

/// What servers told, by name. Of several servers that differ all values are kept, with `/` between.
struct Told(BTreeMap<String, BTreeSet<String>>);

impl Told {
    fn of(answers: &[Value]) -> Self {
        let mut told: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        let mut tell = |name: &str, value: &str| {
            told.entry(name.to_owned()).or_default().insert(value.to_owned());
        };
        for answer in answers {
            match answer {
                Value::Array(pairs) => pairs.chunks_exact(2).for_each(|pair| tell(&text(&pair[0]), &text(&pair[1]))),
                Value::Map(pairs) => pairs.iter().for_each(|(name, value)| tell(&text(name), &text(value))),
                lines => {
                    let lines = text(lines);
                    lines.lines().filter_map(|line| line.split_once(':')).for_each(|(name, value)| tell(name, value));
                }
            }
        }
        Self(told)
    }

    fn get(&self, name: &str) -> Option<String> {
        self.0.get(name).map(|values| values.iter().cloned().collect::<Vec<_>>().join("/"))
    }
}

fn text(value: &Value) -> String {
    match value {
        Value::BulkString(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        Value::SimpleString(text) | Value::VerbatimString { text, .. } => text.clone(),
        _ => String::new(),
    }
}

impl Shared {
    /// What accepted events survive, as it was last seen.
    pub fn footing(&self) -> Arc<Persistence> {
        Arc::clone(&self.footing.read())
    }

    /// Answers what was seen before.
    pub fn stand_on(&self, found: Persistence) -> Arc<Persistence> {
        std::mem::replace(&mut *self.footing.write(), Arc::new(found))
    }

    /// # Errors
    /// When less is kept than is required.
    pub fn is_safe_enough(&self) -> Result<(), StoreError> {
        let (is, least) = (self.footing.read().durability, self.config.least);
        if is.holds(least) {
            return Ok(());
        }
        let (is, least) = (is.as_str(), least.as_str());
        Err(StoreError::Unavailable(format!("Redis keeps events as {is} only, and {least} is required")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(appendonly: Option<&str>, appendfsync: Option<&str>, policy: Option<&str>) -> RedisPersistence {
        let text = |text: Option<&str>| text.map(str::to_owned);
        let (appendonly, appendfsync) = (text(appendonly), text(appendfsync));
        RedisPersistence { version: "7.0.15".into(), appendonly, appendfsync, maxmemory_policy: text(policy) }
    }

    #[test]
    fn the_level_is_the_least_that_is_known_for_certain() {
        let yes = Some("yes");
        for (appendonly, appendfsync, waits, level) in [
            (yes, Some("always"), false, Durability::AofAlways),
            (yes, Some("everysec"), false, Durability::AofEverysec),
            (yes, Some("everysec"), true, Durability::AofAlways),
            (yes, Some("no"), false, Durability::RedisNone),
            (yes, None, false, Durability::RedisNone),
            (Some("no"), Some("always"), false, Durability::RedisNone),
            (Some("no"), Some("always"), true, Durability::RedisNone),
            (None, None, false, Durability::RedisNone),
            (Some("no/yes"), Some("always"), false, Durability::RedisNone),
            (yes, Some("always/everysec"), false, Durability::AofEverysec),
            (yes, Some("always/no"), false, Durability::RedisNone),
        ] {
            let found = settings(appendonly, appendfsync, Some("noeviction"));
            assert_eq!(durability(&found, waits), level, "{found:?}");
            let is_fine = level != Durability::RedisNone;
            assert_eq!(warnings(&found, waits).is_empty(), is_fine, "{found:?}");
        }
    }

    #[test]
    fn a_policy_that_evicts_and_one_that_is_not_told_are_warned_of() {
        let warned = |policy| warnings(&settings(Some("yes"), Some("always"), policy), false).join("");
        assert_eq!(warned(Some("noeviction")), "");
        assert!(warned(Some("allkeys-lru")).contains("allkeys-lru") && warned(None).contains("noeviction"));
    }

    #[test]
    fn servers_that_differ_are_told_together() {
        let pair = |fsync: &str| {
            Value::Array(["appendfsync", fsync].map(|text| Value::BulkString(text.as_bytes().to_vec())).to_vec())
        };
        let told = Told::of(&[pair("everysec"), pair("always"), pair("everysec")]);
        assert_eq!(told.get("appendfsync").as_deref(), Some("always/everysec"));
        let info = Told::of(&[Value::BulkString(b"# Server\r\nredis_version:7.0.15\r\n".to_vec())]);
        assert_eq!((info.get("redis_version").as_deref(), info.get("x")), (Some("7.0.15"), None));
    }
}
