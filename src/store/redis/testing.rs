//! A real `redis-server` for tests: on a socket in a folder of its own, killed by its process id when the test is over.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::RedisUrl;

/// See the module.
#[derive(Debug)]
pub struct Server {
    folder: tempfile::TempDir,
    process: Child,
    arguments: Vec<String>,
}

impl Server {
    /// # Panics
    /// When `redis-server` is not installed or does not start.
    #[must_use]
    pub fn start(arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a folder for redis-server");
        let arguments: Vec<_> = arguments.iter().map(ToString::to_string).collect();
        let process = spawn(&folder, &arguments);
        let server = Self { folder, process, arguments };
        server.wait();
        server
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("redis.sock")
    }

    #[must_use]
    pub fn url(&self) -> RedisUrl {
        RedisUrl::parse(&format!("unix://{}", self.socket().display())).expect("the path is plain")
    }

    #[expect(clippy::disallowed_methods, reason = "polls a child process until a deadline")]
    fn wait(&self) {
        let deadline = Instant::now() + Duration::from_secs(20);
        while std::os::unix::net::UnixStream::connect(self.socket()).is_err() {
            assert!(Instant::now() < deadline, "redis-server does not open its socket");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    pub fn kill(&mut self) {
        // Fails only when it is gone already.
        let _gone = self.process.kill();
        let _reaped = self.process.wait();
        let _gone = std::fs::remove_file(self.socket());
    }

    pub fn restart(&mut self) {
        self.kill();
        self.process = spawn(&self.folder, &self.arguments);
        self.wait();
    }

    /// Runs a command on a connection of its own.
    pub async fn ask<T: redis::FromRedisValue>(&self, command: &redis::Cmd) -> T {
        let client = redis::Client::open(format!("unix://{}", self.socket().display())).unwrap();
        command.query_async(&mut client.get_multiplexed_async_connection().await.unwrap()).await.unwrap()
    }
}

fn spawn(folder: &tempfile::TempDir, arguments: &[String]) -> Child {
    let mut command = Command::new("redis-server");
    command.current_dir(folder.path()).args(["--port", "0", "--unixsocket", "redis.sock", "--save", ""]);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().expect("these tests need redis-server 7.0 or newer in the PATH (Debian: apt install redis-server)")
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}
