//! Opens the store that the configuration names: a folder, or Redis with this node's place among the others.

use std::sync::Arc;

use anyhow::Context as _;

use crate::cluster::{Leases, Membership};
use crate::config::{Config, SecretText};
use crate::store::Store;
use crate::store::embedded::{EmbeddedConfig, EmbeddedStore};
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

async fn embedded(config: &Config) -> anyhow::Result<Storage> {
    let embedded = EmbeddedConfig { durability: config.durability, ..EmbeddedConfig::new(&config.data_dir) };
    let store =
        tokio::task::spawn_blocking(move || EmbeddedStore::open(embedded)).await.context("opening the store")??;
    tell(&store, &config.data_dir.display().to_string());
    Ok(Storage { store: Arc::new(store), leases: Arc::new(Leases::all()), cluster: None })
}

async fn redis(config: &Config, url: &SecretText) -> anyhow::Result<Storage> {
    let url = RedisUrl::parse(url.reveal()).map_err(|problem| anyhow::anyhow!("redis_url: {problem}"))?;
    let place = url.to_string();
    let store = RedisStore::open(RedisConfig { many_nodes: true, ..RedisConfig::new(url) }).await;
    let store = store.context("opening the store on Redis")?;
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
