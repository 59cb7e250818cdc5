//! The store on Redis: batches of appends and of settlements, with the CPU that each operation costs here and in Redis.
//!
//! Starts a `redis-server` of its own on a socket, without and with an append-only file. `cargo bench --bench redis_store`.

use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use pombo::domain::{
    Attempt, AttemptOrigin, Event, EventId, EventIds, EventKind, InstanceId, LaneClass, LaneEntry, Outcome, Phases,
    ShardId, Timestamp, WaitReason, WebhookId,
};
use pombo::store::redis::{RedisConfig, RedisStore, RedisUrl};
use pombo::store::{Append, Next, Settle, Store};

const BODY: usize = 600;
const INSTANCES: usize = 200;
/// Deliveries of one measurement.
const DELIVERIES: usize = 40_000;

struct Server(Child, tempfile::TempDir);

impl Server {
    #[expect(clippy::disallowed_methods, reason = "polls a child process until a deadline")]
    fn start(append_only: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let mut command = Command::new("redis-server");
        command.current_dir(folder.path()).args(["--port", "0", "--unixsocket", "redis.sock", "--save", ""]);
        command.args(["--appendonly", append_only]).stdout(Stdio::null());
        let server = Self(command.spawn().expect("redis-server in the PATH"), folder);
        let deadline = Instant::now() + Duration::from_secs(10);
        while std::os::unix::net::UnixStream::connect(server.1.path().join("redis.sock")).is_err() {
            assert!(Instant::now() < deadline, "redis-server does not open its socket");
            std::thread::sleep(Duration::from_millis(5));
        }
        server
    }

    fn url(&self) -> RedisUrl {
        RedisUrl::parse(&format!("unix://{}", self.1.path().join("redis.sock").display())).expect("a plain path")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.0.kill().expect("it runs");
        self.0.wait().expect("it was started here");
    }
}

/// User and system time of a process, in microseconds.
fn cpu_us(process: &str) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).expect("a process");
    let after_name = stat.rsplit_once(')').expect("a name").1;
    let ticks = after_name.split_whitespace().skip(11).take(2).map(|field| field.parse::<u64>().expect("a number"));
    ticks.sum::<u64>() * 10_000
}

/// What Redis says of itself so far: commands of clients and scripts, microseconds of CPU.
#[derive(Clone, Copy)]
struct Told {
    calls: u64,
    commands: u64,
    cpu_us: f64,
}

impl Told {
    async fn by(server: &Server) -> Self {
        let url = format!("unix://{}", server.1.path().join("redis.sock").display());
        let client = redis::Client::open(url).expect("a plain path");
        let mut connection = client.get_multiplexed_async_connection().await.expect("it answers");
        let info: String =
            redis::cmd("INFO").arg("commandstats").arg("cpu").query_async(&mut connection).await.expect("it tells");
        let (mut calls, mut commands, mut cpu_us) = (0, 0, 0.0);
        for line in info.lines() {
            if let Some((name, rest)) = line.strip_prefix("cmdstat_").and_then(|line| line.split_once(":calls=")) {
                let count: u64 = rest.split(',').next().and_then(|count| count.parse().ok()).expect("a number");
                if name.starts_with("eval") { calls += count } else { commands += count }
            }
            if let Some(("used_cpu_user" | "used_cpu_sys", seconds)) = line.split_once(':') {
                cpu_us += seconds.trim().parse::<f64>().expect("a number") * 1e6;
            }
        }
        Self { calls, commands, cpu_us }
    }
}

struct Owner {
    instance: InstanceId,
    webhooks: Vec<WebhookId>,
}

fn events(owners: &[Owner], ids: &EventIds, fan_out: usize, count: usize) -> Vec<Append> {
    let data = Bytes::from(vec![b'x'; BODY]);
    let event = |_| {
        let owner = &owners[fastrand::usize(..owners.len())];
        let id = ids.next_in(Timestamp::now(), ShardId::of_instance(&owner.instance));
        let entry = |webhook: &WebhookId| LaneEntry {
            webhook: webhook.as_u128(),
            event: id,
            class: LaneClass::Live,
            due: id.timestamp(),
            kind: EventKind::MessagesUpsert,
            origin: AttemptOrigin::First,
            attempts: 0,
            round_attempts: 0,
            order_key: 7,
            coalesce_key: 0,
            data_bytes: BODY as u32,
        };
        let event = Event {
            id,
            instance: owner.instance.clone(),
            kind: EventKind::MessagesUpsert,
            data: data.clone(),
            client_id: None,
            accepted_at: id.timestamp(),
            occurred_at: None,
            chat: None,
            traceparent: None,
        };
        Append {
            event: Arc::new(event),
            entries: owner.webhooks[..fan_out].iter().map(entry).collect(),
            held_back: smallvec::smallvec![],
            messages: smallvec::smallvec![],
        }
    };
    (0..count).map(event).collect()
}

fn delivered(entry: LaneEntry) -> Settle {
    let outcome =
        Outcome { status: 200, failure: None, retry_after_s: None, snippet: Bytes::new(), phases: Phases::default() };
    let at = Timestamp::now();
    let attempt = Attempt {
        number: 1,
        origin: AttemptOrigin::First,
        due_at: entry.due,
        started_at: at,
        waited_for: WaitReason::None,
        outcome,
    };
    Settle { entry, attempt: Some(attempt), next: Next::Delivered, at }
}

async fn measure(append_only: &str, batch: usize, fan_out: usize) {
    let server = Server::start(append_only);
    let redis = server.0.id().to_string();
    let store = RedisStore::open(RedisConfig::new(server.url())).await.expect("it opens");
    let ids = EventIds::new(fastrand::u64(..)).after(EventId::MIN);
    let owner = |number| {
        let instance = InstanceId::new(&format!("instance-{number}")).expect("a plain name");
        let shard = ShardId::of_instance(&instance);
        Owner { webhooks: (0..10).map(|_| shard.webhook_id()).collect(), instance }
    };
    let owners: Vec<_> = (0..INSTANCES).map(owner).collect();
    let batches: Vec<_> = (0..DELIVERIES / fan_out / batch).map(|_| events(&owners, &ids, fan_out, batch)).collect();
    let entries: Vec<_> = batches.iter().flatten().flat_map(|append| append.entries.clone()).collect();
    let settlements: Vec<Vec<_>> =
        entries.chunks(batch).map(|entries| entries.iter().map(|entry| delivered(*entry)).collect()).collect();
    let (events, deliveries) = (batches.len() * batch, entries.len());

    let report = |what: &str, count: usize, began: Instant, here: u64, there: u64| {
        let each = |micros: u64| micros as f64 / count as f64;
        println!(
            "aof {append_only:3}  batch {batch:3}  fan-out {fan_out:2}  {what:12} {:8.0}/s  {:5.2} us here  {:5.2} us in Redis",
            count as f64 / began.elapsed().as_secs_f64(),
            each(cpu_us("self") - here),
            each(cpu_us(&redis) - there),
        );
    };
    let told = Told::by(&server).await;
    let (began, here, there) = (Instant::now(), cpu_us("self"), cpu_us(&redis));
    for batch in batches {
        store.append(batch).await.expect("it is stored");
    }
    report("events", events, began, here, there);
    let (began, here, there) = (Instant::now(), cpu_us("self"), cpu_us(&redis));
    for batch in settlements {
        store.settle(batch).await.expect("it is settled");
    }
    report("settlements", deliveries, began, here, there);
    assert_eq!(store.stats().unfinished, 0, "all is settled");
    let now = Told::by(&server).await;
    let each = |count: f64| count / deliveries as f64;
    println!(
        "aof {append_only:3}  batch {batch:3}  fan-out {fan_out:2}  a delivery: {:.3} calls, {:.2} commands within them, {:.2} us of Redis",
        each((now.calls - told.calls) as f64),
        each((now.commands - told.commands) as f64),
        each(now.cpu_us - told.cpu_us),
    );
}

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    for append_only in ["no", "yes"] {
        for fan_out in [1, 10] {
            for batch in [64, 512] {
                runtime.block_on(measure(append_only, batch, fan_out));
            }
        }
    }
}
