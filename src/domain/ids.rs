//! Identifiers. Event ids sort by the time of acceptance; instance ids may be chosen by the caller (`externalId`).

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use parking_lot::Mutex;
use ring::digest;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::{ShardId, Timestamp};

/// Crockford base32, the alphabet of ULIDs: no I, L, O, U.
const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const EVENT_PREFIX: &str = "evt_";

/// 48 bits of unix milliseconds, then 80 bits that count up within a millisecond from a random start.
///
/// Written `evt_` and 26 characters of base32 that sort as the number does. It is the `webhook-id` a receiver sees
/// and, below a webhook, the id of the delivery.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct EventId(u128);

impl EventId {
    pub const MIN: Self = Self(0);
    pub const MAX: Self = Self(u128::MAX);

    #[must_use]
    pub const fn from_u128(raw: u128) -> Self {
        Self(raw)
    }

    #[must_use]
    pub const fn as_u128(self) -> u128 {
        self.0
    }

    /// As it is written: ASCII.
    #[must_use]
    pub fn text(&self) -> [u8; 30] {
        let mut text = [0; 30];
        text[..4].copy_from_slice(EVENT_PREFIX.as_bytes());
        let mut rest = self.0;
        for slot in text[4..].iter_mut().rev() {
            *slot = ALPHABET[rest as usize & 31];
            rest >>= 5;
        }
        text
    }

    /// The smallest id that an event accepted at `at` can have: a bound for range reads.
    #[must_use]
    pub const fn first_at(at: Timestamp) -> Self {
        Self((at.millis() as u128) << 80)
    }

    /// The smallest id after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    /// When the id was made.
    #[must_use]
    pub const fn timestamp(self) -> Timestamp {
        Timestamp::from_millis((self.0 >> 80) as u64)
    }

    #[must_use]
    pub const fn to_be_bytes(self) -> [u8; 16] {
        self.0.to_be_bytes()
    }

    #[must_use]
    pub const fn from_be_bytes(bytes: [u8; 16]) -> Self {
        Self(u128::from_be_bytes(bytes))
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(std::str::from_utf8(&self.text()).map_err(|_| fmt::Error)?)
    }
}

impl fmt::Debug for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The text is not an id of the kind asked for.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{0}")]
pub struct InvalidId(&'static str);

impl FromStr for EventId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        const WRONG: InvalidId = InvalidId("an event id is evt_ followed by 26 characters of base32");
        let digits = text.strip_prefix(EVENT_PREFIX).ok_or(WRONG)?.as_bytes();
        // The first digit carries three bits: 26 * 5 = 130 = 128 + 2.
        if digits.len() != 26 || digits[0] > b'7' {
            return Err(WRONG);
        }
        digits
            .iter()
            .try_fold(0u128, |id, digit| {
                let value = ALPHABET.iter().position(|known| known == digit).ok_or(WRONG)?;
                Ok(id << 5 | value as u128)
            })
            .map(Self)
    }
}

impl Serialize for EventId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() { serializer.collect_str(self) } else { self.0.serialize(serializer) }
    }
}

impl<'de> Deserialize<'de> for EventId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
        } else {
            u128::deserialize(deserializer).map(Self)
        }
    }
}

/// Gives out event ids, each greater than the one before, also when the clock steps back.
#[derive(Debug)]
pub struct EventIds {
    last: Mutex<u128>,
    /// 64 random bits drawn once: two processes on one millisecond do not collide.
    seed: u128,
}

impl EventIds {
    /// `seed` must differ between processes that write to one store.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self { last: Mutex::new(0), seed: (seed as u128) << 8 }
    }

    /// The id after `last`; used to go on after a restart whatever the clock says.
    #[must_use]
    pub const fn after(self, last: EventId) -> Self {
        Self { last: Mutex::new(last.0), seed: self.seed }
    }

    pub fn next(&self, now: Timestamp) -> EventId {
        self.next_from(now, |id| id)
    }

    /// The next id that tells `shard` (see [`ShardId::of_event`]).
    pub fn next_in(&self, now: Timestamp, shard: ShardId) -> EventId {
        self.next_from(now, |id| shard.first_id_from(id))
    }

    fn next_from(&self, now: Timestamp, pick: impl Fn(u128) -> u128) -> EventId {
        let fresh = EventId::first_at(now).0 | (self.seed & ((1 << 80) - 1));
        let mut last = self.last.lock();
        *last = pick(fresh.max(*last + 1));
        EventId(*last)
    }
}

/// The id of an instance, as the API shows it. Chosen by the caller with `externalId` or a random UUID.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InstanceId(Arc<str>);

impl InstanceId {
    pub const MAX_LENGTH: usize = 128;

    /// # Errors
    /// When empty, longer than [`Self::MAX_LENGTH`], or with a character outside `A-Z a-z 0-9 . _ : @ -`.
    pub fn new(text: &str) -> Result<Self, InvalidId> {
        let allowed = |c: u8| c.is_ascii_alphanumeric() || b"._:@-".contains(&c);
        if text.is_empty() || text.len() > Self::MAX_LENGTH || !text.bytes().all(allowed) {
            return Err(InvalidId("must be 1 to 128 characters of A-Z a-z 0-9 . _ : @ -"));
        }
        Ok(Self(text.into()))
    }

    #[must_use]
    pub fn random() -> Self {
        Self(uuid::Uuid::new_v4().to_string().into())
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// A fixed-width stand-in for store keys: the first 16 bytes of SHA-256 of the text.
    #[must_use]
    pub fn key(&self) -> [u8; 16] {
        let hash = digest::digest(&digest::SHA256, self.0.as_bytes());
        let mut key = [0; 16];
        key.copy_from_slice(&hash.as_ref()[..16]);
        key
    }
}

impl fmt::Display for InstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for InstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for InstanceId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for InstanceId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(&String::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(uuid::Uuid);

        impl $name {
            #[must_use]
            pub fn random() -> Self {
                Self(uuid::Uuid::new_v4())
            }

            #[must_use]
            pub const fn from_u128(raw: u128) -> Self {
                Self(uuid::Uuid::from_u128(raw))
            }

            #[must_use]
            pub const fn as_u128(self) -> u128 {
                self.0.as_u128()
            }

            #[must_use]
            pub const fn to_be_bytes(self) -> [u8; 16] {
                self.0.as_u128().to_be_bytes()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                uuid::Uuid::try_parse(text).map(Self).map_err(|_| InvalidId("must be a UUID"))
            }
        }
    };
}

uuid_id!(
    /// A tenant.
    BusinessId
);
uuid_id!(
    /// A receiver: one URL of an instance, or of a business as a whole.
    WebhookId
);
uuid_id!(
    /// One process, from its start to its end: a restarted process is another node.
    NodeId
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn event_ids_rise_when_the_clock_steps_back() {
        let ids = EventIds::new(7);
        let first = ids.next(Timestamp::from_millis(2_000));
        let second = ids.next(Timestamp::from_millis(1_000));
        assert!(second > first);
        assert_eq!(second.timestamp(), Timestamp::from_millis(2_000));
    }

    #[test]
    fn event_ids_go_on_after_the_last_one_of_an_earlier_run() {
        let last = EventIds::new(1).next(Timestamp::from_millis(9_000));
        assert!(EventIds::new(0).after(last).next(Timestamp::from_millis(1)) > last);
    }

    #[test]
    fn event_id_text_sorts_and_reads_back() {
        let ids = EventIds::new(u64::MAX);
        let (a, b) = (ids.next(Timestamp::from_millis(1)), ids.next(Timestamp::from_millis(1 << 40)));
        assert!(a.to_string() < b.to_string());
        assert_eq!(a.to_string().parse(), Ok(a));
        assert_eq!(EventId::MAX.to_string().parse(), Ok(EventId::MAX));
    }

    #[test]
    fn a_wrong_event_id_is_refused() {
        for wrong in [
            "",
            "evt_",
            "msg_00000000000000000000000000",
            "evt_80000000000000000000000000",
            "evt_0000000000000000000000000U",
        ] {
            assert!(wrong.parse::<EventId>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn instance_ids_bar_what_could_break_a_header_or_a_path() {
        assert!(InstanceId::new("loja-7").is_ok());
        for wrong in ["", "a/b", "a b", "a\r\nb", "ção"] {
            assert!(InstanceId::new(wrong).is_err(), "{wrong:?}");
        }
    }
}
