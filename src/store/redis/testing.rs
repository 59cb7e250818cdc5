//! A real `redis-server` for tests: on a socket in a folder of its own, killed by its process id when the test is over.
//! The store comes as a user with no more rights than `docs/redis.md` says it needs.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::RedisUrl;

const USER: &str = "pombo";
const PASSWORD: &str = "correio";

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
        let login = format!("user={USER}&pass={PASSWORD}");
        RedisUrl::parse(&format!("unix://{}?{login}", self.socket().display())).expect("the path is plain")
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

/// The rule of `docs/redis.md`: what may be done, without who may do it.
///
/// # Panics
/// When it is not there.
#[must_use]
pub fn documented_rule() -> Vec<&'static str> {
    let (_, after) = include_str!("../../../docs/redis.md").split_once("```acl\n").expect("a block of ACL rules");
    let block = after.split("```").next().expect("a block ends");
    block.split_whitespace().skip_while(|word| !word.starts_with('>')).skip(1).collect()
}

fn spawn(folder: &tempfile::TempDir, arguments: &[String]) -> Child {
    let mut command = Command::new("redis-server");
    command.current_dir(folder.path()).args(["--port", "0", "--unixsocket", "redis.sock", "--save", ""]);
    command.args(["--user", USER, "on", &format!(">{PASSWORD}")]).args(documented_rule());
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().expect("these tests need redis-server 7.0 or newer in the PATH (Debian: apt install redis-server)")
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}
