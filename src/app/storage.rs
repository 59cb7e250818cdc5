//! Opens the store that the configuration names: a folder, or Redis with this node's place among the others.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;

use super::{requirements, store_meters};
use crate::cluster::{Alone, Leases, Membership};
use crate::config::{Config, RedisOptions, SecretText};
use crate::domain::Timestamp;
use crate::store::embedded::{EmbeddedConfig, EmbeddedStore};
use crate::store::redis::membership::{MembershipConfig, RedisMembership};
use crate::store::redis::{RedisConfig, RedisStore, RedisUrl, TlsFiles};
use crate::store::{Durability, Store};

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

async fn embedded(config: &Config) -> anyhow::Result<Storage> {
    let (durability, meters) = (config.durability, store_meters::writer());
    let embedded = EmbeddedConfig { durability, meters, ..EmbeddedConfig::new(&config.data_dir) };
    let store =
        tokio::task::spawn_blocking(move || EmbeddedStore::open(embedded)).await.context("opening the store")??;
    tell(&store, &config.data_dir.display().to_string());
    Ok(Storage { store: Arc::new(store), leases: Arc::new(Leases::all()), cluster: None })
}

async fn redis(config: &Config, url: &SecretText) -> anyhow::Result<Storage> {
    let mut url = RedisUrl::parse(url.reveal()).map_err(|problem| anyhow::anyhow!("redis_url: {problem}"))?;
    if let Some(files) = tls(&config.redis)? {
        let secured = url.with_tls(files);
        url =
            secured.map_err(|problem| anyhow::anyhow!("store.ca_file, store.cert_file, store.key_file: {problem}"))?;
    }
    let place = url.to_string();
    let store = RedisStore::open(RedisConfig {
        many_nodes: true,
        wait_replicas: config.redis.wait_replicas,
        wait_aof: config.redis.wait_aof,
        least: config.require_durability.unwrap_or(Durability::RedisNone),
        meters: store_meters::redis(),
        ..RedisConfig::new(url)
    });
    let store = store.await.context("opening the store on Redis")?;
    requirements::check(config, &store).await?;
    for warning in &store.persistence().warnings {
        tracing::warn!("{warning}");
    }
    tell(&store, &place);
    let config = MembershipConfig { address: Some(config.listen.to_string()), ..MembershipConfig::new(host()) };
    let membership = RedisMembership::start(&store, config).await.context("joining the other nodes")?;
    tracing::info!(node = %membership.node(), "joined");
    let leases = membership.leases();
    Ok(Storage { store: Arc::new(store), leases, cluster: Some(Arc::new(membership)) })
}

/// The files of TLS, when there are any.
fn tls(options: &RedisOptions) -> anyhow::Result<Option<TlsFiles>> {
    let RedisOptions { ca_file, cert_file, key_file, .. } = options;
    if [ca_file, cert_file, key_file].into_iter().all(Option::is_none) {
        return Ok(None);
    }
    let read = |file: &Option<PathBuf>| {
        let bytes = |path: &PathBuf| std::fs::read(path).with_context(|| format!("reading {}", path.display()));
        file.as_ref().map(bytes).transpose()
    };
    Ok(Some(TlsFiles { authorities: read(ca_file)?, identity: read(cert_file)?.zip(read(key_file)?) }))
}

/// What is shown as the nodes of a process without others.
pub(super) fn alone(config: &Config) -> Arc<dyn Membership> {
    Arc::new(Alone::new(host(), Some(config.listen.to_string()), Timestamp::now()))
}

/// The machine's name.
fn host() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
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
