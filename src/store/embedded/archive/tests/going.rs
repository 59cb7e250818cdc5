//! Rows go with their events, a file at a time.

use super::*;

/// Ten files of ten events each, all of them there.
fn full(house: &House) -> Archive {
    let archive = house.open(1);
    for file in 0..10 {
        let numbers = file * 10..file * 10 + 10;
        numbers.clone().for_each(|number| house.accept(id(number)));
        add(&archive, &numbers.map(|number| ((1, id(number)), number)).collect::<Vec<_>>());
    }
    rest(&archive);
    archive
}

fn segments(house: &House) -> usize {
    house.files().iter().filter(|name| name.contains(".rows")).count()
}

fn known(archive: &Archive) -> Vec<u64> {
    (0..100).filter(|number| archive.find((1, id(*number))).unwrap().is_some()).collect()
}

#[test]
fn a_file_goes_when_all_of_its_events_are_gone() {
    let house = House::new();
    let archive = full(&house);
    assert_eq!(segments(&house), 9, "the newest is a log");
    let full_bytes = archive.live_bytes();
    archive.walk_anew();
    for number in 0..25 {
        house.forget(id(number));
        archive.forget(id(number), 1);
        archive.walked_to(id(number));
    }
    rest(&archive);
    assert_eq!(segments(&house), 7);
    assert_eq!(known(&archive), (20..100).collect::<Vec<_>>(), "of the third file half is left");
    let part = archive.live_bytes() as f64 / full_bytes as f64;
    assert!((0.70..0.80).contains(&part), "a quarter of the events is gone, {part} is counted as left");
}

#[test]
fn what_had_to_stay_stays_and_goes_in_a_later_walk() {
    let house = House::new();
    let archive = full(&house);
    archive.walk_anew();
    let (bytes, held) = (archive.bytes(), [3, 11, 12, 13, 14, 15, 16]);
    for number in (0..40).filter(|number| !held.contains(number)) {
        house.forget(id(number));
    }
    archive.walked_to(id(39));
    rest(&archive);
    // Of the first file one is left, so it is written anew; of the second more than half.
    let left: Vec<_> = [3].into_iter().chain(10..20).chain(40..100).collect();
    assert_eq!(known(&archive), left);
    assert!(archive.bytes() < bytes);
    house.forget(id(3));
    archive.walked_to(id(40));
    rest(&archive);
    assert_eq!(known(&archive), left, "one look in each walk");
    archive.walk_anew();
    archive.walked_to(id(40));
    rest(&archive);
    assert_eq!(known(&archive), left[1..]);
    drop(archive);
    assert_eq!(known(&house.open(1)), left[1..]);
}

#[test]
fn who_reads_a_file_that_goes_reads_on() {
    let house = House::new();
    let archive = full(&house);
    let mut rows = archive.rows(1, EventId::MIN..EventId::MAX, Direction::Rising);
    assert_eq!(rows.next().unwrap().unwrap().0, id(0));
    (0..10).for_each(|number| house.forget(id(number)));
    archive.walk_anew();
    archive.walked_to(id(9));
    rest(&archive);
    let rest_of_it: Vec<_> = rows.map(|row| row.unwrap().0).collect();
    assert_eq!(rest_of_it, (1..100).map(id).collect::<Vec<_>>());
}
