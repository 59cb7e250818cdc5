//! P7: memory stays flat over rounds of traffic, with hundreds of instances active (a leak at 79 instances is known from
//! elsewhere).

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use pombo::commands::listen::{Ledger, Receiver, ReceiverConfig};
use serde_json::json;

use crate::support::deadline::until_true;
use crate::support::pombo::Setup;

const INSTANCES: usize = 300;
const WEBHOOKS: usize = 3;
const ROUNDS: usize = 30;
const EVENTS_EACH: usize = 10;
/// Rounds in which pools, tables and the allocator grow to their working size.
const WARM_UP: usize = 15;
const ALLOWED_GROWTH: f64 = 1.10;

fn batch(instance: usize, round: usize) -> String {
    (0..EVENTS_EACH).fold(String::new(), |mut lines, number| {
        let text = "x".repeat(500);
        writeln!(
            lines,
            r#"{{"event":"messages.upsert","id":"{round}-{number}","data":{{"messageId":"{instance}-{round}-{number}","keyRemoteJid":"{number}@s.whatsapp.net","content":{{"text":"{text}"}}}}}}"#
        )
        .expect("a String takes everything");
        lines
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_is_flat_over_rounds_of_traffic_with_nine_hundred_active_webhooks() {
    let pombo = Setup::default().set("POMBO_DURABILITY", "os").start().await;
    let mut api = pombo.api();
    let ledger = Arc::new(Ledger::default());
    let config = ReceiverConfig { ledger: Some(Arc::clone(&ledger)), ..ReceiverConfig::default() };
    let receiver = Receiver::start(([127, 0, 0, 1], 0).into(), config).await.expect("a free port");
    let business = api.business("Acme").await;
    // Few connections, so that what is measured is not mostly their buffers.
    let narrow = json!({ "concurrency": 2 });
    for instance in 0..INSTANCES {
        let name = api.instance(&business, &format!("shop-{instance}")).await;
        for webhook in 0..WEBHOOKS {
            api.webhook(&name, &receiver.url(&format!("/{instance}/{webhook}")), &narrow).await;
        }
    }
    let (before_kib, files_before) = (pombo.rss_kib(), pombo.open_files());
    let (mut memory, mut files) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        for instance in 0..INSTANCES {
            api.events(&format!("shop-{instance}"), batch(instance, round)).await;
        }
        let owed = ((round + 1) * INSTANCES * WEBHOOKS * EVENTS_EACH) as u64;
        until_true("the round is delivered", Duration::from_secs(30), async || {
            let totals = ledger.totals();
            (totals == (owed, 0), (totals, owed))
        })
        .await;
        memory.push(pombo.rss_kib());
        files.push(pombo.open_files());
    }
    eprintln!("resident KiB {before_kib}, then by round {memory:?}; open files {files_before}, then {files:?}");
    let measured = &memory[WARM_UP..];
    let (early, late) = measured.split_at(measured.len() / 2);
    let (early, late) = (median(early), median(late));
    assert!(late as f64 <= early as f64 * ALLOWED_GROWTH, "resident KiB, round by round: {memory:?}");
    let bound = files_before + INSTANCES * WEBHOOKS * 2 + 64;
    assert!(files.iter().all(|files| *files <= bound), "open files, round by round: {files:?}, at most {bound}");
}

fn median(rounds: &[u64]) -> u64 {
    let mut rounds = rounds.to_vec();
    rounds.sort_unstable();
    rounds[rounds.len() / 2]
}
