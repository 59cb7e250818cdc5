//! Rows read back as they were written.

use super::*;
use crate::store::contract::fixtures::{at, entry, event_id, retry_of, settle, webhook};

#[test]
fn an_entry_reads_back_from_its_member_and_score() {
    let live = LaneEntry { coalesce_key: u64::MAX, order_key: 7, ..entry(webhook(1), event_id(1, 2)) };
    let parked = LaneEntry { class: LaneClass::Parked, due: Timestamp::MAX, ..live };
    for entry in [live, retry_of(live, at(9)), parked] {
        let read = parse_member(1, entry.class, &member(&entry).unwrap(), score(&entry).parse().unwrap());
        assert_eq!(read.unwrap(), entry);
    }
}

#[test]
fn a_record_reads_back_with_its_attempts() {
    let first = entry(webhook(1), event_id(1, 2));
    let retry = retry_of(first, at(5));
    let decided = settle(first, Next::Move(retry));
    let tail = attempt(&decided).unwrap();
    let head = head(first.kind, at(3), Standing::after(&decided.next)).unwrap();
    let record = Record::parse(&Record::bytes(first.event, &head, &[tail.clone(), tail].concat())).unwrap();
    let delivery = record.listed(1);
    assert_eq!((delivery.status, delivery.next_attempt_at), (DeliveryStatus::Retrying, Some(at(5))));
    assert_eq!(delivery.attempts, [decided.attempt.unwrap()]);
}

#[test]
fn damage_is_an_error_and_no_panic() {
    for length in 0..40 {
        let _refused = Record::parse(&vec![0xff; length]);
        let _refused = parse_message_rows(&vec![0xff; length]);
        assert!(parse_member(1, LaneClass::Live, &vec![0xff; length], 0).is_err());
    }
}
