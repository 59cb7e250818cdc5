//! The receivers of the demo: one for each webhook of an instance, the last one failing, the one before it slow.

use std::io;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use hdrhistogram::Histogram;
use parking_lot::Mutex;
use serde_json::{Value, json};

use crate::commands::listen::{Ledger, Receipt, Receiver, ReceiverConfig, Script};
use crate::domain::EventId;

/// Milliseconds from acceptance to arrival.
pub type Latency = Arc<Mutex<Histogram<u64>>>;

/// A receiver with a name and a part to play.
#[derive(Debug)]
pub struct Station {
    pub name: String,
    pub receiver: Receiver,
    /// Of first attempts: waiting for a retry is the schedule's doing.
    pub latency: Latency,
    /// More fields of its webhooks.
    pub webhook: Value,
}

/// Name, behaviour and webhook fields of station `index` of `count`.
fn part(index: usize, count: usize) -> (String, Script, Value) {
    match count - index {
        1 if count >= 2 => {
            let script = Script { fail_rate: 0.2, ..Script::default() };
            // Short, so that the demo ends; ten attempts at a fifth failing miss once in ten million.
            let retry = json!({ "retry": { "scheduleSeconds": [1, 1, 1, 1, 1, 2, 2, 2, 2], "giveUpStatus": [] } });
            ("failing".to_owned(), script, retry)
        }
        2 if count >= 3 => {
            ("slow".to_owned(), Script { delay: Duration::from_millis(150), ..Script::default() }, json!({}))
        }
        _ => (format!("steady-{}", index + 1), Script::default(), json!({})),
    }
}

/// # Errors
/// When no port is free.
pub async fn open(count: usize, ledger: &Arc<Ledger>) -> io::Result<Vec<Station>> {
    let mut stations = Vec::with_capacity(count);
    for index in 0..count {
        let (name, script, webhook) = part(index, count);
        let latency: Latency =
            Arc::new(Mutex::new(Histogram::new_with_bounds(1, 3_600_000, 3).expect("the bounds are valid")));
        let record = Arc::clone(&latency);
        let config = ReceiverConfig {
            script,
            seed: index as u64,
            ledger: Some(Arc::clone(ledger)),
            watcher: Some(Arc::new(move |receipt: &Receipt| record_latency(receipt, &record))),
            ..ReceiverConfig::default()
        };
        let receiver = Receiver::start((Ipv4Addr::LOCALHOST, 0).into(), config).await?;
        stations.push(Station { name, receiver, latency, webhook });
    }
    Ok(stations)
}

fn record_latency(receipt: &Receipt, latency: &Mutex<Histogram<u64>>) {
    if receipt.attempt <= 1
        && let Ok(id) = receipt.webhook_id.parse::<EventId>()
    {
        latency.lock().saturating_record(receipt.at.since(id.timestamp()).as_millis() as u64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_depend_on_how_many_there_are() {
        let names = |count| (0..count).map(|index| part(index, count).0).collect::<Vec<_>>();
        assert_eq!(names(1), ["steady-1"]);
        assert_eq!(names(2), ["steady-1", "failing"]);
        assert_eq!(names(4), ["steady-1", "steady-2", "slow", "failing"]);
    }
}
