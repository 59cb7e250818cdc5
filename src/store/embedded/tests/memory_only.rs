//! Entries that are in memory only, written late, or found again after a crash: what waits is always the same.

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::domain::{DeadReason, EventId, LaneClass, LaneEntry};
use crate::store::Retention;

#[derive(Clone, Debug)]
enum Step {
    /// So many events, so many milliseconds after the one before.
    Append {
        events: usize,
        later_ms: u64,
    },
    Settle {
        which: usize,
        next: u8,
    },
    /// Dead letters expire, and their history with them.
    Expire,
    Kill,
    Close,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (1..4usize, 0..700u64).prop_map(|(events, later_ms)| Step::Append { events, later_ms }),
        6 => (any::<usize>(), 0..4u8).prop_map(|(which, next)| Step::Settle { which, next }),
        1 => Just(Step::Expire),
        1 => Just(Step::Kill),
        1 => Just(Step::Close),
    ]
}

struct World {
    house: Folders,
    store: Arc<dyn Store>,
    waiting: Vec<LaneEntry>,
    now: u64,
    number: u128,
}

impl World {
    async fn append(&mut self, events: usize) {
        let ids: Vec<_> = (0..events).map(|n| event_id(self.now, self.number + n as u128)).collect();
        self.number += events as u128;
        let entries = |id: EventId| [1, 2].map(|hook| entry(webhook(hook), id));
        let batch = ids.iter().map(|id| append(event(*id), &entries(*id)));
        self.store.append(batch.collect()).await.unwrap();
        self.waiting.extend(ids.into_iter().flat_map(entries));
    }

    async fn settle(&mut self, which: usize, next: u8) {
        if self.waiting.is_empty() {
            return;
        }
        let entry = self.waiting.remove(which % self.waiting.len());
        let retry =
            LaneEntry { class: LaneClass::Retry, due: entry.due.after(Duration::from_secs(9)), attempts: 1, ..entry };
        let next = match next {
            0 if entry.attempts == 0 => Next::Move(retry),
            1 => Next::Dead(DeadReason::Gone),
            _ => Next::Delivered,
        };
        if let Next::Move(moved) = next {
            self.waiting.push(moved);
        }
        self.store.settle(vec![settle(entry, next)]).await.unwrap();
    }

    async fn expire(&self) {
        let day = Duration::from_hours(24);
        let retention =
            Retention { history: day * 99, history_max_bytes: u64::MAX, dead: Duration::ZERO, messages: day * 99 };
        while self.store.retain(at(self.now).after(Duration::from_mins(1)), retention).await.unwrap().more {}
    }

    async fn reopen(&mut self, ending: Ending) {
        let store = Arc::clone(&self.store);
        self.store = Arc::new(crate::store::memory::MemoryStore::new());
        self.store = self.house.reopen(store, ending).await;
    }

    async fn compare(&self) {
        for hook in [1, 2].map(webhook) {
            let expected = |class| {
                let mut part: Vec<_> =
                    self.waiting.iter().filter(|e| e.webhook_id() == hook && e.class == class).copied().collect();
                part.sort_by_key(|entry| (entry.due, entry.event));
                part
            };
            for class in [LaneClass::Live, LaneClass::Retry] {
                let all = LaneQuery { limit: 10_000, ..part(hook, class) };
                assert_eq!(self.store.lane(all).await.unwrap(), expected(class), "{class:?}");
            }
            let counts = self.store.lane_counts(hook);
            assert_eq!(counts.unfinished() as usize, self.waiting.iter().filter(|e| e.webhook_id() == hook).count());
            // In pages, too.
            let (mut paged, mut after) = (Vec::new(), None);
            loop {
                let page = self.store.lane(LaneQuery { limit: 2, after, ..part(hook, LaneClass::Live) }).await.unwrap();
                let Some(last) = page.last() else { break };
                after = Some((last.due, last.event));
                paged.extend(page);
            }
            assert_eq!(paged, expected(LaneClass::Live));
        }
    }
}

async fn run(steps: Vec<Step>) {
    let house = Folders::new();
    let store = house.open().await;
    let mut world = World { house, store, waiting: Vec::new(), now: 0, number: 1 };
    for step in steps {
        match step {
            Step::Append { events, later_ms } => {
                world.now += later_ms;
                world.append(events).await;
            }
            Step::Settle { which, next } => world.settle(which, next).await,
            Step::Expire => world.expire().await,
            Step::Kill => world.reopen(Ending::Killed).await,
            Step::Close => world.reopen(Ending::Closed).await,
        }
        world.compare().await;
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, max_shrink_iters: 100, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_waits_is_the_same_wherever_it_is_kept(steps in prop::collection::vec(step(), 1..60)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(run(steps));
    }
}

#[tokio::test]
async fn a_folder_of_the_format_before_is_taken_over() {
    let house = Folders::new();
    let store = EmbeddedStore::open(config(&house.path())).unwrap();
    // As the version before left it: a row for every entry, and no floor.
    let waiting = appended(&store, webhook(1), event_id(0, 1)).await;
    appended(&store, webhook(1), event_id(5_000, 2)).await;
    appended(&store, webhook(1), event_id(9_000, 3)).await;
    let tables = store.shared.tables().unwrap();
    assert!(tables.lanes.contains_key(super::keys::lane(&waiting)).unwrap(), "it was written when newer ones came");
    tables.meta.remove("floor").unwrap();
    tables.meta.insert("format", "1").unwrap();
    drop(tables);
    store.close().await.unwrap();
    drop(store);
    let store = EmbeddedStore::open(config(&house.path())).unwrap();
    assert!(store.lane(part(webhook(1), LaneClass::Live)).await.unwrap().contains(&waiting));
    assert_eq!(&*store.shared.tables().unwrap().meta.get("format").unwrap().unwrap(), b"3");
}

/// What of the archive is not synced holds the floor back, but never to before where it was: after a kill all events since would be
/// looked through.
#[tokio::test]
async fn the_floor_on_disk_does_not_go_back() {
    let house = Folders::new();
    let open =
        || EmbeddedStore::open(EmbeddedConfig { durability: Durability::Fsync, ..config(&house.path()) }).unwrap();
    let floor_on_disk =
        |store: &EmbeddedStore| super::marks::Marks::read(&store.shared.tables().unwrap()).unwrap().floor;
    let mut last = None;
    for round in 0..3 {
        let store = open();
        assert!(floor_on_disk(&store) >= last);
        last = floor_on_disk(&store);
        for number in 0..3 {
            let waiting = appended(&store, webhook(1), event_id(round * 10_000, number)).await;
            store.settle(vec![settle(waiting, Next::Delivered)]).await.unwrap();
            assert!(floor_on_disk(&store) >= last, "in round {round}");
        }
        store.close().await.unwrap();
    }
    assert!(last >= Some(event_id(10_000, 0)), "{last:?}");
}
