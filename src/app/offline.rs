//! The configured store without its engine: for commands that look at it or move it.

use std::sync::Arc;

use anyhow::Context as _;

use super::storage::{open_folder, open_redis};
use crate::config::{Config, SecretText};
use crate::store::Store;

/// A store without its engine: for commands that look at it or move it.
#[derive(Debug)]
pub struct OfflineStore {
    pub store: Arc<dyn Store>,
    /// For people; without secrets.
    pub place: String,
    /// Names of the nodes that work on it now: on Redis they may, a folder is locked.
    pub nodes: Vec<String>,
}

/// Which of the configured stores.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Place {
    /// `redis_url` where it is set, as a start would take it.
    Configured,
    Folder,
}

/// Opens a store without joining the nodes that work on it. `must_exist`: a folder is not made.
///
/// # Errors
/// As a start would, or because there is no store in the folder.
pub async fn open_alone(config: &Config, place: Place, must_exist: bool) -> anyhow::Result<OfflineStore> {
    if let Some(url) = config.redis_url.as_ref().filter(|_| place == Place::Configured) {
        let (store, place) = open_redis(config, url).await?;
        let nodes = store.live_nodes().await.context("looking for nodes")?;
        return Ok(OfflineStore { store: Arc::new(store), place, nodes });
    }
    if must_exist && !config.data_dir.join("store").is_dir() {
        anyhow::bail!("there is no store in {}", config.data_dir.display());
    }
    let store: Arc<dyn Store> = Arc::new(open_folder(config).await?);
    Ok(OfflineStore { store, place: config.data_dir.display().to_string(), nodes: Vec::new() })
}

/// What is told of a Redis without joining it.
#[derive(Debug)]
pub struct RedisFindings {
    /// Without secrets.
    pub place: String,
    /// Empty when Redis does not tell.
    pub version: String,
    pub durability: &'static str,
    pub warnings: Vec<String>,
    /// What nobody will ever remove, and how many keys were looked at; an error where that cannot be told.
    pub orphans: anyhow::Result<(Vec<String>, String)>,
}

/// Looks at the Redis of this configuration and at up to `max_keys` of its keys.
///
/// # Errors
/// When it cannot be opened as a start would.
pub async fn look_at_redis(config: &Config, url: &SecretText, max_keys: u64) -> anyhow::Result<RedisFindings> {
    let (store, place) = open_redis(config, url).await?;
    let orphans = store.orphans(max_keys).await.map_err(anyhow::Error::from).map(|told| {
        let line = |(what, (count, key)): (&&str, &(u64, String))| format!("{count} {what}, e.g. in {key}");
        let part = if told.is_whole { "all" } else { "a part" };
        (told.found.iter().map(line).collect(), format!("{} keys, {part} of them", told.keys))
    });
    let found = store.persistence();
    let version = found.redis.as_ref().map_or_else(String::new, |redis| redis.version.clone());
    Ok(RedisFindings {
        place,
        version,
        durability: found.durability.as_str(),
        warnings: found.warnings.clone(),
        orphans,
    })
}
