//! A real Redis with persistence, for nodes that share it.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use super::deadline::until_true;
use super::pombo::{Pombo, Setup};

/// A Redis of the test's own, reached by a socket in its folder.
#[derive(Debug)]
pub struct Redis {
    server: Child,
    folder: TempDir,
}

impl Redis {
    pub async fn start() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut command = Command::new("redis-server");
        command.current_dir(folder.path()).args(["--port", "0", "--unixsocket", "redis.sock", "--save", ""]);
        command.args(["--appendonly", "yes"]).stdin(Stdio::null()).stdout(Stdio::null());
        let server = command.spawn().expect("this test needs redis-server in the PATH: make test installs it");
        let redis = Self { server, folder };
        let socket = redis.folder.path().join("redis.sock");
        until_true("Redis opens its socket", Duration::from_secs(20), async || {
            (std::os::unix::net::UnixStream::connect(&socket).is_ok(), socket.display().to_string())
        })
        .await;
        redis
    }

    /// A running node that keeps everything here.
    pub async fn node(&self) -> Pombo {
        self.node_with(Setup::default()).await
    }

    pub async fn node_with(&self, setup: Setup) -> Pombo {
        let url = format!("unix://{}", self.folder.path().join("redis.sock").display());
        setup.set("POMBO_REDIS_URL", &url).start().await
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _gone_already = self.server.kill();
        let _reaped = self.server.wait();
    }
}
