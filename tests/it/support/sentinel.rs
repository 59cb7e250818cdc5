//! A master, two replicas and a Sentinel that watches them, on ports of their own.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use redis::FromRedisValue;
use tempfile::TempDir;

use super::deadline::until_true;
use super::pombo::free_port;

const START: Duration = Duration::from_secs(30);
const SERVICE: &str = "main";

/// See the module.
#[derive(Debug)]
pub struct Sentinel {
    master: Server,
    _replicas: Vec<Server>,
    watcher: Server,
}

/// Killed when dropped.
#[derive(Debug)]
struct Server {
    process: Child,
    port: u16,
    _folder: TempDir,
}

impl Sentinel {
    pub async fn start() -> Self {
        let plain = "save \"\"\nappendonly yes\nrepl-diskless-sync-delay 0\n";
        let master = Server::start(plain, &[]).await;
        let mut replicas = Vec::new();
        for _ in 0..2 {
            replicas.push(Server::start(&format!("{plain}replicaof 127.0.0.1 {}\n", master.port), &[]).await);
        }
        let watch = format!(
            "sentinel monitor {SERVICE} 127.0.0.1 {} 1\nsentinel down-after-milliseconds {SERVICE} 1000\n\
             sentinel failover-timeout {SERVICE} 6000\n",
            master.port
        );
        let watcher = Server::start(&watch, &["--sentinel"]).await;
        let all = Self { master, _replicas: replicas, watcher };
        until_true("the replicas follow and are known", START, async || {
            let info: String = all.master.ask("INFO replication").await;
            let known: String = all.watcher.ask("INFO sentinel").await;
            (info.matches("state=online").count() == 2 && known.contains("slaves=2"), format!("{info}\n{known}"))
        })
        .await;
        all
    }

    pub fn url(&self) -> String {
        format!("redis+sentinel://127.0.0.1:{}/{SERVICE}", self.watcher.port)
    }

    /// SIGKILL to the master; returns when Sentinel names another.
    pub async fn fail_over(&mut self) {
        self.master.kill();
        let before = self.master.port.to_string();
        until_true("Sentinel names another master", START, async || {
            let words = format!("SENTINEL get-master-addr-by-name {SERVICE}");
            let now: Vec<String> = self.watcher.ask(&words).await;
            (now.get(1).is_some_and(|port| *port != before), now)
        })
        .await;
    }
}

impl Server {
    async fn start(config: &str, arguments: &[&str]) -> Self {
        let (port, folder) = (free_port(), tempfile::tempdir().expect("a temporary folder"));
        let file = folder.path().join("node.conf");
        let text = format!("port {port}\nbind 127.0.0.1\ndir {}\n{config}", folder.path().display());
        std::fs::write(&file, text).expect("the folder can be written");
        let mut command = Command::new("redis-server");
        command.arg(&file).args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let process = command.spawn().expect("this test needs redis-server in the PATH: make test installs it");
        let server = Self { process, port, _folder: folder };
        until_true("Redis opens its port", START, async || {
            (std::net::TcpStream::connect(("127.0.0.1", port)).is_ok(), port)
        })
        .await;
        server
    }

    async fn ask<T: FromRedisValue>(&self, words: &str) -> T {
        super::redis::ask(&format!("redis://127.0.0.1:{}", self.port), words).await
    }

    fn kill(&mut self) {
        // Fails only when it is gone already.
        let _gone = self.process.kill();
        let _reaped = self.process.wait();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}
