//! Questions to the ledger, over HTTP.

use std::cell::RefCell;
use std::rc::Rc;

use serde::{Deserialize, Serialize};
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};

use super::ledger::Ledger;
use super::serve::Inbox;
use crate::latency::Latency;
use crate::plan::Refused;
use crate::wire::Request;

#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Progress {
    /// First acknowledgements, over all webhooks.
    pub delivered: u64,
    pub requests: u64,
}

/// What must have arrived. Webhook `k` of instance `i` has the index `i * must_deliver.len() + k`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Expected {
    /// For each webhook of an instance.
    pub must_deliver: Vec<bool>,
    /// Numbers given out, for each instance.
    pub sent: Vec<u64>,
    pub refused: Vec<Refused>,
}

#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize, PartialEq, Eq)]
pub struct Verdict {
    pub lost: u64,
    pub repeated: u64,
    /// Delivered although it was refused or never sent.
    pub unexpected: u64,
    pub out_of_order: u64,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ClassReport {
    pub acknowledged: u64,
    pub refused: u64,
    pub latency: Latency,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Report {
    pub classes: Vec<ClassReport>,
    pub delivered: u64,
    pub requests: u64,
    pub body_bytes: u64,
    pub unsigned: u64,
    pub strange: u64,
    pub last_arrival: u64,
}

pub async fn listen(listener: TcpListener, ledger: Rc<RefCell<Ledger>>) {
    while let Ok((stream, _)) = listener.accept().await {
        let ledger = Rc::clone(&ledger);
        tokio::task::spawn_local(async move {
            // Whoever asked sees a closed connection.
            let _ended = answer(stream, &ledger).await;
        });
    }
}

async fn answer(mut io: TcpStream, ledger: &RefCell<Ledger>) -> anyhow::Result<()> {
    io.set_nodelay(true)?;
    let mut inbox = Inbox::new();
    loop {
        let (body, taken) = loop {
            let pending = inbox.pending();
            if !pending.is_empty()
                && let Some(request) = Request::parse(pending)?
                && pending.len() >= request.head_bytes + request.body_bytes
            {
                let total = request.head_bytes + request.body_bytes;
                let ledger = &ledger.borrow();
                let body = match request.path {
                    "/progress" => {
                        serde_json::to_vec(&Progress { delivered: ledger.delivered, requests: ledger.requests })?
                    }
                    "/verify" => {
                        let expected = serde_json::from_slice(&pending[request.head_bytes..total])?;
                        serde_json::to_vec(&verify(ledger, &expected))?
                    }
                    _ => serde_json::to_vec(&report(ledger))?,
                };
                break (body, total);
            }
            if !inbox.fill(&mut io).await? {
                return Ok(());
            }
        };
        inbox.take(taken);
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
        io.write_all(&[head.as_bytes(), &body].concat()).await?;
    }
}

fn verify(ledger: &Ledger, expected: &Expected) -> Verdict {
    let mut verdict = Verdict::default();
    for page in ledger.pages() {
        verdict.repeated += page.repeated;
        verdict.out_of_order += page.out_of_order;
    }
    let webhooks = expected.must_deliver.len();
    let page_of = |instance: usize, webhook: usize| ledger.page(instance * webhooks + webhook);
    let mut refused = vec![0_u64; expected.sent.len()];
    let mut unexpected = vec![0_u64; expected.sent.len() * webhooks];
    for range in &expected.refused {
        refused[range.instance] += range.count;
        for webhook in 0..webhooks {
            let numbers = range.first..range.first + range.count;
            let page = page_of(range.instance, webhook);
            let found = numbers.filter(|number| page.is_some_and(|page| page.has(*number))).count();
            unexpected[range.instance * webhooks + webhook] += found as u64;
        }
    }
    for (instance, sent) in expected.sent.iter().enumerate() {
        for (webhook, must_deliver) in expected.must_deliver.iter().enumerate() {
            let wrong = unexpected[instance * webhooks + webhook];
            let arrived = page_of(instance, webhook).map_or(0, |page| page.count) - wrong;
            let owed = sent - refused[instance];
            verdict.unexpected += wrong + arrived.saturating_sub(owed);
            verdict.lost += if *must_deliver { owed.saturating_sub(arrived) } else { 0 };
        }
    }
    verdict
}

fn report(ledger: &Ledger) -> Report {
    let classes = ledger.classes.iter().map(|class| ClassReport {
        acknowledged: class.acknowledged,
        refused: class.refused,
        latency: Latency::of(&class.latency),
    });
    Report {
        classes: classes.collect(),
        delivered: ledger.delivered,
        requests: ledger.requests,
        body_bytes: ledger.body_bytes,
        unsigned: ledger.unsigned,
        strange: ledger.strange,
        last_arrival: ledger.last_arrival,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::marker::Marker;

    #[test]
    fn lost_repeated_and_unexpected_are_told_apart() {
        let mut ledger = Ledger::new(1, false);
        let mut arrive = |webhook, numbers: &[u64]| {
            for number in numbers {
                let marker = Marker { measured: false, chat: 0, number: *number, intended: 0 };
                ledger.acknowledge(0, webhook, &marker, 1);
            }
        };
        // Of instance 0 the number 2 was refused; of instance 1 everything was taken.
        arrive(0, &[0, 1, 2, 3, 3]);
        arrive(2, &[0]);
        let refused = vec![Refused { instance: 0, first: 2, count: 1, status: 429 }];
        let expected = Expected { must_deliver: vec![true, false], sent: vec![4, 2], refused };
        let verdict = verify(&ledger, &expected);
        assert_eq!(verdict, Verdict { lost: 1, repeated: 1, unexpected: 1, out_of_order: 0 });
    }
}
