//! A write that is to be confirmed: by replicas (`WAIT`), or by the append-only file (`WAITAOF`, Redis 7.2).
//!
//! Both speak of what was written on the same connection, and hold up whatever else is sent on it. So such writes have a connection
//! of their own, beside that of leases and settlements, and one that was replaced meanwhile confirms nothing.

use std::sync::atomic::Ordering::Relaxed;

use redis::{Cmd, Value, cmd};

use super::answer::{number, numbers};
use super::link::Link;
use super::shared::Shared;
use crate::store::StoreError;

/// The connection on which a write is about to be made; `None`: nothing is to be confirmed.
#[derive(Clone, Copy, Debug)]
pub struct Pledge(Option<u64>);

impl Shared {
    pub const fn waits(&self) -> bool {
        self.config.wait_aof || self.config.wait_replicas > 0
    }

    /// Where to send what is to be confirmed.
    pub fn confirmed(&self) -> &Link {
        self.confirmed.as_ref().unwrap_or(&self.link)
    }

    /// Before the write.
    pub async fn pledge(&self) -> Result<Pledge, StoreError> {
        Ok(Pledge(if self.waits() { Some(self.confirmed().number().await?) } else { None }))
    }

    /// After a commit.
    pub async fn confirm(&self, pledge: Pledge) -> Result<(), StoreError> {
        self.commits.fetch_add(1, Relaxed);
        self.is_confirmed(pledge).await
    }

    /// Waits until what was written is where the configuration wants it.
    pub async fn is_confirmed(&self, Pledge(connection): Pledge) -> Result<(), StoreError> {
        let Some(connection) = connection else { return Ok(()) };
        let millis = u64::try_from(self.config.timeout.as_millis() / 2).unwrap_or(1_000);
        let replicas = u64::from(self.config.wait_replicas);
        if self.config.wait_aof {
            for reached in self.ask(&wait_aof(replicas, millis)).await? {
                let reached = numbers(reached)?;
                if reached.first() < Some(&1) {
                    return Err(not_confirmed("the append-only file"));
                }
                if reached.get(1) < Some(&replicas) {
                    return Err(too_few(reached.get(1).copied().unwrap_or(0), replicas));
                }
            }
        } else {
            let mut wait = cmd("WAIT");
            wait.arg(replicas).arg(millis);
            for reached in self.ask(&wait).await? {
                let reached = number(&reached)?;
                if reached < replicas {
                    return Err(too_few(reached, replicas));
                }
            }
        }
        if self.confirmed().number().await? == connection { Ok(()) } else { Err(not_confirmed("enough places")) }
    }

    async fn ask(&self, command: &Cmd) -> Result<Vec<Value>, StoreError> {
        let refused = |error: redis::RedisError| StoreError::Unavailable(error.to_string());
        self.confirmed().ask_all(command).await?.map_err(refused)
    }

    /// Whether Redis can do what is asked of each commit; what it says when it cannot.
    pub async fn can_confirm(&self) -> Result<Result<(), String>, StoreError> {
        if !self.config.wait_aof {
            return Ok(Ok(()));
        }
        match self.confirmed().ask_all(&wait_aof(0, 1)).await? {
            Ok(_) => Ok(Ok(())),
            Err(error) if error.code().is_some() => Ok(Err(error.detail().unwrap_or("it refuses").to_owned())),
            Err(error) => Err(StoreError::Unavailable(error.to_string())),
        }
    }
}

fn wait_aof(replicas: u64, millis: u64) -> Cmd {
    let mut wait = cmd("WAITAOF");
    wait.arg(1).arg(replicas).arg(millis);
    wait
}

fn not_confirmed(place: &str) -> StoreError {
    StoreError::Unavailable(format!("Redis did not confirm in time that the events reached {place}"))
}

fn too_few(reached: u64, wanted: u64) -> StoreError {
    StoreError::Unavailable(format!("the events reached {reached} replicas of Redis in time, not {wanted}"))
}
