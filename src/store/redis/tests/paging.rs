//! A lane read in pages while it changes.

use super::*;
use crate::domain::LaneClass;

/// What is in flight is settled while the lane is read on: nothing may be passed by.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lane_that_is_read_on_while_it_is_settled_shows_every_entry() {
    const MANY: u128 = 3_000;
    let house = Tenancy::new();
    let store = house.enter().await;
    for round in 0..4 {
        // All due in one millisecond.
        let ids: Vec<_> = (0..MANY).map(|n| event_id(round, n)).collect();
        let batch = ids.iter().map(|id| append(event(*id), &[entry(webhook(1), *id)]));
        store.append(batch.collect()).await.unwrap();
        let (mut seen, mut settling, mut after) = (Vec::new(), Vec::new(), None);
        loop {
            let query = LaneQuery { limit: 256, after, ..part(webhook(1), LaneClass::Live) };
            let page = store.lane(query).await.unwrap();
            let Some(last) = page.last() else { break };
            after = Some((last.due, last.event));
            seen.extend(page.iter().map(|entry| entry.event));
            let store = Arc::clone(&store);
            settling.push(tokio::spawn(async move {
                let done = page.into_iter().map(|entry| settle(entry, Next::Delivered)).collect();
                store.settle(done).await.unwrap();
            }));
        }
        assert_eq!(seen.len(), ids.len(), "round {round}");
        futures_util::future::join_all(settling).await;
    }
    assert_eq!(store.count_lane(webhook(1)).await.unwrap().unfinished(), 0);
}
