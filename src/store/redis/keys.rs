//! Names of keys. All keys of a shard share the hash tag `{…}`, so that a script touches one slot of a Redis Cluster.
//!
//! Behind `<prefix>:{07}:` there are: `e:<bucket>` events by id, `b` the buckets; `l:<webhook><class>` lanes, `m` the last place of
//! each; `h:<webhook>` records of deliveries by event, `d:<webhook>` dead letters, `x` all of them by when they died; `c:<bucket>`
//! client ids; `t:<day>` messages, `td` the days; `s` counters; `owner` who may settle; `g:<process>` which of
//! a process's appends count (see `doubts`), for an hour.
//!
//! A bucket on `b` may be empty, where all its events were known by their client ids. Only retention takes it off then: an append of
//! another process may have put it there for bodies that are about to come.

use crate::domain::{EventId, InstanceId, LaneClass, ShardId, Timestamp, WebhookIdBits};
use crate::store::moving::MessageName;

/// Names all keys of one installation.
#[derive(Clone, Debug)]
pub struct Keys {
    bases: Vec<String>,
    directory: String,
}

impl Keys {
    pub fn new(prefix: &str) -> Self {
        let bases = ShardId::all().map(|shard| format!("{prefix}:{{{:02}}}:", shard.index())).collect();
        Self { bases, directory: format!("{prefix}:{{directory}}:") }
    }

    /// What all keys of the shard begin with.
    pub fn base(&self, shard: ShardId) -> &str {
        &self.bases[shard.index()]
    }

    /// What all keys of the directory begin with.
    pub fn directory(&self) -> &str {
        &self.directory
    }

    /// The channel on which changes of the directory are told.
    pub fn directory_channel(&self) -> String {
        format!("{}changed", self.directory)
    }

    /// The channels on which appends of other nodes are told to the owners of shards: the scripts make the same names.
    pub fn wake_channels(prefix: &str) -> String {
        format!("{prefix}:{{??}}-wake")
    }

    /// The channel of one shard's owner, see [`Self::wake_channels`].
    pub fn wake_channel(&self, shard: ShardId) -> String {
        format!("{}-wake", self.base(shard).trim_end_matches(':'))
    }

    /// The events of one bucket, see [`event_bucket`].
    pub fn events(&self, shard: ShardId, bucket: u64) -> Vec<u8> {
        self.of(shard, format!("e:{bucket}").as_bytes())
    }

    /// A key of the shard.
    pub fn of(&self, shard: ShardId, name: &[u8]) -> Vec<u8> {
        [self.base(shard).as_bytes(), name].concat()
    }
}

pub fn lane_name(webhook: WebhookIdBits, class: LaneClass) -> Vec<u8> {
    let mut name = webhook.to_be_bytes().to_vec();
    name.push(b'0' + class as u8);
    name
}

pub fn named(kind: &str, name: &[u8]) -> Vec<u8> {
    [kind.as_bytes(), name].concat()
}

/// Events of about 8 seconds share a hash: the oldest go first without an index of events.
pub const fn event_bucket(id: EventId) -> u64 {
    id.timestamp().millis() >> 13
}

pub const fn client_bucket(at: Timestamp) -> u64 {
    at.millis() / (12 * 3_600_000)
}

pub const fn day(at: Timestamp) -> u64 {
    at.millis() / (24 * 3_600_000)
}

/// A name of an instance's own: half a hash of the instance, then the name.
pub fn of_instance(instance: &InstanceId, name: &str) -> Vec<u8> {
    [&instance.key()[..10], name.as_bytes()].concat()
}

/// The field of a message, behind the instance: its id, or a zero and the hash where only that is known.
pub fn of_message(instance: &InstanceId, id: &MessageName) -> Vec<u8> {
    let mut field = instance.key()[..10].to_vec();
    match id {
        MessageName::Id(id) => field.extend_from_slice(id.as_bytes()),
        MessageName::Hash(hash) => {
            field.push(0);
            field.extend_from_slice(hash);
        }
    }
    field
}

/// Reads back what [`of_message`] put behind the instance.
pub fn message_name(name: &[u8]) -> Option<MessageName> {
    if let Some(hash) = name.strip_prefix(&[0]).and_then(|hash| hash.try_into().ok()) {
        return Some(MessageName::Hash(hash));
    }
    std::str::from_utf8(name).ok().map(|id| MessageName::Id(id.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_keys_of_a_shard_share_a_hash_tag() {
        let keys = Keys::new("pombo");
        let shard = ShardId::from_index(7).unwrap();
        assert_eq!(keys.of(shard, b"owner"), b"pombo:{07}:owner");
    }

    #[test]
    fn names_of_messages_read_back() {
        let instance = InstanceId::new("a").unwrap();
        for name in [MessageName::Id("3EB0".into()), MessageName::Hash([7; 16]), MessageName::Hash([0xff; 16])] {
            assert_eq!(message_name(&of_message(&instance, &name)[10..]), Some(name));
        }
    }
}
