//! How records are named. All numbers are big-endian: keys sort as the things do.
//!
//! | table | key |
//! |---|---|
//! | events | event 16 |
//! | lanes | webhook 16, class 1, order key 8 (parked only), due 8, event 16 |
//! | history | webhook 16, event 16, attempt number 2, step 1 |
//! | dead | webhook 16, event 16 |
//! | client ids | instance 16, hash of the client's id 16 |
//! | messages | instance 16, hash of the message's id 16, state 1 |

use ring::digest;
use smallvec::SmallVec;

use crate::domain::{EventId, InstanceId, LaneClass, LaneEntry, MessageState, Timestamp, WebhookIdBits};

/// Long enough for every key of a fixed length.
pub type Key = SmallVec<[u8; 49]>;

/// The rows of one attempt number: the attempt first, then a change without one (parked, superseded, put back).
pub const ATTEMPT: u8 = 0;
pub const CHANGE: u8 = 1;

pub fn event(id: EventId) -> Key {
    Key::from_slice(&id.to_be_bytes())
}

/// All of one part of a lane; of one key where the part is sorted by keys.
pub fn lane_part(webhook: WebhookIdBits, class: LaneClass, order_key: u64) -> Key {
    let mut key = lane_class(webhook, class);
    if class == LaneClass::Parked {
        key.extend_from_slice(&order_key.to_be_bytes());
    }
    key
}

pub fn lane_class(webhook: WebhookIdBits, class: LaneClass) -> Key {
    let mut key = Key::from_slice(&webhook.to_be_bytes());
    key.push(class as u8);
    key
}

/// The place of an entry in its lane.
pub fn lane_place(part: &Key, due: Timestamp, event: EventId) -> Key {
    let mut key = part.clone();
    key.extend_from_slice(&due.millis().to_be_bytes());
    key.extend_from_slice(&event.to_be_bytes());
    key
}

pub fn lane(entry: &LaneEntry) -> Key {
    lane_place(&lane_part(entry.webhook, entry.class, entry.order_key), entry.due, entry.event)
}

/// A lane key read back: webhook, class, due, event.
pub fn parse_lane(key: &[u8]) -> Option<(WebhookIdBits, LaneClass, Timestamp, EventId)> {
    let class = LaneClass::ALL.into_iter().find(|class| Some(&(*class as u8)) == key.get(16))?;
    let rest = key.get(if class == LaneClass::Parked { 25 } else { 17 }..)?;
    let due = u64::from_be_bytes(rest.get(..8)?.try_into().ok()?);
    let event = EventId::from_be_bytes(rest.get(8..)?.try_into().ok()?);
    Some((u128::from_be_bytes(key[..16].try_into().ok()?), class, Timestamp::from_millis(due), event))
}

/// The order key of a parked entry's key.
pub fn parse_order_key(key: &[u8]) -> Option<u64> {
    Some(u64::from_be_bytes(key.get(17..25)?.try_into().ok()?))
}

/// A delivery: the key of its dead letter and the start of its history.
pub fn delivery(webhook: WebhookIdBits, event: EventId) -> Key {
    let mut key = Key::from_slice(&webhook.to_be_bytes());
    key.extend_from_slice(&event.to_be_bytes());
    key
}

pub fn history(webhook: WebhookIdBits, event: EventId, number: u16, step: u8) -> Key {
    let mut key = delivery(webhook, event);
    key.extend_from_slice(&number.to_be_bytes());
    key.push(step);
    key
}

/// The webhook and event a delivery's key or history key starts with.
pub fn parse_delivery(key: &[u8]) -> Option<(WebhookIdBits, EventId)> {
    let webhook = u128::from_be_bytes(key.get(..16)?.try_into().ok()?);
    Some((webhook, EventId::from_be_bytes(key.get(16..32)?.try_into().ok()?)))
}

/// Event, attempt number and step of a history key.
pub fn parse_history(key: &[u8]) -> Option<(EventId, u16, u8)> {
    let (_, event) = parse_delivery(key)?;
    let number = u16::from_be_bytes(key.get(32..34)?.try_into().ok()?);
    Some((event, number, *key.get(34)?))
}

pub fn client_id(instance: &InstanceId, client_id: &str) -> Key {
    hashed(instance, client_id)
}

/// All states of one message.
pub fn message(instance: &InstanceId, message_id: &str) -> Key {
    hashed(instance, message_id)
}

pub fn message_state(instance: &InstanceId, message_id: &str, state: MessageState) -> Key {
    let mut key = hashed(instance, message_id);
    key.push(state as u8);
    key
}

/// As [`message_state`] where only the hash of the message's id is known.
pub fn message_of_hash(instance: &InstanceId, hash: [u8; 16], state: MessageState) -> Key {
    let mut key = Key::from_slice(&instance.key());
    key.extend_from_slice(&hash);
    key.push(state as u8);
    key
}

fn hashed(instance: &InstanceId, text: &str) -> Key {
    let mut key = Key::from_slice(&instance.key());
    key.extend_from_slice(&digest::digest(&digest::SHA256, text.as_bytes()).as_ref()[..16]);
    key
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::contract::fixtures::{at, entry, event_id, webhook};

    #[test]
    fn lane_keys_read_back_and_sort_by_due_then_event() {
        let mut last = None;
        for (due, number) in [(1, 9), (2, 1), (2, 2), (256, 0)] {
            let entry = LaneEntry { due: at(due), ..entry(webhook(1), event_id(0, number)) };
            let key = lane(&entry);
            assert_eq!(parse_lane(&key), Some((entry.webhook, entry.class, entry.due, entry.event)));
            assert!(last < Some(key.clone()));
            last = Some(key);
        }
    }

    #[test]
    fn parked_keys_sort_by_order_key_first() {
        let parked = |order_key, due| {
            let class = LaneClass::Parked;
            lane(&LaneEntry { class, order_key, due: at(due), ..entry(webhook(1), event_id(0, 1)) })
        };
        assert!(parked(1, 900) < parked(2, 0));
        assert_eq!(parse_order_key(&parked(7, 0)), Some(7));
        assert_eq!(parse_lane(&parked(7, 3)).map(|parts| parts.2), Some(at(3)));
    }

    #[test]
    fn a_key_that_is_cut_short_is_not_read() {
        assert_eq!(parse_lane(&lane(&entry(webhook(1), event_id(0, 1)))[..40]), None);
        assert_eq!(parse_lane(&[]), None);
    }
}
