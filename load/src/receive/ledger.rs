//! Which event reached which webhook, how often, in which order and how late.

use hdrhistogram::Histogram;

use crate::latency::{histogram, record};
use crate::marker::Marker;

/// One webhook's page.
#[derive(Default)]
pub struct Page {
    /// A bit for each number of the instance that was acknowledged.
    seen: Vec<u64>,
    pub count: u64,
    pub repeated: u64,
    pub out_of_order: u64,
    /// By chat, the number after the last one acknowledged; empty when order is not looked at.
    next: Vec<u64>,
}

impl Page {
    /// Whether it was the first time.
    fn note(&mut self, number: u64) -> bool {
        let (word, bit) = ((number / 64) as usize, 1 << (number % 64));
        if word >= self.seen.len() {
            self.seen.resize(word + 1, 0);
        }
        let first = self.seen[word] & bit == 0;
        self.seen[word] |= bit;
        self.count += u64::from(first);
        self.repeated += u64::from(!first);
        first
    }

    fn note_order(&mut self, chat: u32, number: u64) {
        let chat = chat as usize;
        if chat >= self.next.len() {
            self.next.resize(chat + 1, 0);
        }
        self.out_of_order += u64::from(number < self.next[chat]);
        self.next[chat] = self.next[chat].max(number + 1);
    }

    pub fn has(&self, number: u64) -> bool {
        self.seen.get((number / 64) as usize).is_some_and(|word| word & 1 << (number % 64) != 0)
    }
}

/// All that is known of a class of receivers.
pub struct Class {
    /// Intended send to arrival.
    pub latency: Histogram<u64>,
    pub acknowledged: u64,
    pub refused: u64,
}

pub struct Ledger {
    pages: Vec<Page>,
    pub classes: Vec<Class>,
    ordered: bool,
    /// First acknowledgements.
    pub delivered: u64,
    pub requests: u64,
    pub body_bytes: u64,
    pub unsigned: u64,
    /// Requests on a path that is no webhook's, or without a marker.
    pub strange: u64,
    /// Of the monotonic clock.
    pub last_arrival: u64,
}

impl Ledger {
    pub fn new(classes: usize, ordered: bool) -> Self {
        let class = || Class { latency: histogram(), acknowledged: 0, refused: 0 };
        Self {
            pages: Vec::new(),
            classes: (0..classes).map(|_| class()).collect(),
            ordered,
            delivered: 0,
            requests: 0,
            body_bytes: 0,
            unsigned: 0,
            strange: 0,
            last_arrival: 0,
        }
    }

    /// An event was acknowledged.
    pub fn acknowledge(&mut self, class: usize, webhook: usize, marker: &Marker, arrived: u64) {
        if webhook >= self.pages.len() {
            self.pages.resize_with(webhook + 1, Page::default);
        }
        let page = &mut self.pages[webhook];
        let first = page.note(marker.number);
        let class = &mut self.classes[class];
        class.acknowledged += 1;
        self.last_arrival = arrived;
        if !first {
            return;
        }
        self.delivered += 1;
        if self.ordered {
            page.note_order(marker.chat, marker.number);
        }
        if marker.measured {
            record(&mut class.latency, marker.intended, arrived);
        }
    }

    pub fn page(&self, webhook: usize) -> Option<&Page> {
        self.pages.get(webhook)
    }

    pub fn pages(&self) -> impl Iterator<Item = &Page> {
        self.pages.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marker(chat: u32, number: u64) -> Marker {
        Marker { measured: true, chat, number, intended: 0 }
    }

    #[test]
    fn a_second_acknowledgement_is_a_repetition() {
        let mut ledger = Ledger::new(1, false);
        for number in [0, 70, 70] {
            ledger.acknowledge(0, 2, &marker(0, number), 1_000);
        }
        let page = ledger.page(2).expect("a page");
        assert_eq!((page.count, page.repeated, ledger.delivered), (2, 1, 2));
        assert!(page.has(70) && !page.has(1) && !page.has(1 << 40));
        assert_eq!(ledger.classes[0].latency.len(), 2, "a repetition has no latency");
    }

    #[test]
    fn order_is_looked_at_within_a_chat() {
        let mut ledger = Ledger::new(1, true);
        for (chat, number) in [(0, 0), (1, 5), (0, 4), (0, 2)] {
            ledger.acknowledge(0, 0, &marker(chat, number), 1_000);
        }
        assert_eq!(ledger.page(0).expect("a page").out_of_order, 1);
    }
}
