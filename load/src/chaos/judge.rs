//! Both sides of the ledger, compared.
//!
//! - *Owed*: each event that was answered 202, to each webhook of its instance. *Lost* is what is owed and was never acknowledged.
//! - *Repeated*: a request for what the webhook had acknowledged before.
//! - *Out of order*, at an ordered webhook: the first request for an event while an event of the same chat that was accepted
//!   before had not been acknowledged. A second request for an event, after a crash, is a repetition and not out of order.
//! - *Window*: the most requests of a limited webhook within one period, wherever it begins.
//! - *Silence*: the time between two first acknowledgements of a webhook, while events were being sent.

use std::collections::HashMap;
use std::time::Duration;

use serde::Serialize;

use super::produce::Sent;
use super::receive::Arrival;
use super::webhooks::{PERIOD_MS, SORTS, Sort};

/// Arrivals are later than starts by what the way takes, each by another time: windows are also counted this much shorter.
const WINDOW_TOLERANCE_MS: u64 = 150;
/// A busy machine delays some starts and not others; a stall that was seen makes them shorter still, but by no more than this. A
/// limit that is given anew at a take-over shows in any window: twice the limit goes at once.
const MAX_STALL_MS: u64 = 500;

/// First acknowledgement of each delivery, by webhook and number.
pub type Firsts = HashMap<(usize, u64), u64>;

pub fn firsts(arrivals: &[Arrival]) -> Firsts {
    let mut firsts = Firsts::new();
    for arrival in arrivals.iter().filter(|arrival| arrival.acknowledged) {
        firsts.entry((arrival.webhook, arrival.number)).or_insert(arrival.at);
    }
    firsts
}

/// The index of the webhook of this sort at the event's instance.
const fn webhook(event: &Sent, sort: usize) -> usize {
    event.instance * SORTS.len() + sort
}

#[derive(Clone, Debug, Serialize)]
pub struct Lost {
    pub webhook: usize,
    pub sort: &'static str,
    pub event: Sent,
}

pub fn lost(sent: &[Sent], firsts: &Firsts) -> Vec<Lost> {
    let mut lost = Vec::new();
    for event in sent.iter().filter(|event| event.accepted.is_some()) {
        for (index, sort) in SORTS.iter().enumerate() {
            let webhook = webhook(event, index);
            if !firsts.contains_key(&(webhook, event.number)) {
                lost.push(Lost { webhook, sort: sort.name(), event: event.clone() });
            }
        }
    }
    lost
}

/// Of a delivery that was acknowledged before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Repeat {
    pub webhook: usize,
    pub number: u64,
    pub first: u64,
    pub again: u64,
}

pub fn repeats(arrivals: &[Arrival], firsts: &Firsts) -> Vec<Repeat> {
    let again = arrivals.iter().filter_map(|arrival| {
        let first = *firsts.get(&(arrival.webhook, arrival.number))?;
        let Arrival { webhook, number, at, .. } = *arrival;
        (at > first).then_some(Repeat { webhook, number, first, again: at })
    });
    again.collect()
}

/// An event that went while `behind` should have gone before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Swap {
    pub webhook: usize,
    pub number: u64,
    pub behind: u64,
    pub at: u64,
}

pub fn out_of_order(sent: &[Sent], arrivals: &[Arrival], chats: u64) -> Vec<Swap> {
    // By webhook and chat: the numbers in the order of acceptance, and how many of them are done from the front on.
    let mut chains: HashMap<(usize, u64), (Vec<u64>, usize)> = HashMap::new();
    for event in sent.iter().filter(|event| event.accepted.is_some()) {
        for (index, _) in SORTS.iter().enumerate().filter(|(_, sort)| sort.is_ordered()) {
            chains.entry((webhook(event, index), event.number % chats)).or_default().0.push(event.number);
        }
    }
    for (numbers, _) in chains.values_mut() {
        numbers.sort_unstable();
    }
    let (mut tried, mut done) = (std::collections::HashSet::new(), std::collections::HashSet::new());
    let mut swaps = Vec::new();
    for arrival in arrivals.iter().filter(|arrival| Sort::of(arrival.webhook).is_ordered()) {
        let Arrival { webhook, number, at, acknowledged } = *arrival;
        let Some((numbers, front)) = chains.get_mut(&(webhook, number % chats)) else { continue };
        while numbers.get(*front).is_some_and(|number| done.contains(&(webhook, *number))) {
            *front += 1;
        }
        let behind = numbers.get(*front).copied().filter(|behind| *behind < number);
        if tried.insert((webhook, number))
            && let Some(behind) = behind
        {
            swaps.push(Swap { webhook, number, behind, at });
        }
        if acknowledged {
            done.insert((webhook, number));
        }
    }
    swaps
}

/// The fullest window of the limited webhooks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Window {
    pub webhook: usize,
    pub requests: u64,
    /// When it begins.
    pub begins: u64,
}

pub fn worst_window(arrivals: &[Arrival], millis: u64) -> Window {
    let mut times: HashMap<usize, Vec<u64>> = HashMap::new();
    for arrival in arrivals.iter().filter(|arrival| Sort::of(arrival.webhook) == Sort::Limited) {
        times.entry(arrival.webhook).or_default().push(arrival.at);
    }
    let mut worst = Window::default();
    for (webhook, times) in times {
        let mut end = 0;
        for (index, begins) in times.iter().enumerate() {
            while times.get(end).is_some_and(|at| *at < begins + millis * 1_000_000) {
                end += 1;
            }
            let requests = (end - index) as u64;
            if requests > worst.requests {
                worst = Window { webhook, requests, begins: *begins };
            }
        }
    }
    worst
}

/// The length of a window that jitter of arrivals cannot have filled, on a machine that stood still for so long at most.
pub fn window_but_jitter_ms(longest_stall: Duration) -> u64 {
    PERIOD_MS - WINDOW_TOLERANCE_MS - (longest_stall.as_millis() as u64).min(MAX_STALL_MS)
}

/// Between `begun` and `ended`, the longest time without a first acknowledgement of one webhook: nanoseconds, and whose.
///
/// What lies before `begun` or after `ended` does not count: a silence over several faults is cut at each.
pub fn longest_silence(firsts: &Firsts, webhooks: usize, begun: u64, ended: u64) -> (u64, usize) {
    let mut times = vec![Vec::new(); webhooks];
    for ((webhook, _), at) in firsts {
        times[*webhook].push(*at);
    }
    let mut longest = (0, 0);
    for (webhook, times) in times.iter_mut().enumerate().filter(|(webhook, _)| Sort::of(*webhook).is_prompt()) {
        times.sort_unstable();
        let mut last = begun;
        for at in times.iter().copied().filter(|at| (begun..ended).contains(at)).chain([ended]) {
            longest = longest.max((at - last, webhook));
            last = at;
        }
    }
    longest
}

/// The ways from the 202 to a webhook of such a sort, of the events accepted between `begun` and `ended`: half of them are at
/// most as long as the first answer, all of them as the second. Nanoseconds.
pub fn ways(sent: &[Sent], firsts: &Firsts, begun: u64, ended: u64, sort: impl Fn(Sort) -> bool) -> (u64, u64) {
    let mut ways = Vec::new();
    for event in sent {
        let Some(accepted) = event.accepted.filter(|at| (begun..ended).contains(at)) else { continue };
        for (index, _) in SORTS.iter().enumerate().filter(|(_, kind)| sort(**kind)) {
            if let Some(first) = firsts.get(&(webhook(event, index), event.number)) {
                ways.push(first.saturating_sub(accepted));
            }
        }
    }
    ways.sort_unstable();
    (ways.get(ways.len() / 2).copied().unwrap_or_default(), ways.last().copied().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ORDERED: usize = 2;
    const LIMITED: usize = 4;

    fn sent(number: u64, accepted: Option<u64>) -> Sent {
        Sent { instance: 0, number, intended: 0, accepted, duplicate: false, id: String::new(), failures: Vec::new() }
    }

    fn arrival(webhook: usize, number: u64, at: u64, acknowledged: bool) -> Arrival {
        Arrival { at, webhook, number, acknowledged }
    }

    #[test]
    fn what_was_accepted_and_never_acknowledged_is_lost() {
        let all = [sent(0, Some(1)), sent(1, None)];
        let arrivals: Vec<_> = (0..4).map(|webhook| arrival(webhook, 0, 5, webhook != 3)).collect();
        let lost: Vec<_> =
            lost(&all, &firsts(&arrivals)).iter().map(|lost| (lost.webhook, lost.event.number)).collect();
        assert_eq!(lost, [(3, 0), (4, 0)]);
    }

    #[test]
    fn a_request_after_the_acknowledgement_is_a_repetition_and_a_retry_is_none() {
        let arrivals =
            [arrival(0, 7, 1, false), arrival(0, 7, 2, true), arrival(0, 7, 9, true), arrival(1, 7, 9, true)];
        let expected = Repeat { webhook: 0, number: 7, first: 2, again: 9 };
        assert_eq!(repeats(&arrivals, &firsts(&arrivals)), [expected]);
    }

    #[test]
    fn an_event_before_an_unacknowledged_one_of_its_chat_is_out_of_order() {
        // Two chats: even and odd numbers; 4 was never accepted and is not waited for.
        let all = [sent(0, Some(1)), sent(2, Some(2)), sent(4, None), sent(6, Some(3)), sent(1, Some(1))];
        let arrivals = [
            arrival(ORDERED, 0, 1, false),
            arrival(ORDERED, 1, 2, true),
            arrival(ORDERED, 2, 3, true),
            arrival(ORDERED, 0, 4, true),
            arrival(ORDERED, 6, 5, true),
            arrival(ORDERED, 2, 6, true),
            // The same at a webhook that is not ordered.
            arrival(0, 6, 7, true),
            arrival(0, 0, 8, true),
        ];
        let swap = Swap { webhook: ORDERED, number: 2, behind: 0, at: 3 };
        assert_eq!(out_of_order(&all, &arrivals, 2), [swap]);
    }

    #[test]
    fn the_fullest_window_may_begin_at_any_request() {
        let at = [0, 1_900, 2_000, 2_100, 3_899, 3_900];
        let arrivals: Vec<_> =
            (0..).zip(at).map(|(number, at)| arrival(LIMITED, number, at * 1_000_000, true)).collect();
        let expected = Window { webhook: LIMITED, requests: 4, begins: 1_900_000_000 };
        assert_eq!(worst_window(&arrivals, 2_000), expected);
        assert_eq!(worst_window(&arrivals, 500).requests, 3);
    }

    #[test]
    fn a_silence_lasts_until_the_next_acknowledgement_or_the_end_of_the_phase() {
        let at = |times: &[u64]| (0..).zip(times).map(|(number, at)| ((0, number), *at)).collect::<Firsts>();
        assert_eq!(longest_silence(&at(&[5, 12, 30, 31, 33]), 1, 10, 50), (18, 0));
        assert_eq!(longest_silence(&at(&[5, 12, 30]), 1, 10, 20), (8, 0));
        assert_eq!(longest_silence(&at(&[]), 1, 10, 20), (10, 0));
    }
}
