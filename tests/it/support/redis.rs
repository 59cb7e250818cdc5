//! A real `redis-server` of the test's own, reached by a socket in its folder.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use super::deadline::until_true;
use super::pombo::{Pombo, Setup};

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

    fn socket(&self) -> PathBuf {
        self.folder.path().join("redis.sock")
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

    async fn until_open(&self) {
        let socket = self.socket();
        until_true("Redis opens its socket", START, async || {
            (std::os::unix::net::UnixStream::connect(&socket).is_ok(), socket.display().to_string())
        })
        .await;
    }
}

fn spawn(folder: &TempDir, arguments: &[String]) -> Child {
    let mut command = Command::new("redis-server");
    command.current_dir(folder.path()).args(["--port", "0", "--unixsocket", "redis.sock", "--save", ""]);
    command.args(["--appendonly", "yes"]).args(arguments).stdin(Stdio::null()).stdout(Stdio::null());
    command.spawn().expect("this test needs redis-server in the PATH: make test installs it")
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _gone_already = self.server.kill();
        let _reaped = self.server.wait();
    }
}
