//! Redis Cluster and Sentinel, started here on free ports.

use std::process::{Child, Command, Stdio};

use super::*;
use crate::domain::LaneClass;

/// A process on a port of its own, killed by its process id.
pub struct Node {
    process: Child,
    pub port: u16,
    _folder: tempfile::TempDir,
}

impl Node {
    /// Each line of `config` is one of its configuration file.
    #[expect(clippy::disallowed_methods, reason = "polls a child process until a deadline")]
    pub fn start(config: impl Fn(u16) -> String, arguments: &[&str]) -> Self {
        // A cluster's bus takes the port 10 000 above.
        let free =
            |port: &u16| [0, 10_000].iter().all(|up| std::net::TcpListener::bind(("127.0.0.1", port + up)).is_ok());
        let port = std::iter::repeat_with(|| fastrand::u16(20_000..40_000)).find(free).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let text = format!("port {port}\nbind 127.0.0.1\ndir {}\n{}", folder.path().display(), config(port));
        let file = folder.path().join("node.conf");
        std::fs::write(&file, text).unwrap();
        let mut command = Command::new("redis-server");
        command.arg(&file).args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let process = command.spawn().expect("these tests need redis-server 7.0 or newer in the PATH");
        let node = Self { process, port, _folder: folder };
        let deadline = Instant::now() + Duration::from_secs(20);
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < deadline, "redis-server does not open its port");
            std::thread::sleep(Duration::from_millis(5));
        }
        node
    }

    pub fn run(&self, words: &[&str]) -> String {
        let mut command = Command::new("redis-cli");
        command.args(["-p", &self.port.to_string()]).args(words);
        String::from_utf8_lossy(&command.output().unwrap().stdout).into_owned()
    }

    fn kill(&mut self) {
        // Fails only when it is gone already.
        let _gone = self.process.kill();
        let _reaped = self.process.wait();
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.kill();
    }
}

async fn works(store: &dyn Store, first: u64) {
    let mut entries = Vec::new();
    for number in 1..=8 {
        entries.push(appended(store, webhook(number), event_id(first, number)).await);
    }
    store.settle(entries[..4].iter().map(|entry| settle(*entry, Next::Delivered)).collect()).await.unwrap();
    let events = store.events(entries.iter().map(|entry| entry.event).collect()).await.unwrap();
    assert!(events.iter().all(Option::is_some));
    for (entry, left) in entries.iter().zip([0, 0, 0, 0, 1, 1, 1, 1]) {
        let read = LaneQuery { after: None, ..part(entry.webhook_id(), LaneClass::Live) };
        let here = store.lane(read).await.unwrap().into_iter().filter(|found| found.event == entry.event).count();
        assert_eq!(here, left);
    }
    assert!(store.timeline(webhook(1), entries[0].event).await.unwrap().is_some());
}

#[tokio::test]
async fn each_script_touches_one_slot_of_a_cluster() {
    let config = |_| "cluster-enabled yes\ncluster-node-timeout 2000\nsave \"\"\n".to_owned();
    let nodes: Vec<_> = (0..3).map(|_| Node::start(config, &[])).collect();
    for (node, slots) in nodes.iter().zip(["0 5460", "5461 10922", "10923 16383"]) {
        let mut words = vec!["cluster", "addslotsrange"];
        words.extend(slots.split(' '));
        node.run(&words);
        node.run(&["cluster", "meet", "127.0.0.1", &nodes[0].port.to_string()]);
    }
    until("the cluster does not form", async || {
        nodes.iter().all(|node| node.run(&["cluster", "info"]).contains("cluster_state:ok"))
    })
    .await;
    let hosts: Vec<_> = nodes.iter().map(|node| format!("127.0.0.1:{}", node.port)).collect();
    let url = RedisUrl::parse(&format!("redis+cluster://{}", hosts.join(","))).unwrap();
    let store = RedisStore::open(RedisConfig::new(url)).await.unwrap();
    let mut told = store.listen();
    assert_eq!(told.recv().await, Some(Notice::Connected));
    works(&store, 0).await;
    fixtures::retained(&store, at(40 * fixtures::DAY), fixtures::a_week()).await;
    assert_eq!(store.active_lanes().await.unwrap().len(), 4);
    store.check().await.unwrap();
}

#[tokio::test]
async fn a_failover_of_sentinel_is_followed() {
    let plain = |_| "save \"\"\n".to_owned();
    let mut master = Node::start(plain, &[]);
    let replica = Node::start(|_| format!("save \"\"\nreplicaof 127.0.0.1 {}\n", master.port), &[]);
    let watch = |_| {
        let master = format!("sentinel monitor main 127.0.0.1 {} 1\n", master.port);
        format!("{master}sentinel down-after-milliseconds main 500\nsentinel failover-timeout main 3000\n")
    };
    let sentinel = Node::start(watch, &["--sentinel"]);
    until("the replica is not found", async || {
        sentinel.run(&["sentinel", "replicas", "main"]).contains(&replica.port.to_string())
            && replica.run(&["info", "replication"]).contains("master_link_status:up")
    })
    .await;
    let url = RedisUrl::parse(&format!("redis+sentinel://127.0.0.1:{}/main", sentinel.port)).unwrap();
    let store = RedisStore::open(RedisConfig { wait_replicas: 1, ..RedisConfig::new(url.clone()) }).await.unwrap();
    let waiting = appended(&store, webhook(1), event_id(0, 1)).await;
    drop(store);
    let store = RedisStore::open(RedisConfig::new(url)).await.unwrap();
    master.kill();
    until("the store does not find the new master", async || store.check().await.is_ok()).await;
    assert_eq!(store.lane(part(webhook(1), LaneClass::Live)).await.unwrap(), [waiting]);
    works(&store, 100).await;
}

#[tokio::test]
async fn an_append_is_confirmed_by_its_replicas_and_holds_up_nobody_while_they_are_away() {
    let plain = |_| "save \"\"\n".to_owned();
    let master = Node::start(plain, &[]);
    let follow = |_| format!("save \"\"\nreplicaof 127.0.0.1 {}\n", master.port);
    let mut replica = Node::start(follow, &[]);
    let url = RedisUrl::parse(&format!("redis://127.0.0.1:{}", master.port)).unwrap();
    let config = RedisConfig { wait_replicas: 1, ..RedisConfig::new(url.clone()) };
    let store = RedisStore::open(config).await.unwrap();
    until("the replica does not come up", async || store.check().await.is_ok()).await;
    let waiting = appended(&store, webhook(1), event_id(0, 1)).await;

    replica.kill();
    until("the replica is not missed", async || master.run(&["info", "replication"]).contains("connected_slaves:0"))
        .await;
    let append = async {
        let refused = store.append(vec![append(event(event_id(0, 2)), &[entry(webhook(1), event_id(0, 2))])]).await;
        (refused, Instant::now())
    };
    let settle = async {
        store.settle(vec![settle(waiting, Next::Delivered)]).await.unwrap();
        Instant::now()
    };
    let ((refused, refused_at), settled_at) = tokio::join!(append, settle);
    assert!(
        matches!(&refused, Err(crate::store::StoreError::Unavailable(text)) if text.contains("0 replicas of Redis in time, not 1")),
        "{refused:?}"
    );
    assert!(settled_at < refused_at, "a settlement waited for replicas");
    assert!(store.check().await.is_err(), "it is not ready");
    // What was not confirmed is stored all the same, and delivered.
    assert_eq!(store.count_lane(webhook(1)).await.unwrap().unfinished(), 1);

    let _replica = Node::start(follow, &[]);
    until("the new replica does not come up", async || store.check().await.is_ok()).await;
    appended(&store, webhook(1), event_id(0, 3)).await;
}

#[tokio::test]
async fn a_confirmation_of_another_connection_confirms_nothing() {
    let master = Node::start(|_| "save \"\"\n".to_owned(), &[]);
    let _replica = Node::start(|_| format!("save \"\"\nreplicaof 127.0.0.1 {}\n", master.port), &[]);
    let url = RedisUrl::parse(&format!("redis://127.0.0.1:{}", master.port)).unwrap();
    let store = RedisStore::open(RedisConfig { wait_replicas: 1, ..RedisConfig::new(url) }).await.unwrap();
    until("the replica does not come up", async || store.check().await.is_ok()).await;
    let pledge = store.shared.pledge().await.unwrap();
    store.shared.is_confirmed(pledge).await.unwrap();
    master.run(&["client", "kill", "type", "normal"]);
    until("there is no new connection", async || {
        store.shared.is_confirmed(store.shared.pledge().await.unwrap()).await.is_ok()
    })
    .await;
    assert!(store.shared.is_confirmed(pledge).await.is_err());
}
