//! A real `redis-server` of the test's own, reached by a socket in its folder. It can be stopped, killed, emptied, and told anything.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use redis::FromRedisValue;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::deadline::until_true;
use super::pombo::{Pombo, Setup};
use super::proxy::Proxy;

const START: Duration = Duration::from_secs(20);

/// See the module. Killed when dropped.
#[derive(Debug)]
pub struct Redis {
    server: Child,
    folder: TempDir,
    arguments: Vec<String>,
}

impl Redis {
    /// With an append-only file, and `more` arguments.
    pub async fn start(more: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let arguments: Vec<_> = more.iter().map(ToString::to_string).collect();
        let redis = Self { server: spawn(&folder, &arguments), folder, arguments };
        redis.until_open().await;
        redis
    }

    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("redis.sock")
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub fn url(&self) -> String {
        format!("unix://{}", self.socket().display())
    }

    /// A node of the cluster around it.
    pub async fn node(&self) -> Pombo {
        self.node_with(Setup::default()).await
    }

    pub async fn node_with(&self, setup: Setup) -> Pombo {
        setup.set("POMBO_REDIS_URL", &self.url()).start().await
    }

    /// A way to it that can fail.
    pub async fn proxy(&self) -> Proxy {
        Proxy::to(self.socket()).await
    }

    /// Runs a command, given as words.
    pub async fn ask<T: FromRedisValue>(&self, words: &str) -> T {
        ask(&self.url(), words).await
    }

    /// SIGTERM: it writes what it has, then ends.
    pub async fn stop(&mut self) {
        let pid = Pid::from_raw(self.server.id() as i32).expect("a child's id is not zero");
        kill_process(pid, Signal::TERM).expect("the child has not been waited for");
        let server = &mut self.server;
        until_true("Redis ends", START, async || {
            (server.try_wait().expect("a child can be waited for").is_some(), "it runs")
        })
        .await;
        self.gone();
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        // Fails only when it is gone already.
        let _gone = self.server.kill();
        let _reaped = self.server.wait();
        self.gone();
    }

    fn gone(&self) {
        let _was_removed_by_redis = std::fs::remove_file(self.socket());
    }

    /// Removes what a server that has ended left on the disk.
    pub fn forget(&self) {
        let _never_written = std::fs::remove_dir_all(self.folder.path().join("appendonlydir"));
        let _never_written = std::fs::remove_file(self.folder.path().join("dump.rdb"));
    }

    /// Starts it after [`Self::stop`] or [`Self::kill`], with what is in its folder.
    pub async fn revive(&mut self) {
        self.server = spawn(&self.folder, &self.arguments);
        self.until_open().await;
    }

    async fn until_open(&self) {
        let socket = self.socket();
        until_true("Redis opens its socket", START, async || {
            (std::os::unix::net::UnixStream::connect(&socket).is_ok(), socket.display().to_string())
        })
        .await;
    }
}

/// Runs a command, given as words, on a connection of its own.
pub async fn ask<T: FromRedisValue>(url: &str, words: &str) -> T {
    let client = redis::Client::open(url).expect("a URL of Redis");
    let mut words_of = words.split_whitespace();
    let mut command = redis::cmd(words_of.next().expect("a command"));
    for word in words_of {
        command.arg(word);
    }
    let mut connection = client.get_multiplexed_async_connection().await.expect("Redis is there");
    command.query_async(&mut connection).await.unwrap_or_else(|error| panic!("{words}: {error}"))
}

fn spawn(folder: &TempDir, arguments: &[String]) -> Child {
    let mut command = Command::new("redis-server");
    command.current_dir(folder.path()).args(["--port", "0", "--unixsocket", "redis.sock", "--save", ""]);
    command.args(["--appendonly", "yes"]).args(arguments).stdin(Stdio::null()).stdout(Stdio::null());
    command.spawn().expect("this test needs redis-server in the PATH: make test installs it")
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.kill();
    }
}
