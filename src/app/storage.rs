//! Opens the store that the configuration names: a folder, or Redis with this node's place among the others.

use std::sync::Arc;

use anyhow::Context as _;

use crate::cluster::{Leases, Membership};
use crate::config::{Config, SecretText};
use crate::store::Store;
use crate::store::embedded::{EmbeddedConfig, EmbeddedStore};
use crate::store::moving::UNFINISHED_MOVE_SETTING;
use crate::store::redis::membership::{MembershipConfig, RedisMembership};
use crate::store::redis::{RedisConfig, RedisStore, RedisUrl};

/// A store, and who may deliver from it.
#[derive(Debug)]
pub(super) struct Storage {
    pub(super) store: Arc<dyn Store>,
    pub(super) leases: Arc<Leases>,
    /// This node among others.
    pub(super) cluster: Option<Arc<dyn Membership>>,
}

pub(super) async fn open(config: &Config) -> anyhow::Result<Storage> {
    match &config.redis_url {
        Some(url) => redis(config, url).await,
        None => embedded(config).await,
    }
}

/// A store without its engine: for commands that look at it or move it.
#[derive(Debug)]
pub struct Alone {
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
pub async fn open_alone(config: &Config, place: Place, must_exist: bool) -> anyhow::Result<Alone> {
    if let Some(url) = config.redis_url.as_ref().filter(|_| place == Place::Configured) {
        let (store, place) = open_redis(url).await?;
        let nodes = store.live_nodes().await.context("looking for nodes")?;
        return Ok(Alone { store: Arc::new(store), place, nodes });
    }
    if must_exist && !config.data_dir.join("store").is_dir() {
        anyhow::bail!("there is no store in {}", config.data_dir.display());
    }
    let store: Arc<dyn Store> = Arc::new(open_folder(config).await?);
    Ok(Alone { store, place: config.data_dir.display().to_string(), nodes: Vec::new() })
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
pub async fn look_at_redis(url: &SecretText, max_keys: u64) -> anyhow::Result<RedisFindings> {
    let (store, place) = open_redis(url).await?;
    let orphans = store.orphans(max_keys).await.map_err(anyhow::Error::from).map(|told| {
        let line = |(what, (count, key)): (&&str, &(u64, String))| format!("{count} {what}, e.g. in {key}");
        let part = if told.is_whole { "all" } else { "a part" };
        (told.found.iter().map(line).collect(), format!("{} keys, {part} of them", told.keys))
    });
    let report = store.report();
    let (version, warnings) = (report.version.clone(), report.warnings.clone());
    Ok(RedisFindings { place, version, durability: report.durability.as_str(), warnings, orphans })
}

async fn open_folder(config: &Config) -> anyhow::Result<EmbeddedStore> {
    let embedded = EmbeddedConfig { durability: config.durability, ..EmbeddedConfig::new(&config.data_dir) };
    Ok(tokio::task::spawn_blocking(move || EmbeddedStore::open(embedded)).await.context("opening the store")??)
}

async fn open_redis(url: &SecretText) -> anyhow::Result<(RedisStore, String)> {
    let url = RedisUrl::parse(url.reveal()).map_err(|problem| anyhow::anyhow!("redis_url: {problem}"))?;
    let place = url.to_string();
    let store = RedisStore::open(RedisConfig { many_nodes: true, ..RedisConfig::new(url) }).await;
    Ok((store.context("opening the store on Redis")?, place))
}

/// Half of a store is not served: what is not in it yet would be forgotten by whoever asks.
async fn check_whole(store: &dyn Store) -> anyhow::Result<()> {
    let mark = store.setting(UNFINISHED_MOVE_SETTING).await.context("reading the store's marks")?;
    if mark.is_some_and(|mark| !mark.is_empty()) {
        anyhow::bail!("an import into this store was begun and has not come to its end: run `pombo import --resume`");
    }
    Ok(())
}

async fn embedded(config: &Config) -> anyhow::Result<Storage> {
    let store = open_folder(config).await?;
    check_whole(&store).await?;
    tell(&store, &config.data_dir.display().to_string());
    Ok(Storage { store: Arc::new(store), leases: Arc::new(Leases::all()), cluster: None })
}

async fn redis(config: &Config, url: &SecretText) -> anyhow::Result<Storage> {
    let (store, place) = open_redis(url).await?;
    check_whole(&store).await?;
    for warning in &store.report().warnings {
        tracing::warn!("{warning}");
    }
    tell(&store, &place);
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let config = MembershipConfig { address: Some(config.listen.to_string()), ..MembershipConfig::new(name) };
    let membership = RedisMembership::start(&store, config).await.context("joining the other nodes")?;
    tracing::info!(node = %membership.node(), "joined");
    let leases = membership.leases();
    Ok(Storage { store: Arc::new(store), leases, cluster: Some(Arc::new(membership)) })
}

fn tell(store: &dyn Store, place: &str) {
    let found = store.recovery();
    tracing::info!(
        place,
        unfinished = found.unfinished,
        dead = found.dead,
        lanes = found.lanes,
        unclean = found.unclean,
        took_ms = u64::try_from(found.took.as_millis()).unwrap_or(u64::MAX),
        "the store is open",
    );
}
