//! The count at the end: what was accepted against what arrived, webhook by webhook.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::api::{Api, ApiError};
use crate::commands::listen::Ledger;
use crate::domain::EventId;

/// A webhook and the path its receiver knows it by.
#[derive(Clone, Debug)]
pub struct Owed {
    pub instance: String,
    pub webhook: String,
    pub path: String,
}

/// How the count came out.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// (event, webhook) pairs.
    pub owed: u64,
    pub once: u64,
    pub repeated: u64,
    /// A newer state made the delivery pointless.
    pub superseded: u64,
    /// Not arrived, by the state the engine gives.
    pub missing: BTreeMap<String, u64>,
}

impl Count {
    pub fn is_even(&self) -> bool {
        self.repeated == 0 && self.missing.is_empty() && self.once + self.superseded == self.owed
    }
}

/// Compares, and asks the engine about each pair that did not arrive.
///
/// # Errors
/// When the engine does not answer.
pub async fn count(
    accepted: &[(Arc<str>, EventId)],
    webhooks: &[Owed],
    ledger: &Ledger,
    api: &mut Api,
) -> Result<Count, ApiError> {
    let (mut count, absent) = compare(accepted, webhooks, ledger);
    for (webhook, event) in absent {
        let status = api.delivery_status(&webhook.instance, &webhook.webhook, event).await?;
        if status == "superseded" {
            count.superseded += 1;
        } else {
            *count.missing.entry(status).or_default() += 1;
        }
    }
    Ok(count)
}

/// The count so far, and the pairs that did not arrive.
fn compare<'a>(
    accepted: &[(Arc<str>, EventId)],
    webhooks: &'a [Owed],
    ledger: &Ledger,
) -> (Count, Vec<(&'a Owed, EventId)>) {
    let mut by_instance: BTreeMap<&str, Vec<&Owed>> = BTreeMap::new();
    for webhook in webhooks {
        by_instance.entry(&webhook.instance).or_default().push(webhook);
    }
    let (mut count, mut absent) = (Count::default(), Vec::new());
    for (instance, event) in accepted {
        let id = event.to_string();
        for webhook in by_instance.get(&**instance).into_iter().flatten() {
            count.owed += 1;
            match ledger.arrivals(&webhook.path, &id).taken {
                0 => absent.push((*webhook, *event)),
                1 => count.once += 1,
                _ => count.repeated += 1,
            }
        }
    }
    (count, absent)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::listen::{Receipt, Signature};
    use crate::domain::Timestamp;

    fn arrive(ledger: &Ledger, path: &str, event: u128, status: u16) {
        ledger.record(&Receipt {
            number: 1,
            path: path.into(),
            webhook_id: EventId::from_u128(event).to_string().into(),
            attempt: 1,
            sent_at_seconds: None,
            at: Timestamp::from_millis(0),
            status,
            signature: Signature::Valid,
            headers: http::HeaderMap::new(),
            body: bytes::Bytes::new(),
        });
    }

    #[test]
    fn lost_and_repeated_pairs_are_found_and_refusals_do_not_count_as_arrivals() {
        let owed =
            |instance: &str, path: &str| Owed { instance: instance.into(), webhook: "w".into(), path: path.into() };
        let webhooks = [owed("a", "/a/1"), owed("a", "/a/2"), owed("b", "/b/1")];
        let accepted: Vec<(Arc<str>, EventId)> =
            [("a", 1), ("a", 2), ("b", 3)].map(|(name, id)| (name.into(), EventId::from_u128(id))).into();
        let ledger = Ledger::default();
        for (path, event, status) in
            [("/a/1", 1, 200), ("/a/1", 2, 200), ("/a/1", 2, 200), ("/a/2", 1, 500), ("/a/2", 2, 500), ("/a/2", 2, 204)]
        {
            arrive(&ledger, path, event, status);
        }
        let (count, absent) = compare(&accepted, &webhooks, &ledger);
        assert_eq!((count.owed, count.once, count.repeated), (5, 2, 1));
        let absent: Vec<_> = absent.iter().map(|(webhook, event)| (webhook.path.as_str(), event.as_u128())).collect();
        assert_eq!(absent, [("/a/2", 1), ("/b/1", 3)]);
        assert!(!count.is_even());
        assert_eq!(ledger.totals(), (3, 1));
    }
}
