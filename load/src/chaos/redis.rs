//! The Redis of a run: a real server with an append-only file, which is ended or killed and comes back with its data.

use std::fs::File;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use clap::ValueEnum;
use serde::Serialize;

use super::ports;
use crate::clock;
use crate::processes::Process;

const START_WITHIN: Duration = Duration::from_secs(20);
const END_WITHIN: Duration = Duration::from_secs(20);
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// When Redis syncs its append-only file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Appendfsync {
    Everysec,
    Always,
}

pub struct Redis {
    folder: PathBuf,
    fsync: Appendfsync,
    addr: SocketAddr,
    process: Option<Process>,
}

impl Redis {
    pub fn start(folder: &Path, fsync: Appendfsync) -> anyhow::Result<Self> {
        let folder = folder.join("redis");
        std::fs::create_dir_all(&folder)?;
        let mut redis = Self { folder, fsync, addr: ports::free()?, process: None };
        redis.start_again()?;
        Ok(redis)
    }

    pub fn url(&self) -> String {
        format!("redis://{}/", self.addr)
    }

    /// With the data that it left, at the same address.
    pub fn start_again(&mut self) -> anyhow::Result<()> {
        let log = File::options().create(true).append(true).open(self.folder.join("redis.log"))?;
        let fsync = if self.fsync == Appendfsync::Always { "always" } else { "everysec" };
        let mut command = Command::new("redis-server");
        command.args(["--bind", "127.0.0.1", "--port", &self.addr.port().to_string(), "--save", ""]);
        command.args(["--appendonly", "yes", "--appendfsync", fsync, "--maxmemory-policy", "noeviction"]);
        command.current_dir(&self.folder).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let mut process = Process::spawn(&mut command).context("redis-server must be installed: make needs")?;
        let begun = Instant::now();
        while TcpStream::connect(self.addr).is_err() {
            if process.has_ended()? || begun.elapsed() > START_WITHIN {
                bail!("redis-server did not start; its log is in {}", self.folder.display());
            }
            clock::pause(LOOK_EVERY);
        }
        self.process = Some(process);
        Ok(())
    }

    /// SIGTERM: it writes and syncs what it has.
    pub fn end(&mut self) -> anyhow::Result<()> {
        self.process.take().context("Redis is down")?.end(END_WITHIN)?;
        Ok(())
    }

    pub const fn is_down(&self) -> bool {
        self.process.is_none()
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        self.process = None;
    }
}
