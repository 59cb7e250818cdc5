//! The fixed division of instances and businesses, so that many nodes can share the work and a database can be split.
//!
//! A webhook's id tells its shard, and an id made for an owner ([`ShardId::webhook_id`]) tells the owner's: so a webhook and the
//! events of its instance meet in one shard. Ids made elsewhere work as well; their events then touch two shards.

use super::{BusinessId, EventId, InstanceId, WebhookId, WebhookIdBits, WebhookOwner, stable_key};

/// One of [`ShardId::COUNT`] shards.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ShardId(u8);

impl ShardId {
    /// Stored with the data: never changes. A power of two, and all shards fit the bits of a `u64`.
    pub const COUNT: usize = 64;
    const MASK: u128 = Self::COUNT as u128 - 1;

    pub fn all() -> impl DoubleEndedIterator<Item = Self> {
        (0..Self::COUNT as u8).map(Self)
    }

    /// `None` at [`Self::COUNT`] and above.
    #[must_use]
    pub fn from_index(index: usize) -> Option<Self> {
        u8::try_from(index).ok().filter(|index| usize::from(*index) < Self::COUNT).map(Self)
    }

    #[must_use]
    pub const fn index(self) -> usize {
        self.0 as usize
    }

    /// The shard's bit in a set of shards.
    #[must_use]
    pub const fn bit(self) -> u64 {
        1 << self.0
    }

    #[must_use]
    pub fn of_instance(id: &InstanceId) -> Self {
        let key = stable_key(id.as_str());
        Self::of_bits(u128::from(key ^ (key >> 32)))
    }

    #[must_use]
    pub fn of_business(id: BusinessId) -> Self {
        Self::of_bits(id.as_u128())
    }

    #[must_use]
    pub fn of_owner(owner: &WebhookOwner) -> Self {
        match owner {
            WebhookOwner::Instance(id) => Self::of_instance(id),
            WebhookOwner::Business(id) => Self::of_business(*id),
        }
    }

    #[must_use]
    pub const fn of_webhook(webhook: WebhookIdBits) -> Self {
        Self::of_bits(webhook)
    }

    /// The shard whose ids [`EventIds::next_in`](super::EventIds::next_in) makes like this one: where to look for the event first.
    #[must_use]
    pub const fn of_event(id: EventId) -> Self {
        Self::of_bits(id.as_u128())
    }

    const fn of_bits(bits: u128) -> Self {
        Self((bits & Self::MASK) as u8)
    }

    /// A random id for a webhook of this shard.
    #[must_use]
    pub fn webhook_id(self) -> WebhookId {
        WebhookId::from_u128((WebhookId::random().as_u128() & !Self::MASK) | u128::from(self.0))
    }

    /// `id`, or the smallest id after it that tells this shard.
    #[must_use]
    pub(super) const fn first_id_from(self, id: u128) -> u128 {
        let here = (id & !Self::MASK) | self.0 as u128;
        if here < id { here + Self::COUNT as u128 } else { here }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{EventIds, Timestamp};

    #[test]
    fn ids_made_for_a_shard_tell_it() {
        for shard in ShardId::all() {
            assert_eq!(ShardId::of_webhook(shard.webhook_id().as_u128()), shard);
            assert_eq!(ShardId::from_index(shard.index()), Some(shard));
        }
        assert_eq!(ShardId::from_index(ShardId::COUNT), None);
    }

    #[test]
    fn event_ids_of_different_shards_rise_together() {
        let ids = EventIds::new(7);
        let mut last = EventId::MIN;
        for shard in ShardId::all().rev().chain(ShardId::all()) {
            let id = ids.next_in(Timestamp::from_millis(5), shard);
            assert!(id > last);
            assert_eq!((ShardId::of_event(id), id.timestamp()), (shard, Timestamp::from_millis(5)));
            last = id;
        }
    }

    #[test]
    fn the_shard_of_an_instance_is_stable_over_releases() {
        let shard = |id: &str| ShardId::of_instance(&InstanceId::new(id).unwrap()).index();
        let key = 0xaf63_dc4c_8601_ec8c_u64;
        assert_eq!(shard("a"), ((key ^ (key >> 32)) & 63) as usize);
        assert_ne!(shard("shop-1"), shard("shop-2"));
    }
}
