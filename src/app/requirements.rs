//! What the configuration demands of Redis, and Redis as it is set: the process does not start on less.

use anyhow::Context as _;

use crate::config::Config;
use crate::store::redis::RedisStore;
use crate::store::{Durability, Persistence, Store as _};

/// A setting that asks for more than there is.
#[derive(Debug, thiserror::Error)]
#[error("{setting} = {wanted}: {found}\n    → {remedy}")]
pub(super) struct Unmet {
    setting: &'static str,
    wanted: String,
    found: String,
    remedy: &'static str,
}

pub(super) async fn check(config: &Config, store: &RedisStore) -> anyhow::Result<()> {
    if let Err(refusal) = store.can_confirm().await.context("asking Redis whether it confirms commits")? {
        return Err(unconfirmed(&store.persistence(), &refusal).into());
    }
    match config.require_durability {
        Some(least) => Ok(enough(least, &store.persistence())?),
        None => Ok(()),
    }
}

fn unconfirmed(found: &Persistence, refusal: &str) -> Unmet {
    let version = found.redis.as_ref().map_or("", |redis| redis.version.as_str());
    Unmet {
        setting: "store.wait_aof",
        wanted: "true".to_owned(),
        found: format!("Redis {version} answers WAITAOF with: {refusal}"),
        remedy: "it takes Redis 7.2 with `appendonly yes`; else remove the setting and set `appendfsync always` in Redis",
    }
}

fn enough(least: Durability, found: &Persistence) -> Result<(), Unmet> {
    if found.durability.holds(least) {
        return Ok(());
    }
    let told = |text: Option<&str>| text.unwrap_or("not told").to_owned();
    let (appendonly, appendfsync) = found.redis.as_ref().map_or_else(
        || (told(None), told(None)),
        |redis| (told(redis.appendonly.as_deref()), told(redis.appendfsync.as_deref())),
    );
    let is = found.durability.as_str();
    Err(Unmet {
        setting: "require_durability",
        wanted: format!("{:?}", least.as_str()),
        found: format!("Redis keeps accepted events as {is} only (appendonly {appendonly}, appendfsync {appendfsync})"),
        remedy: match least {
            Durability::AofAlways => {
                "set `appendonly yes` and `appendfsync always` in Redis (or store.wait_aof = true here), or require less"
            }
            _ => {
                "set `appendonly yes` and `appendfsync everysec` in Redis, and let this user `CONFIG GET` them, or require less"
            }
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::RedisPersistence;

    #[test]
    fn the_refusal_names_the_setting_what_was_found_and_a_way_out() {
        let redis = RedisPersistence {
            version: "7.0.15".into(),
            appendonly: Some("yes".into()),
            appendfsync: Some("everysec".into()),
            maxmemory_policy: None,
        };
        let found = Persistence { redis: Some(redis), ..Persistence::of(Durability::AofEverysec) };
        assert!(enough(Durability::AofEverysec, &found).is_ok());
        let text = enough(Durability::AofAlways, &found).unwrap_err().to_string();
        for part in ["require_durability", "aof-always", "appendfsync everysec", "→", "store.wait_aof"] {
            assert!(text.contains(part), "{part}: {text}");
        }
        let text = unconfirmed(&found, "unknown command").to_string();
        assert!(text.contains("store.wait_aof") && text.contains("7.0.15") && text.contains("7.2"), "{text}");
    }
}
