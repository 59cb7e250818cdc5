//! The sender's list and the receivers' list, compared: what was lost, repeated, or came in the wrong order.

use std::collections::{BTreeMap, BTreeSet};

use pombo::commands::listen::Receipt;

/// (path of the webhook, id of the event).
pub type Pair = (String, String);

/// How two lists differ.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Difference {
    /// Owed and never taken.
    pub lost: Vec<Pair>,
    /// Taken more than once.
    pub repeated: Vec<Pair>,
    /// Taken without being owed.
    pub strange: Vec<Pair>,
}

impl Difference {
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }

    /// Counts and a few of each, for the message of an assertion.
    pub fn summary(&self) -> String {
        let few = |pairs: &[Pair]| pairs.iter().take(5).cloned().collect::<Vec<_>>();
        format!(
            "lost {} {:?}, repeated {} {:?}, not owed {} {:?}",
            self.lost.len(),
            few(&self.lost),
            self.repeated.len(),
            few(&self.repeated),
            self.strange.len(),
            few(&self.strange)
        )
    }
}

/// How often each pair was taken (answered with a 2xx).
pub fn taken<'a>(receipts: impl IntoIterator<Item = &'a Receipt>) -> BTreeMap<Pair, usize> {
    let mut taken = BTreeMap::new();
    for receipt in receipts.into_iter().filter(|receipt| receipt.is_taken()) {
        *taken.entry((receipt.path.to_string(), receipt.webhook_id.to_string())).or_default() += 1;
    }
    taken
}

/// Compares what is owed with what was taken.
pub fn compare<'a>(owed: &BTreeSet<Pair>, receipts: impl IntoIterator<Item = &'a Receipt>) -> Difference {
    let taken = taken(receipts);
    Difference {
        lost: owed.iter().filter(|pair| !taken.contains_key(*pair)).cloned().collect(),
        repeated: taken.iter().filter(|(_, times)| **times > 1).map(|(pair, _)| pair.clone()).collect(),
        strange: taken.keys().filter(|pair| !owed.contains(*pair)).cloned().collect(),
    }
}

/// Pairs of neighbours among first arrivals at `path` that came in another order than `expected` has them.
pub fn out_of_order(expected: &[String], receipts: &[Receipt], path: &str) -> Vec<(String, String)> {
    let place: BTreeMap<&str, usize> = expected.iter().enumerate().map(|(place, id)| (id.as_str(), place)).collect();
    let mut seen = BTreeSet::new();
    let firsts: Vec<&str> = receipts
        .iter()
        .filter(|receipt| &*receipt.path == path && receipt.is_taken())
        .map(|receipt| &*receipt.webhook_id)
        .filter(|id| place.contains_key(id) && seen.insert(*id))
        .collect();
    let wrong = firsts.windows(2).filter(|two| place[two[0]] > place[two[1]]);
    wrong.map(|two| (two[0].to_owned(), two[1].to_owned())).collect()
}
