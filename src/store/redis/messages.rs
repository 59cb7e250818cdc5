//! What a call tells of messages, by day. Events that were known already tell nothing, and only the script knows which these are.

use std::collections::{BTreeMap, HashMap, HashSet};

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
                let fields: HashSet<_, ahash::RandomState> = told.iter().map(|told| &told.field).collect();
                let mut group = Group { day, is_each_once: fields.len() == told.len(), messages: Part::default() };
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
fn merged(told: Vec<Told>) -> Vec<Told> {
    let mut rows: HashMap<Vec<u8>, (u64, Vec<Vec<u8>>), ahash::RandomState> = HashMap::default();
    for Told { event, field, row } in told {
        let (_, rows) = rows.entry(field).or_insert((event, Vec::new()));
        rows.retain(|before| before.first() != row.first());
        rows.push(row);
    }
    rows.into_iter().map(|(field, (event, rows))| Told { event, field, row: rows.concat() }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(event: u64, field: &[u8], row: &[u8]) -> Told {
        Told { event, field: field.to_vec(), row: row.to_vec() }
    }

    #[test]
    fn of_each_state_the_last_row_stays() {
        let merged = merged(vec![told(1, b"m", b"1a"), told(2, b"m", b"2b"), told(3, b"m", b"1c")]);
        assert_eq!(merged.iter().map(|told| &told.row[..]).collect::<Vec<_>>(), [b"2b1c"]);
    }

    #[test]
    fn what_the_script_must_tell_apart_is_left_apart() {
        for (all_new, count, is_each_once) in [(true, 1, true), (false, 2, false)] {
            let mut messages = Messages::default();
            messages.push(1, 7, b"m".to_vec(), b"1a".to_vec());
            messages.push(2, 7, b"m".to_vec(), b"2b".to_vec());
            let groups = messages.groups(all_new);
            let told: Vec<_> = groups.iter().map(|group| (group.messages.count, group.is_each_once)).collect();
            assert_eq!(told, [(count, is_each_once)]);
        }
    }
}
