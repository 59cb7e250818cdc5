//! The contract on the embedded store, and what only a store in a folder can do wrong.

mod crash;
mod memory_only;
mod model;
mod whole;

use std::path::{Path, PathBuf};

use futures_util::future::BoxFuture;
use parking_lot::Mutex;

use super::*;
use crate::domain::LaneClass;
use crate::store::contract::fixtures::{
    HOUR, a_week, append, appended, at, attempt, entry, event, event_id, part, retained, settle, webhook,
};
use crate::store::contract::{Ending, House};
use crate::store::{LaneQuery, Next};

/// A folder that is copied as it stands when the process is to be killed: what was handed to the system is in the copy.
struct Folders {
    root: tempfile::TempDir,
    current: Mutex<u32>,
}

impl Folders {
    fn new() -> Self {
        Self { root: tempfile::tempdir().unwrap(), current: Mutex::new(0) }
    }

    fn path(&self) -> PathBuf {
        self.root.path().join(self.current.lock().to_string())
    }
}

/// Small and without syncs: the tests are about logic, and about a killed process rather than a loss of power.
fn config(path: &Path) -> EmbeddedConfig {
    let small = EmbeddedConfig { archive_log_bytes: 256, ..EmbeddedConfig::new(path) };
    EmbeddedConfig { durability: Durability::Os, reserve_bytes: 0, ..small }
}

/// As it stood at one moment: a thread of its own makes new files of old ones in the archive.
fn copy_at_rest(from: &Path, to: &Path) {
    let names = || {
        let items = std::fs::read_dir(from.join("archive")).unwrap();
        let mut names: Vec<_> = items.map(|item| item.unwrap().file_name()).collect();
        names.sort();
        names
    };
    loop {
        let before = names();
        drop(std::fs::remove_dir_all(to));
        if copy(from, to).is_ok() && names() == before {
            return;
        }
    }
}

fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(to)?;
    for item in std::fs::read_dir(from)? {
        let item = item?;
        let target = to.join(item.file_name());
        if item.file_type()?.is_dir() {
            copy(&item.path(), &target)?;
        } else {
            std::fs::copy(item.path(), target)?;
        }
    }
    Ok(())
}

impl House for Folders {
    fn open(&self) -> BoxFuture<'_, Arc<dyn Store>> {
        async { Arc::new(EmbeddedStore::open(config(&self.path())).unwrap()) as Arc<dyn Store> }.boxed()
    }

    fn reopen(&self, store: Arc<dyn Store>, ending: Ending) -> BoxFuture<'_, Arc<dyn Store>> {
        async move {
            match ending {
                Ending::Closed => store.close().await.unwrap(),
                Ending::Killed => {
                    let from = self.path();
                    *self.current.lock() += 1;
                    copy_at_rest(&from, &self.path());
                    store.close().await.unwrap();
                }
            }
            drop(store);
            let opened = EmbeddedStore::open(config(&self.path())).unwrap();
            assert_eq!(opened.recovery().unclean, ending == Ending::Killed);
            Arc::new(opened) as Arc<dyn Store>
        }
        .boxed()
    }
}

mod contract {
    use super::Folders;
    crate::contract_suite!(Folders::new());
}

#[tokio::test]
async fn the_report_of_recovery_tells_what_was_found() {
    let house = Folders::new();
    let store = house.open().await;
    let kept = appended(&*store, webhook(1), event_id(0, 1)).await;
    let dead = appended(&*store, webhook(2), event_id(7, 2)).await;
    store.settle(vec![settle(dead, Next::Dead(crate::domain::DeadReason::Gone))]).await.unwrap();
    let store = house.reopen(store, Ending::Killed).await;
    let report = store.recovery();
    assert_eq!((report.unfinished, report.dead, report.lanes, report.unclean), (1, 1, 1, true));
    assert_eq!(report.last_event, Some(dead.event));
    let store = house.reopen(store, Ending::Closed).await;
    assert!(!store.recovery().unclean);
    assert_eq!(store.lane(part(webhook(1), kept.class)).await.unwrap(), [kept]);
}

#[tokio::test]
async fn a_second_process_is_kept_out() {
    let folder = tempfile::tempdir().unwrap();
    let store = EmbeddedStore::open(config(folder.path())).unwrap();
    assert!(matches!(EmbeddedStore::open(config(folder.path())), Err(StoreError::Locked(_))));
    store.close().await.unwrap();
    EmbeddedStore::open(config(folder.path())).unwrap();
}

#[tokio::test]
async fn a_newer_format_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let store = EmbeddedStore::open(config(folder.path())).unwrap();
    store.shared.tables().unwrap().meta.insert("format", "4").unwrap();
    store.close().await.unwrap();
    for _ in 0..2 {
        assert!(matches!(EmbeddedStore::open(config(folder.path())), Err(StoreError::NewerFormat(_))));
    }
}

#[tokio::test]
async fn a_damaged_file_is_named_and_nothing_is_reset() {
    let folder = tempfile::tempdir().unwrap();
    let store = EmbeddedStore::open(config(folder.path())).unwrap();
    appended(&store, webhook(1), event_id(0, 1)).await;
    store.close().await.unwrap();
    let marker = folder.path().join("store/version");
    std::fs::write(&marker, b"garbage").unwrap();
    let error = EmbeddedStore::open(config(folder.path())).unwrap_err();
    assert!(matches!(error, StoreError::Corrupt(_)), "{error}");
    assert_eq!(std::fs::read(marker).unwrap(), b"garbage");
}

#[tokio::test]
async fn a_disk_with_nothing_but_its_reserve_takes_settlements_and_no_events() {
    let folder = tempfile::tempdir().unwrap();
    let store = EmbeddedStore::open(config(folder.path())).unwrap();
    let waiting = appended(&store, webhook(1), event_id(0, 1)).await;
    store.close().await.unwrap();
    let short = EmbeddedConfig { reserve_bytes: u64::MAX, ..config(folder.path()) };
    let store = EmbeddedStore::open(short).unwrap();
    let refused = event_id(0, 2);
    let answer = store.append(vec![append(event(refused), &[entry(webhook(1), refused)])]).await;
    assert!(matches!(answer, Err(StoreError::Full(_))), "{answer:?}");
    assert!(matches!(store.check().await, Err(StoreError::Full(_))));
    store.settle(vec![settle(waiting, Next::Delivered)]).await.unwrap();
    assert_eq!(store.lane_counts(webhook(1)).unfinished(), 0);
}

#[tokio::test]
async fn concurrent_appends_share_a_sync_and_settlements_alone_need_none() {
    let folder = tempfile::tempdir().unwrap();
    let synced = EmbeddedConfig { durability: Durability::Fsync, ..config(folder.path()) };
    let store = EmbeddedStore::open(synced).unwrap();
    let ids: Vec<_> = (0..200).map(|n| event_id(0, n)).collect();
    futures_util::future::join_all(ids.iter().map(|id| appended(&store, webhook(1), *id))).await;
    let stats = store.stats();
    assert!(stats.fsyncs > 0 && stats.fsyncs < 100, "{stats:?}");
    assert_eq!(stats.commits, stats.fsyncs);
    let settlement = vec![settle(entry(webhook(1), ids[0]), Next::Delivered)];
    store.settle(settlement).await.unwrap();
    assert_eq!(store.stats().fsyncs, stats.fsyncs);
    store.flush().await.unwrap();
    assert_eq!(store.stats().fsyncs, stats.fsyncs + 1);
}

/// Less only after a kill (see `marks`).
#[tokio::test]
async fn the_size_of_the_history_is_right_after_a_close() {
    let folder = tempfile::tempdir().unwrap();
    for round in 0..2 {
        let store = EmbeddedStore::open(config(folder.path())).unwrap();
        for n in 0..30 {
            let waiting = appended(&store, webhook(1), event_id(round, n)).await;
            store.settle(vec![settle(waiting, Next::Delivered)]).await.unwrap();
        }
        store.close().await.unwrap();
        drop(store);
        let store = EmbeddedStore::open(config(folder.path())).unwrap();
        let tables = store.shared.tables().unwrap();
        let all = tables.events.iter().chain(tables.history.iter());
        let bytes: usize =
            all.map(|guard| guard.into_inner().unwrap()).map(|(key, value)| key.len() + value.len()).sum();
        assert_eq!(super::marks::Marks::read(&tables).unwrap().history_bytes, bytes as u64);
        drop(tables);
        store.close().await.unwrap();
    }
}

#[tokio::test]
async fn a_page_is_read_from_where_the_last_one_ended_across_equal_dues() {
    let folder = tempfile::tempdir().unwrap();
    let store = EmbeddedStore::open(config(folder.path())).unwrap();
    for n in 0..3 {
        appended(&store, webhook(1), event_id(5, n)).await;
    }
    let after = LaneQuery { after: Some((at(5), event_id(5, 1))), ..part(webhook(1), crate::domain::LaneClass::Live) };
    assert_eq!(store.lane(after).await.unwrap(), [entry(webhook(1), event_id(5, 2))]);
}

/// A lane is read on from the last place seen: an entry that shows up before that place later on is never read.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_read_during_a_commit_shows_all_of_the_commit_or_nothing() {
    const COMMITS: u128 = 60;
    const EVENTS: u128 = 400;
    let house = Folders::new();
    let store = house.open().await;
    let writer = tokio::spawn({
        let store = Arc::clone(&store);
        async move {
            for first in (0..COMMITS).map(|commit| commit * EVENTS) {
                let batch = (first..first + EVENTS).map(|number| {
                    let id = event_id(0, number);
                    append(event(id), &[entry(webhook(1), id)])
                });
                store.append(batch.collect()).await.unwrap();
            }
        }
    });
    let (mut after, mut read) = (None, 0);
    while read < COMMITS * EVENTS {
        let over = writer.is_finished();
        let query = LaneQuery { after, limit: 256, ..part(webhook(1), crate::domain::LaneClass::Live) };
        let page = store.lane(query).await.unwrap();
        for entry in &page {
            assert_eq!(entry.event, event_id(0, read), "an entry was passed over");
            read += 1;
            after = Some((entry.due, entry.event));
        }
        assert!(!(over && page.is_empty()), "only {read} entries were read");
    }
    writer.await.unwrap();
}

/// The archive is written first, then the tables: a kill in between must not deliver again what is told to be delivered.
#[tokio::test]
async fn what_the_archive_tells_to_be_delivered_waits_no_more() {
    let house = Folders::new();
    let store = EmbeddedStore::open(config(&house.path())).unwrap();
    let with_row = appended(&store, webhook(1), event_id(0, 1)).await;
    let waits = appended(&store, webhook(1), event_id(0, 2)).await;
    appended(&store, webhook(2), event_id(5_000, 3)).await;
    let in_memory = appended(&store, webhook(1), event_id(9_000, 4)).await;
    let tables = store.shared.tables().unwrap();
    assert!(tables.lanes.contains_key(super::keys::lane(&with_row)).unwrap(), "it was written when a newer ones came");
    let mut frame = archive::Frame::default();
    for entry in [with_row, in_memory] {
        let attempt = Some(attempt(1, true));
        let row = rows::HistoryRow { kind: entry.kind, at: at(1), standing: rows::Standing::Delivered, attempt };
        frame.add((entry.webhook, entry.event), &row).unwrap();
    }
    tables.archive.append(frame).unwrap();
    drop(tables);
    let store = house.reopen(Arc::new(store), Ending::Killed).await;
    assert_eq!(store.lane(part(webhook(1), waits.class)).await.unwrap(), [waits]);
    assert_eq!((store.unfinished(), store.recovery().unfinished), (2, 2));
    let query = DeliveryQuery { webhook: webhook(1), status: None, kind: None, before: None, limit: 9 };
    let listed = store.deliveries(query).await.unwrap();
    let told: Vec<_> = listed.iter().map(|delivery| (delivery.event, delivery.status)).collect();
    let (delivered, pending) = (DeliveryStatus::Delivered, DeliveryStatus::Pending);
    assert_eq!(told, [(in_memory.event, delivered), (waits.event, pending), (with_row.event, delivered)]);
}

/// Its table still says that it waits: what it waited as was told there, and that it was delivered is told by the archive.
#[tokio::test]
async fn an_event_that_was_set_aside_and_came_back_goes_when_it_is_old() {
    let house = Folders::new();
    let store = house.open().await;
    let waiting = appended(&*store, webhook(1), event_id(0, 1)).await;
    let parked = LaneEntry { class: LaneClass::Parked, ..waiting };
    for (from, to) in [(waiting, parked), (parked, waiting)] {
        store.settle(vec![Settle { attempt: None, ..settle(from, Next::Move(to)) }]).await.unwrap();
    }
    let after = at(8 * 24 * HOUR);
    let week = a_week();
    assert_eq!(retained(&*store, after, week).await.events, 0, "it waits");
    store.settle(vec![settle(waiting, Next::Delivered)]).await.unwrap();
    let timeline = store.timeline(webhook(1), waiting.event).await.unwrap().unwrap();
    assert_eq!(timeline.delivery.unwrap().status, DeliveryStatus::Delivered);
    let after = at(8 * 24 * HOUR + 2 * HOUR);
    assert_eq!(retained(&*store, after, week).await.events, 1);
}
