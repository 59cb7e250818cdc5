//! Looks for what nobody will ever remove: keys and members without an owner, an index or a time to live.
//!
//! Bounded: so many keys are scanned, and of each the first [`SAMPLE`] members, the oldest, are looked at. Reads only.

use std::collections::{BTreeMap, HashSet};

use futures_util::future::try_join_all;
use redis::{Cmd, cmd};

use super::answer::{all_bytes, bytes, event_id, fields, number};
use super::each::words;
use super::keys;
use super::rows::corrupt;
use super::shared::Shared;
use super::url::Place;
use crate::domain::{EventId, LaneClass, ShardId, WebhookIdBits};
use crate::store::StoreError;

const SAMPLE: usize = 256;
const KEYS_PER_SCAN: usize = 512;

/// What was found.
#[derive(Clone, Debug, Default)]
pub struct Orphans {
    /// Keys looked at.
    pub keys: u64,
    /// All there are.
    pub is_whole: bool,
    /// What it is: how many, and the key of one.
    pub found: BTreeMap<&'static str, (u64, String)>,
}

impl Orphans {
    fn note(&mut self, what: &'static str, count: u64, key: &[u8]) {
        if count > 0 {
            let known = self.found.entry(what).or_insert_with(|| (0, key.escape_ascii().to_string()));
            known.0 += count;
        }
    }
}

/// Looks at up to `max_keys` keys.
pub async fn look(shared: &Shared, max_keys: u64) -> Result<Orphans, StoreError> {
    if matches!(shared.config.url.place, Place::Cluster(_)) {
        return Err(StoreError::Unavailable("on a Redis Cluster keys cannot be walked through from here".into()));
    }
    let directory = super::read::directory(shared).await?;
    let webhooks: HashSet<_> = directory.webhooks.iter().map(|webhook| webhook.id.as_u128()).collect();
    let (mut orphans, mut cursor) = (Orphans::default(), 0);
    let pattern = format!("{}:{{*", shared.config.prefix);
    loop {
        let mut scan = cmd("SCAN");
        scan.arg(cursor).arg("MATCH").arg(&pattern).arg("COUNT").arg(KEYS_PER_SCAN);
        let [next, page] = fields(shared.link.run(&scan).await?)?;
        cursor = number(&next)?;
        for key in all_bytes(page)? {
            orphans.keys += 1;
            look_at(shared, &key, &webhooks, &mut orphans).await?;
        }
        if cursor == 0 {
            orphans.is_whole = true;
            return Ok(orphans);
        }
        if orphans.keys >= max_keys {
            return Ok(orphans);
        }
    }
}

async fn look_at(
    shared: &Shared,
    key: &[u8],
    webhooks: &HashSet<WebhookIdBits>,
    orphans: &mut Orphans,
) -> Result<(), StoreError> {
    if let Some(name) = key.strip_prefix(shared.keys.directory().as_bytes()) {
        let is_ours = matches!(name, b"records" | b"version" | b"meta" | b"settings" | b"nodes" | b"about" | b"check");
        orphans.note("keys that nobody knows", u64::from(!is_ours), key);
        return Ok(());
    }
    let shard = ShardId::all().find(|shard| key.starts_with(shared.keys.base(*shard).as_bytes()));
    let Some(shard) = shard else {
        orphans.note("keys that nobody knows", 1, key);
        return Ok(());
    };
    let name = &key[shared.keys.base(shard).len()..];
    match name {
        [b'e', b':', bucket @ ..] => {
            let is_lost = is_missing(shared, cmd("ZSCORE").arg(shared.keys.of(shard, b"b")).arg(bucket)).await?;
            orphans.note("events that retention does not find", u64::from(is_lost), key);
        }
        [b't', b':', day @ ..] => {
            let is_lost = is_missing(shared, cmd("ZSCORE").arg(shared.keys.of(shard, b"td")).arg(day)).await?;
            orphans.note("days of messages that retention does not find", u64::from(is_lost), key);
        }
        [b'c' | b'g', b':', ..] | b"owner" => {
            let is_eternal = shared.link.run(cmd("PTTL").arg(key)).await? == redis::Value::Int(-1);
            orphans.note("keys that never expire and should", u64::from(is_eternal), key);
        }
        [b'l', b':', webhook @ .., class] if webhook.len() == 16 => {
            let is_unknown = !webhooks.contains(&bits(webhook)?);
            let held = number(&shared.link.run(cmd("ZCARD").arg(key)).await?)?;
            orphans.note("deliveries of webhooks that do not exist", if is_unknown { held } else { 0 }, key);
            let skip = if *class == b'0' + LaneClass::Parked as u8 { 16 } else { 0 };
            let lost = without_event(shared, key, skip).await?;
            orphans.note("deliveries without their event", lost, key);
        }
        [b'h', b':', webhook @ ..] if webhook.len() == 16 => {
            let lost = without_event(shared, key, 0).await?;
            orphans.note("timelines without their event", lost, key);
        }
        [b'd', b':', webhook @ ..] if webhook.len() == 16 => {
            let history = shared.keys.of(shard, &keys::named("h:", webhook));
            let dead = members(shared, key).await?;
            let known = dead.iter().map(|event| {
                let (from, to) = ([b"[", &event[..]].concat(), [b"[", &event[..], b"\xff"].concat());
                let mut count = cmd("ZLEXCOUNT");
                count.arg(&history).arg(from).arg(to);
                async move { number(&shared.link.run(&count).await?) }
            });
            let lost = try_join_all(known).await?.into_iter().filter(|count| *count == 0).count();
            orphans.note("dead letters without a timeline", lost as u64, key);
        }
        b"m" => look_at_marks(shared, shard, key, webhooks, orphans).await?,
        b"s" | b"b" | b"x" | b"td" | b"token" => {}
        _ => orphans.note("keys that nobody knows", 1, key),
    }
    Ok(())
}

/// Marks of lanes, of webhooks that neither exist nor have anything left.
async fn look_at_marks(
    shared: &Shared,
    shard: ShardId,
    key: &[u8],
    webhooks: &HashSet<WebhookIdBits>,
    orphans: &mut Orphans,
) -> Result<(), StoreError> {
    let mut unknown = HashSet::new();
    for name in all_bytes(shared.link.run(cmd("HKEYS").arg(key)).await?)? {
        let webhook = bits(name.get(..16).unwrap_or_default())?;
        if !webhooks.contains(&webhook) {
            unknown.insert(webhook);
        }
    }
    for webhook in unknown {
        let lanes = LaneClass::ALL.map(|class| keys::named("l:", &keys::lane_name(webhook, class)));
        let dead = keys::named("d:", &webhook.to_be_bytes());
        let mut exist = cmd("EXISTS");
        for name in lanes.iter().chain([&dead]) {
            exist.arg(shared.keys.of(shard, name));
        }
        let is_left = number(&shared.link.run(&exist).await?)? == 0;
        orphans.note("marks of webhooks that do not exist", u64::from(is_left), key);
    }
    Ok(())
}

fn bits(webhook: &[u8]) -> Result<WebhookIdBits, StoreError> {
    let raw = webhook.try_into().map_err(|_| corrupt("a lane", &"its name is too short"))?;
    Ok(u128::from_be_bytes(raw))
}

async fn is_missing(shared: &Shared, command: &Cmd) -> Result<bool, StoreError> {
    Ok(bytes(shared.link.run(command).await?)?.is_none())
}

async fn members(shared: &Shared, key: &[u8]) -> Result<Vec<Vec<u8>>, StoreError> {
    all_bytes(shared.link.run(cmd("ZRANGE").arg(key).arg(0).arg(SAMPLE - 1)).await?)
}

/// Of the first members of a sorted set, how many have an event that is not on record. Its id stands after `skip` bytes.
async fn without_event(shared: &Shared, key: &[u8], skip: usize) -> Result<u64, StoreError> {
    let members = members(shared, key).await?;
    let ids = members.iter().map(|member| event_id(member.get(skip..skip + 16).unwrap_or_default()));
    let ids = ids.collect::<Result<HashSet<_>, _>>()?;
    let asked = ids.into_iter().map(|id| async move { Ok::<_, StoreError>(u64::from(!exists(shared, id).await?)) });
    Ok(try_join_all(asked).await?.into_iter().sum())
}

async fn exists(shared: &Shared, id: EventId) -> Result<bool, StoreError> {
    let (bucket, raw) = (keys::event_bucket(id), id.to_be_bytes());
    let ask = |shard| words([b"HEXISTS", &shared.keys.events(shard, bucket), &raw]);
    // In the shard its id tells, or, for ids made elsewhere, any.
    let all: Vec<_> = ShardId::all().collect();
    for shards in [&[ShardId::of_event(id)][..], &all] {
        if shared.ask_each(shards, ask).await?.iter().any(|found| *found == redis::Value::Int(1)) {
            return Ok(true);
        }
    }
    Ok(false)
}
