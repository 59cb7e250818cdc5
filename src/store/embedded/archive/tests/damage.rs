//! Files that are not as they were written.

use super::*;

/// The path of the only log, with three frames in it and where each ends.
fn log_with_three_frames(house: &House) -> (PathBuf, Vec<u64>) {
    let archive = house.open(LOG_BYTES);
    let mut ends = Vec::new();
    for number in 1..=3 {
        add(&archive, &[((1, id(number)), number), ((2, id(number)), number)]);
        ends.push(archive.bytes());
    }
    (house.path().join("0000000000000000.log"), ends)
}

fn known(archive: &Archive) -> Vec<u64> {
    (1..=4).filter(|number| archive.find((1, id(*number))).unwrap().is_some()).collect()
}

#[test]
fn a_torn_end_is_cut_off_and_written_over() {
    let house = House::new();
    let (path, ends) = log_with_three_frames(&house);
    let whole = std::fs::read(&path).unwrap();
    for length in ends[1]..ends[2] {
        std::fs::write(&path, &whole[..length as usize]).unwrap();
        let archive = house.open(LOG_BYTES);
        assert_eq!(known(&archive), [1, 2], "cut at {length}");
        add(&archive, &[((1, id(4)), 4)]);
        drop(archive);
        assert_eq!(known(&house.open(LOG_BYTES)), [1, 2, 4]);
    }
}

#[test]
fn an_end_of_zeros_or_of_other_bytes_is_cut_off() {
    let house = House::new();
    let (path, ends) = log_with_three_frames(&house);
    let whole = std::fs::read(&path).unwrap();
    let mut zeros = whole.clone();
    zeros[ends[1] as usize..].fill(0);
    zeros.resize(whole.len() + 4_096, 0);
    let mut flipped = whole.clone();
    flipped[ends[2] as usize - 1] ^= 1;
    let mut endless = whole;
    endless[ends[1] as usize..ends[1] as usize + 4].fill(0xff);
    for bytes in [zeros, flipped, endless] {
        std::fs::write(&path, bytes).unwrap();
        let archive = house.open(LOG_BYTES);
        assert_eq!(known(&archive), [1, 2]);
        assert_eq!(archive.bytes(), ends[1]);
    }
}

/// The path of the only segment.
fn sealed(house: &House) -> PathBuf {
    let archive = house.open(1);
    add(&archive, &[((1, id(1)), 1), ((2, id(1)), 1)]);
    add(&archive, &[((1, id(2)), 2)]);
    rest(&archive);
    assert_eq!(house.files(), ["0000000000000000.rows", "0000000000000001.log"]);
    house.path().join("0000000000000000.rows")
}

#[test]
fn a_changed_byte_of_a_segment_is_an_error_that_names_it() {
    let house = House::new();
    let path = sealed(&house);
    let whole = std::fs::read(&path).unwrap();
    for at in 0..whole.len() {
        let mut damaged = whole.clone();
        damaged[at] ^= 0x40;
        std::fs::write(&path, &damaged).unwrap();
        let opened = Archive::open(&house.path(), true, LOG_BYTES, &house.db, &house.events);
        let found = opened.and_then(|archive| {
            let mut rows = archive.rows(1, EventId::MIN..EventId::MAX, Direction::Rising);
            rows.try_for_each(|row| row.map(drop))
        });
        // The bounds of its events and their number only say where to look: 40 bytes of the foot.
        let foot = whole.len() - 60;
        if (foot..foot + 40).contains(&at) {
            continue;
        }
        let Err(StoreError::Corrupt(text)) = found else { panic!("byte {at}: {found:?}") };
        assert!(text.contains("0000000000000000.rows"), "{text}");
    }
}

#[test]
fn what_a_kill_left_of_the_sealing_is_cleared_away() {
    let house = House::new();
    let path = sealed(&house);
    let (log, draft) = (path.with_extension("log"), path.with_extension("draft"));
    std::fs::write(&log, b"the log it was made of").unwrap();
    std::fs::write(&draft, b"half a segment").unwrap();
    let archive = house.open(1);
    rest(&archive);
    assert_eq!(house.files(), ["0000000000000000.rows", "0000000000000001.log"]);
    assert_eq!(known(&archive), [1, 2]);
}
