//! What a call tells of messages, by day. Events that were known already tell nothing, and only the script knows which these are.

use std::collections::{BTreeMap, HashSet};

use super::script::Call;
use super::staged::Part;

/// Of one group: what a script can unpack is bounded.
const PER_GROUP: usize = 1_024;

struct Told {
    event: u64,
    field: Vec<u8>,
    row: Vec<u8>,
}

/// See the module.
#[derive(Default)]
pub struct Messages(BTreeMap<u64, Vec<Told>>);

/// Messages of one day.
pub struct Group {
    day: u64,
    is_each_once: bool,
    messages: Part,
}

impl Group {
    pub fn head(&self, call: &mut Call) {
        self.messages.head(call.number(self.day));
        call.arg(if self.is_each_once { b"1" } else { b"0" });
    }

    pub fn body(&self, call: &mut Call) {
        call.extend(&self.messages.written);
    }
}

impl Messages {
    pub fn push(&mut self, event: u64, day: u64, field: Vec<u8>, row: Vec<u8>) {
        self.0.entry(day).or_default().push(Told { event, field, row });
    }

    /// `all_new`: no event can be known already, so what is told of one message is told at once.
    pub fn groups(self, all_new: bool) -> Vec<Group> {
        let mut groups = Vec::new();
        for (day, told) in self.0 {
            let told = if all_new { merged(told) } else { told };
            for told in told.chunks(PER_GROUP) {
                let mut fields: HashSet<_, ahash::RandomState> = HashSet::default();
                let is_each_once = all_new || told.iter().all(|told| fields.insert(&told.field));
                let mut group = Group { day, is_each_once, messages: Part::default() };
                for Told { event, field, row } in told {
                    group.messages.of(*event).arg(field).arg(row);
                }
                groups.push(group);
            }
        }
        groups
    }
}

/// Each message once, with the last row of each state.
fn merged(mut told: Vec<Told>) -> Vec<Told> {
    // Keeps the order of those of one message.
    told.sort_by(|one, other| one.field.cmp(&other.field));
    told.dedup_by(|later, kept| {
        let is_same = later.field == kept.field;
        if is_same {
            kept.row = replaced(&kept.row, std::mem::take(&mut later.row));
        }
        is_same
    });
    told
}

/// These rows, without the one of the state of `row`, and `row`.
fn replaced(mut rows: &[u8], row: Vec<u8>) -> Vec<u8> {
    let mut kept = Vec::new();
    while let Some((one, rest)) = rows.get(7).and_then(|length| rows.split_at_checked(8 + usize::from(*length))) {
        if one[0] != row[0] {
            kept.extend_from_slice(one);
        }
        rows = rest;
    }
    if kept.is_empty() {
        return row;
    }
    kept.extend_from_slice(&row);
    kept
}

#[cfg(test)]
mod tests {
    use super::super::rows::message_row;
    use super::*;
    use crate::domain::{MessageState, Timestamp};

    fn told(event: u64, field: &[u8], row: &[u8]) -> Told {
        Told { event, field: field.to_vec(), row: row.to_vec() }
    }

    #[test]
    fn of_each_state_the_last_row_stays() {
        let row = |state, number: &str| message_row(state, Timestamp::from_millis(9), number);
        let (read, played) = (MessageState::Read, MessageState::Played);
        let all = [(read, "a"), (played, "b"), (read, ""), (read, "d")];
        let told = (1..).zip(all).map(|(event, (state, number))| told(event, b"m", &row(state, number)));
        let merged = merged(told.collect());
        assert_eq!(
            merged.iter().map(|told| told.row.clone()).collect::<Vec<_>>(),
            [[row(played, "b"), row(read, "d")].concat()]
        );
    }

    #[test]
    fn what_the_script_must_tell_apart_is_left_apart() {
        for (all_new, count, is_each_once) in [(true, 1, true), (false, 2, false)] {
            let mut messages = Messages::default();
            messages.push(1, 7, b"m".to_vec(), b"1234567\0".to_vec());
            messages.push(2, 7, b"m".to_vec(), b"2345678\0".to_vec());
            let groups = messages.groups(all_new);
            let told: Vec<_> = groups.iter().map(|group| (group.messages.count, group.is_each_once)).collect();
            assert_eq!(told, [(count, is_each_once)]);
        }
    }
}
