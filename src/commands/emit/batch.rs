//! Lines gathered into requests: one instance each, NDJSON, in the order they came.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;

use super::line::Entry;

/// One request's worth.
#[derive(Clone, Debug)]
pub struct Batch {
    pub instance: Arc<str>,
    /// NDJSON.
    pub body: Bytes,
    /// The callers' ids, one for each event.
    pub client_ids: Vec<Option<Box<str>>>,
}

impl Batch {
    pub fn len(&self) -> usize {
        self.client_ids.len()
    }

    pub fn is_empty(&self) -> bool {
        self.client_ids.is_empty()
    }
}

#[derive(Default)]
struct Filling {
    body: Vec<u8>,
    client_ids: Vec<Option<Box<str>>>,
}

/// Batches being filled.
pub struct Batches {
    max_events: usize,
    max_bytes: usize,
    filling: HashMap<String, Filling>,
}

impl std::fmt::Debug for Batches {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Batches").field("instances", &self.filling.len()).finish_non_exhaustive()
    }
}

impl Batches {
    /// A batch is full at `max_events`, or when another event would take it over `max_bytes` (one event may be larger).
    pub fn new(max_events: usize, max_bytes: usize) -> Self {
        Self { max_events, max_bytes, filling: HashMap::new() }
    }

    /// Adds an event; gives the batches that are full now, at most two.
    pub fn add(&mut self, instance: &str, entry: &Entry<'_>) -> Vec<Batch> {
        let line = serde_json::to_vec(entry).expect("texts and raw JSON always serialise");
        let mut full = Vec::new();
        let over = |filling: &Filling| filling.body.len() + line.len() >= self.max_bytes;
        if self.filling.get(instance).is_some_and(over) {
            full.extend(self.take(instance));
        }
        if !self.filling.contains_key(instance) {
            self.filling.insert(instance.to_owned(), Filling::default());
        }
        let filling = self.filling.get_mut(instance).expect("it was just put there");
        filling.body.extend_from_slice(&line);
        filling.body.push(b'\n');
        filling.client_ids.push(entry.id.as_deref().map(Into::into));
        if filling.client_ids.len() >= self.max_events {
            full.extend(self.take(instance));
        }
        full
    }

    fn take(&mut self, instance: &str) -> Option<Batch> {
        let (name, filling) = self.filling.remove_entry(instance)?;
        (!filling.client_ids.is_empty()).then(|| Batch {
            instance: name.into(),
            body: filling.body.into(),
            client_ids: filling.client_ids,
        })
    }

    /// What is left at the end.
    pub fn finish(&mut self) -> Vec<Batch> {
        let names: Vec<String> = self.filling.keys().cloned().collect();
        names.iter().filter_map(|name| self.take(name)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::emit::line::{Destination, parse};

    fn add(batches: &mut Batches, instance: &str, n: usize) -> Vec<Batch> {
        let line = format!(r#"{{"event":"new.jwt","id":"{n}","data":{n}}}"#);
        let (instance, entry) = parse(&line, &Destination::Fixed(instance.into())).expect("valid");
        batches.add(&instance, &entry)
    }

    #[test]
    fn each_instance_has_its_own_batches_in_order_and_none_is_lost() {
        let mut batches = Batches::new(3, usize::MAX);
        let mut out: Vec<Batch> = (0..10).flat_map(|n| add(&mut batches, ["a", "b"][n % 2], n)).collect();
        assert_eq!(out.len(), 2);
        out.extend(batches.finish());
        assert!(batches.finish().is_empty());
        let ids = |name: &str| -> Vec<String> {
            let own = out.iter().filter(|batch| &*batch.instance == name);
            own.flat_map(|batch| batch.client_ids.iter().flatten().map(ToString::to_string)).collect()
        };
        assert_eq!(ids("a"), ["0", "2", "4", "6", "8"]);
        assert_eq!(ids("b"), ["1", "3", "5", "7", "9"]);
        for batch in &out {
            assert_eq!(batch.body.split(|byte| *byte == b'\n').count() - 1, batch.len());
        }
    }

    #[test]
    fn a_batch_ends_before_it_is_too_large_but_takes_one_large_event() {
        let mut batches = Batches::new(100, 10);
        assert!(add(&mut batches, "a", 1).is_empty());
        assert_eq!(add(&mut batches, "a", 2).len(), 1);
        assert_eq!(batches.finish().len(), 1);
    }
}
