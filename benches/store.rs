//! The embedded store: which library carries it, and what the whole of it does.
//!
//! The candidates do the store's pattern without the store: a commit of new bodies with one lane key each, then a commit that removes
//! the lane keys and writes one history row each. Appends are synced. Settlements must survive a `kill -9`, no more: fjall hands
//! them to the system; redb has nothing between a sync and memory, so it syncs.
//!
//! After criterion's medians a report is printed: tails of a commit, size on disk, time to open after an unclean end.
//! `cargo bench --bench store` for all; `-- --report-only` for the report alone; `POMBO_BENCH_ENTRIES` lowers its million entries.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, Throughput};
use hdrhistogram::Histogram;
use pombo::domain::{
    Attempt, AttemptOrigin, Event, EventId, EventIds, EventKind, InstanceId, LaneClass, LaneEntry, Outcome, Phases,
    Timestamp, WaitReason,
};
use pombo::store::embedded::{EmbeddedConfig, EmbeddedStore};
use pombo::store::{Append, Next, Settle, Store};
use redb::ReadableDatabase as _;

const BODY: usize = 700;
const ROW: usize = 64;
const GROUPS: [usize; 2] = [64, 512];

/// The tables of the pattern.
#[derive(Clone, Copy)]
enum Table {
    Bodies,
    Lanes,
    History,
}

type Write = (Table, Vec<u8>, Option<Vec<u8>>);

/// A library that could carry the store.
trait Candidate: Sized {
    const NAME: &'static str;
    fn open(folder: &Path) -> Self;
    fn commit(&self, writes: Vec<Write>, synced: bool);
    /// Lane keys: what a store must read when it opens.
    fn count_lanes(&self) -> usize;
}

struct Fjall {
    db: fjall::Database,
    tables: [fjall::Keyspace; 3],
}

impl Candidate for Fjall {
    const NAME: &'static str = "fjall";

    fn open(folder: &Path) -> Self {
        let db = fjall::Database::builder(folder)
            .cache_size(16 << 20)
            .max_journaling_size(64 << 20)
            .worker_threads(2)
            .open()
            .expect("fjall opens");
        let table = |name, mebibytes: u64| {
            db.keyspace(name, || fjall::KeyspaceCreateOptions::default().max_memtable_size(mebibytes << 20))
                .expect("a table")
        };
        Self { tables: [table("bodies", 16), table("lanes", 8), table("history", 8)], db }
    }

    fn commit(&self, writes: Vec<Write>, synced: bool) {
        let mode = if synced { fjall::PersistMode::SyncData } else { fjall::PersistMode::Buffer };
        let mut batch = self.db.batch().durability(Some(mode));
        for (table, key, value) in writes {
            match value {
                Some(value) => batch.insert(&self.tables[table as usize], key, value),
                None => batch.remove(&self.tables[table as usize], key),
            }
        }
        batch.commit().expect("a commit");
    }

    fn count_lanes(&self) -> usize {
        self.tables[1].iter().filter_map(|guard| guard.key().ok()).count()
    }
}

struct Redb(redb::Database);

const REDB_TABLES: [redb::TableDefinition<'static, &[u8], &[u8]>; 3] =
    [redb::TableDefinition::new("bodies"), redb::TableDefinition::new("lanes"), redb::TableDefinition::new("history")];

impl Candidate for Redb {
    const NAME: &'static str = "redb";

    fn open(folder: &Path) -> Self {
        std::fs::create_dir_all(folder).expect("a folder");
        Self(redb::Database::builder().set_cache_size(64 << 20).create(folder.join("redb")).expect("redb opens"))
    }

    fn commit(&self, writes: Vec<Write>, _synced: bool) {
        let transaction = self.0.begin_write().expect("a transaction");
        {
            let mut tables = REDB_TABLES.map(|table| transaction.open_table(table).expect("a table"));
            for (table, key, value) in writes {
                let table = &mut tables[table as usize];
                match value {
                    Some(value) => drop(table.insert(key.as_slice(), value.as_slice()).expect("an insert")),
                    None => drop(table.remove(key.as_slice()).expect("a removal")),
                }
            }
        }
        transaction.commit().expect("a commit");
    }

    fn count_lanes(&self) -> usize {
        use redb::ReadableTable as _;
        let transaction = self.0.begin_read().expect("a transaction");
        let lanes = transaction.open_table(REDB_TABLES[1]).expect("a table");
        lanes.iter().expect("an iterator").count()
    }
}

/// Keys as the store makes them: 100 webhooks, rising event ids.
struct Pattern {
    next: u128,
}

impl Pattern {
    fn append(&mut self, group: usize) -> (Vec<Write>, Vec<Write>) {
        let (mut appends, mut settlements) = (Vec::new(), Vec::new());
        for _ in 0..group {
            self.next += 1;
            let event = (0x0190_0000_0000_u128 << 80 | self.next).to_be_bytes();
            let webhook = (self.next % 100).to_be_bytes();
            let lane = [&webhook[..], &[1], &event[..8], &event].concat();
            appends.push((Table::Bodies, event.to_vec(), Some(body(self.next))));
            appends.push((Table::Lanes, lane.clone(), Some(vec![7; 24])));
            settlements.push((Table::Lanes, lane, None));
            settlements.push((Table::History, [&webhook[..], &event, &[0, 1, 0]].concat(), Some(vec![9; ROW])));
        }
        (appends, settlements)
    }
}

/// About as compressible as JSON.
fn body(seed: u128) -> Vec<u8> {
    (0..BODY)
        .map(|place| b"{\"key\":\"5511999\"}"[place % 17] ^ (seed as usize * 31 * (place / 40)) as u8 & 0x0f)
        .collect()
}

fn bench_candidate<C: Candidate>(criterion: &mut Criterion) {
    let mut bench = criterion.benchmark_group("queue pattern");
    bench.sample_size(20).measurement_time(Duration::from_secs(3));
    for group in GROUPS {
        let folder = tempfile::tempdir().expect("a folder");
        let candidate = C::open(folder.path());
        let mut pattern = Pattern { next: 0 };
        bench.throughput(Throughput::Elements(group as u64));
        bench.bench_function(BenchmarkId::new(C::NAME, group), |bencher| {
            bencher.iter_batched(
                || pattern.append(group),
                |(appends, settlements)| {
                    candidate.commit(appends, true);
                    candidate.commit(settlements, false);
                },
                criterion::BatchSize::PerIteration,
            );
        });
    }
}

fn bench_store(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().expect("a runtime");
    let mut bench = criterion.benchmark_group("embedded store");
    bench.sample_size(20).measurement_time(Duration::from_secs(3));
    for group in GROUPS {
        let folder = tempfile::tempdir().expect("a folder");
        let store = EmbeddedStore::open(EmbeddedConfig::new(folder.path())).expect("the store opens");
        let ids = EventIds::new(1);
        bench.throughput(Throughput::Elements(group as u64));
        bench.bench_function(BenchmarkId::new("append and settle", group), |bencher| {
            bencher.iter_batched(
                || deliveries(&ids, group),
                |(appends, settlements)| {
                    runtime.block_on(async {
                        store.append(appends).await.expect("appended");
                        store.settle(settlements).await.expect("settled");
                    });
                },
                criterion::BatchSize::PerIteration,
            );
        });
        runtime.block_on(store.close()).expect("closed");
    }
}

fn deliveries(ids: &EventIds, count: usize) -> (Vec<Append>, Vec<Settle>) {
    let instance = InstanceId::new("bench").expect("a valid id");
    let one = |_| {
        let id = ids.next(Timestamp::now());
        let event = Event {
            id,
            instance: instance.clone(),
            kind: EventKind::MessagesUpsert,
            data: Bytes::from(body(id.as_u128())),
            client_id: Some(id.to_string().into()),
            accepted_at: id.timestamp(),
            occurred_at: None,
            chat: None,
            traceparent: None,
        };
        let entry = LaneEntry {
            webhook: id.as_u128() % 100,
            event: id,
            class: LaneClass::Live,
            due: id.timestamp(),
            kind: event.kind,
            origin: AttemptOrigin::First,
            attempts: 0,
            round_attempts: 0,
            order_key: 0,
            coalesce_key: 0,
            data_bytes: BODY as u32,
        };
        let outcome = Outcome {
            status: 200,
            failure: None,
            retry_after_s: None,
            snippet: Bytes::from_static(b"ok"),
            phases: Phases::default(),
        };
        let attempt = Attempt {
            number: 1,
            origin: AttemptOrigin::First,
            due_at: entry.due,
            started_at: entry.due,
            waited_for: WaitReason::None,
            outcome,
        };
        let append = Append {
            event: Arc::new(event),
            entries: [entry].into_iter().collect(),
            held_back: [].into_iter().collect(),
            messages: [].into_iter().collect(),
        };
        (append, Settle { entry, attempt: Some(attempt), next: Next::Delivered, at: entry.due })
    };
    (0..count).map(one).unzip()
}

/// Bytes of a folder on disk.
fn folder_bytes(folder: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt as _;
    let items = std::fs::read_dir(folder).into_iter().flatten().flatten();
    items
        .map(|item| match item.metadata() {
            Ok(metadata) if metadata.is_dir() => folder_bytes(&item.path()),
            Ok(metadata) => metadata.blocks() * 512,
            Err(_) => 0,
        })
        .sum()
}

/// The files as a killed process leaves them. Begun anew when a file was compacted away meanwhile.
fn copy_folder(from: &Path, to: &Path) {
    while try_copy(from, to).is_err() {
        std::fs::remove_dir_all(to).expect("a half copy goes");
    }
}

fn try_copy(from: &Path, to: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(to)?;
    for item in std::fs::read_dir(from)? {
        let item = item?;
        let target = to.join(item.file_name());
        if item.file_type()?.is_dir() {
            try_copy(&item.path(), &target)?;
        } else {
            std::fs::copy(item.path(), target)?;
        }
    }
    Ok(())
}

/// Resident memory of this process in bytes, from `/proc/self/statm`.
fn resident_bytes() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm").ok();
    let pages = pages.and_then(|text| text.split(' ').nth(1)?.parse::<u64>().ok());
    pages.unwrap_or_default() * rustix::param::page_size() as u64
}

fn report_candidate<C: Candidate>(entries: usize) {
    const GROUP: usize = 512;
    let folder = tempfile::tempdir().expect("a folder");
    let (live, killed) = (folder.path().join("live"), folder.path().join("killed"));
    let candidate = C::open(&live);
    let mut pattern = Pattern { next: 0 };
    let mut commits = Histogram::<u64>::new(3).expect("a histogram");
    let mut timed = |candidate: &C, writes, synced| {
        let began = Instant::now();
        candidate.commit(writes, synced);
        commits.record(began.elapsed().as_micros() as u64).expect("in range");
    };
    let began = Instant::now();
    for _ in 0..entries / GROUP {
        let (appends, settlements) = pattern.append(GROUP);
        timed(&candidate, appends, true);
        timed(&candidate, settlements, false);
    }
    let settled_in = began.elapsed();
    let settled_bytes = folder_bytes(&live);
    for _ in 0..entries / GROUP {
        timed(&candidate, pattern.append(GROUP).0, true);
    }
    copy_folder(&live, &killed);
    let began = Instant::now();
    let lanes = C::open(&killed).count_lanes();
    println!(
        "{:>6}: {entries} append+settle in {settled_in:.1?}, then {entries} pending; commit p50 {} us, p99 {} us, p99.9 {} us, max {} us; \
         {} MiB settled, {} MiB with the pending; {lanes} lane keys read {:.2?} after a kill",
        C::NAME,
        commits.value_at_quantile(0.5),
        commits.value_at_quantile(0.99),
        commits.value_at_quantile(0.999),
        commits.max(),
        settled_bytes >> 20,
        folder_bytes(&live) >> 20,
        began.elapsed(),
    );
}

fn report_store(entries: usize) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().expect("a runtime");
    let folder = tempfile::tempdir().expect("a folder");
    let (live, killed) = (folder.path().join("live"), folder.path().join("killed"));
    let before = resident_bytes();
    let store = EmbeddedStore::open(EmbeddedConfig::new(&live)).expect("the store opens");
    let ids = EventIds::new(1);
    let (mut appended, mut settled) = (Duration::ZERO, Duration::ZERO);
    for _ in 0..entries / 512 {
        let (appends, _) = deliveries(&ids, 512);
        let began = Instant::now();
        runtime.block_on(store.append(appends)).expect("appended");
        appended += began.elapsed();
    }
    let grown = resident_bytes().saturating_sub(before);
    copy_folder(&live, &killed);
    for _ in 0..entries / 512 / 10 {
        let (appends, settlements) = deliveries(&ids, 512);
        runtime.block_on(store.append(appends)).expect("appended");
        let began = Instant::now();
        runtime.block_on(store.settle(settlements)).expect("settled");
        settled += began.elapsed();
    }
    println!(
        "embedded store: {entries} pending appended in {appended:.1?}, resident memory +{} MiB; {} settled in {settled:.1?}; {} MiB on disk",
        grown >> 20,
        entries / 10,
        folder_bytes(&live) >> 20,
    );
    runtime.block_on(store.close()).expect("closed");
    drop(store);
    for (ending, path) in [("a close", &live), ("a kill", &killed)] {
        let (before, began) = (resident_bytes(), Instant::now());
        let store = EmbeddedStore::open(EmbeddedConfig::new(path)).expect("the store opens");
        println!(
            "embedded store: open after {ending} in {:.2?} with {} pending, resident memory {} MiB before, {} MiB after",
            began.elapsed(),
            store.recovery().unfinished,
            before >> 20,
            resident_bytes() >> 20,
        );
        assert!(store.recovery().last_event.is_some_and(|id| id > EventId::MIN));
        runtime.block_on(store.close()).expect("closed");
    }
}

#[expect(clippy::disallowed_methods, reason = "a bench has no configuration")]
fn entries() -> usize {
    std::env::var("POMBO_BENCH_ENTRIES").ok().and_then(|text| text.parse().ok()).unwrap_or(1_000_000)
}

fn main() {
    let reports_only = std::env::args().any(|argument| argument == "--report-only");
    if !reports_only {
        let mut criterion = Criterion::default().configure_from_args();
        bench_candidate::<Fjall>(&mut criterion);
        bench_candidate::<Redb>(&mut criterion);
        bench_store(&mut criterion);
        criterion.final_summary();
    }
    report_store(entries());
    report_candidate::<Fjall>(entries());
    report_candidate::<Redb>(entries());
}
