//! Follows what the other nodes tell: takes shards over, hands them on, wakes lanes, keeps the directory up to date (P9).
//!
//! - *Gained*: what is still in flight from an earlier stint lands and is settled first; then the shard is open, its lanes are counted
//!   anew and woken.
//! - *Lost*: nothing starts from here on; when what is in flight has landed and is settled, the membership is told, so that the next
//!   owner need not wait for a bound.

use std::sync::Arc;

use tokio::sync::mpsc;

use super::background::STORE_AWAY;
use super::core::Core;
use super::handle::Engine;
use super::loft::{Abandon, Nudge};
use crate::cluster::{ClusterEvent, Membership};
use crate::domain::{LaneClass, ShardId, WebhookId};
use crate::store::{LaneCounts, StoreError};

/// Of the lanes with more retries than fit into memory, one in so many is read anew at each look: only for what was put back by hand on
/// another node whose word was lost.
const SELDOM: u32 = 8;

pub(super) async fn follow(mut events: mpsc::Receiver<ClusterEvent>, membership: Arc<dyn Membership>, engine: Engine) {
    let mut told = Vec::new();
    while events.recv_many(&mut told, ShardId::COUNT).await > 0 {
        // Shards that come together are counted together.
        let mut gained = Vec::new();
        for event in told.drain(..) {
            match event {
                ClusterEvent::Gained(shard) => gained.push((shard, engine.inner.core.shards.turn(shard))),
                ClusterEvent::Lost(shard) => {
                    let turn = engine.inner.core.shards.turn(shard);
                    engine.inner.lofts.all().iter().for_each(|loft| loft.do_send(Abandon(shard)));
                    actix::spawn(hand_over(engine.clone(), Arc::clone(&membership), shard, turn));
                }
                ClusterEvent::Wake(webhooks) => webhooks.into_iter().for_each(|webhook| nudge(&engine, webhook, 0)),
                ClusterEvent::PutBack(webhook) => nudge(&engine, webhook, u64::MAX),
                ClusterEvent::Hasten(webhook, event) => {
                    let engine = engine.clone();
                    actix::spawn(async move {
                        if let Err(error) = engine.retry(webhook, event).await {
                            tracing::info!(%webhook, %event, %error, "a retry that was asked for on another node");
                        }
                    });
                }
                ClusterEvent::DirectoryChanged => drop(reload(&engine.inner.core).await),
                ClusterEvent::LookAgain => look_again(&engine).await,
            }
        }
        if !gained.is_empty() {
            actix::spawn(take_over(engine.clone(), gained));
        }
    }
}

async fn hand_over(engine: Engine, membership: Arc<dyn Membership>, shard: ShardId, turn: u64) {
    land_and_settle(&engine, &[shard]).await;
    if engine.inner.core.shards.is_at(shard, turn) {
        membership.handed_over(shard);
    }
}

/// Waits for what is in flight of shards that are not open any more, until the store has what came of it. Twice: a thread may have
/// begun to start an attempt while the shard was closed; after the first round all threads have seen that it is.
async fn land_and_settle(engine: &Engine, shards: &[ShardId]) {
    for _round in 0..2 {
        let landed = shards.iter().map(|shard| engine.inner.core.shards.shard_landed(*shard));
        futures_util::future::join_all(landed).await;
        engine.settle_all().await;
    }
}

async fn take_over(engine: Engine, gained: Vec<(ShardId, u64)>) {
    let shards = &engine.inner.core.shards;
    let lost_before: Vec<_> = gained.iter().map(|(shard, _)| *shard).collect();
    land_and_settle(&engine, &lost_before).await;
    let opened: Vec<_> = gained.into_iter().filter(|(shard, turn)| shards.is_at(*shard, *turn)).collect();
    for (shard, _) in &opened {
        shards.open(*shard, engine.inner.core.now());
    }
    // After the opening: what is accepted meanwhile is counted, or offered to actors that read everything.
    let Some(lanes) = count_lanes(&engine).await else { return };
    let mut bits = 0;
    for (shard, turn) in opened {
        if shards.is_at(shard, turn) {
            shards.counted(shard);
            bits |= shard.bit();
        }
    }
    for (webhook, _) in lanes {
        if ShardId::of_webhook(webhook.as_u128()).bit() & bits != 0 {
            engine.wake(webhook);
        }
    }
}

/// `None` when the store is closed.
async fn count_lanes(engine: &Engine) -> Option<Vec<(WebhookId, LaneCounts)>> {
    let mut is_away = false;
    loop {
        match engine.inner.core.store.active_lanes().await {
            Ok(lanes) => return Some(lanes),
            Err(StoreError::Closed) => return None,
            Err(error) => {
                if !std::mem::replace(&mut is_away, true) {
                    tracing::warn!(%error, "the lanes of gained shards cannot be read; trying again until they can");
                }
                tokio::time::sleep(STORE_AWAY).await;
            }
        }
    }
}

/// Something may have been missed.
async fn look_again(engine: &Engine) {
    let knows_all = reload(&engine.inner.core).await;
    match engine.inner.core.store.active_lanes().await {
        Ok(lanes) => {
            let bound = engine.inner.core.config.bounds.waiting as u64;
            for (webhook, counts) in lanes {
                let retries = counts.waiting[LaneClass::Retry as usize];
                let looks = retries <= bound || fastrand::u32(..SELDOM) == 0;
                if knows_all
                    && engine.inner.core.directory.webhook(webhook).is_none()
                    && engine.inner.core.serves(webhook)
                {
                    // Another node appended to it while it was deleted.
                    engine.wake(webhook);
                } else {
                    nudge(engine, webhook, if looks { retries } else { 0 });
                }
            }
        }
        Err(error) => tracing::debug!(%error, "the lanes could not be looked at; they are again soon"),
    }
}

fn nudge(engine: &Engine, webhook: WebhookId, stored_retries: u64) {
    let core = &engine.inner.core;
    if !core.serves(webhook) {
        return;
    }
    // Else it was deleted while another node appended to it, or is not known here yet: the lanes are looked at again.
    if let Some(config) = core.directory.webhook(webhook) {
        engine.inner.lofts.of_owner(&config.owner).do_send(Nudge { webhook, stored_retries });
    }
}

/// Answers whether the directory is as the store has it.
async fn reload(core: &Core) -> bool {
    let reloaded = core.directory.reload().await;
    if let Err(error) = &reloaded {
        tracing::warn!(%error, "the directory could not be read anew; it is again soon");
    }
    reloaded.is_ok()
}
