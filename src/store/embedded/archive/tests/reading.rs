//! Single rows and the rows of a webhook, over logs and segments.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

type Model = BTreeMap<DeliveryKey, u64>;

fn listed(
    archive: &Archive,
    webhook: WebhookIdBits,
    events: Range<EventId>,
    direction: Direction,
) -> Vec<(EventId, u64)> {
    let rows = archive.rows(webhook, events, direction).map(|row| row.unwrap());
    let mut rows: Vec<_> = rows.map(|(event, row)| (event, row.at.millis())).collect();
    // One that was written twice is told twice; the reader of histories drops the second.
    rows.dedup_by_key(|(event, _)| *event);
    rows
}

fn check(archive: &Archive, model: &Model, number_of_events: u64) {
    for webhook in 0..4 {
        for number in 0..number_of_events {
            let key = (webhook, id(number));
            let found = archive.find(key).unwrap().map(|row| row.at.millis());
            assert_eq!(found, model.get(&key).copied(), "{key:?}");
        }
        for (from, to) in [(0, number_of_events), (3, 9), (7, 8), (5, 5)] {
            let events = id(from)..id(to);
            let expected: Vec<_> =
                model.range((webhook, id(from))..(webhook, id(to))).map(|((_, event), _)| *event).collect();
            let rising: Vec<_> = listed(archive, webhook, events.clone(), Direction::Rising)
                .into_iter()
                .map(|(event, _)| event)
                .collect();
            assert_eq!(rising, expected);
            let mut falling: Vec<_> =
                listed(archive, webhook, events, Direction::Falling).into_iter().map(|(event, _)| event).collect();
            falling.reverse();
            assert_eq!(falling, expected);
        }
    }
    let mut all = Model::new();
    let mut from = EventId::MIN;
    while from < EventId::MAX {
        let window = archive.window(from).unwrap();
        for key in model.keys().filter(|key| window.holds(key.1)) {
            all.insert(*key, window.row(*key).unwrap().unwrap().at.millis());
        }
        assert_eq!(window.events.start, from);
        from = window.events.end;
    }
    assert_eq!(&all, model);
    let settled = archive.settled_from(EventId::MIN).unwrap();
    assert_eq!(settled, model.keys().copied().collect());
}

#[derive(Clone, Debug)]
enum Step {
    Add(Vec<(u128, u64)>),
    Rest,
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => prop::collection::vec((0..4u128, 0..24u64), 1..12).prop_map(Step::Add),
        1 => Just(Step::Rest),
        1 => Just(Step::Reopen),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_was_put_in_is_told_wherever_it_lies(steps in prop::collection::vec(step(), 1..30), log_bytes in 100..4_000u64) {
        let house = House::new();
        let mut archive = house.open(log_bytes);
        let mut model = Model::new();
        let mut written = 0;
        for step in steps {
            match step {
                Step::Add(rows) => {
                    let rows: Vec<_> = rows.into_iter().map(|(webhook, number)| {
                        written += 1;
                        ((webhook, id(number)), written)
                    }).collect();
                    add(&archive, &rows);
                    model.extend(rows);
                }
                Step::Rest => rest(&archive),
                Step::Reopen => {
                    drop(archive);
                    archive = house.open(log_bytes);
                }
            }
            check(&archive, &model, 24);
        }
    }
}

#[test]
fn a_long_answer_is_kept_whole() {
    let house = House::new();
    let archive = house.open(LOG_BYTES);
    let mut long = row(1);
    long.attempt.as_mut().unwrap().outcome.snippet = bytes::Bytes::from(vec![b'x'; 512]);
    let mut frame = Frame::default();
    frame.add((7, id(1)), &row(5)).unwrap();
    frame.add((7, id(2)), &long).unwrap();
    archive.append(frame).unwrap();
    let found = archive.find((7, id(2))).unwrap().unwrap();
    assert_eq!(found.attempt, long.attempt);
}

#[test]
fn many_blocks_of_one_webhook_are_read_in_order() {
    let house = House::new();
    let archive = house.open(LOG_BYTES);
    let rows: Vec<_> = (0..2_000).map(|number| ((7, id(number)), number)).collect();
    add(&archive, &rows);
    let log = archive.inner.files.read().logs.values().next().unwrap().number;
    archive.keeper.ask(Work::Seal(log)).unwrap();
    rest(&archive);
    assert_eq!(house.files(), ["0000000000000000.rows"]);
    let all = listed(&archive, 7, EventId::MIN..EventId::MAX, Direction::Falling);
    assert_eq!(all.len(), 2_000);
    assert!(all.is_sorted_by(|a, b| a.0 > b.0));
    assert_eq!(
        listed(&archive, 7, id(700)..id(703), Direction::Rising),
        [(id(700), 700), (id(701), 701), (id(702), 702)]
    );
    assert_eq!(listed(&archive, 6, EventId::MIN..EventId::MAX, Direction::Rising), []);
}
