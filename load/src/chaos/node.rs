//! One replica: it is killed, stopped and rolled, and comes back at its address with its log going on.

use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use rustix::process::Signal;

use super::ports;
use crate::client::Client;
use crate::clock;
use crate::engine::TOKEN;
use crate::processes::Process;

const LOOK_EVERY: Duration = Duration::from_millis(20);

pub struct Node {
    program: PathBuf,
    folder: PathBuf,
    redis_url: String,
    /// Seconds between SIGTERM and the end of taking requests, for the balancer to notice.
    shutdown_delay_s: u32,
    pub addr: SocketAddr,
    /// `None`: it is down.
    process: Option<Process>,
}

impl Node {
    /// Not started yet; `folder` gets its data and its log.
    pub fn new(program: &Path, folder: PathBuf, redis_url: &str, shutdown_delay_s: u32) -> anyhow::Result<Self> {
        std::fs::create_dir_all(&folder)?;
        Ok(Self {
            program: program.to_owned(),
            folder,
            redis_url: redis_url.to_owned(),
            shutdown_delay_s,
            addr: ports::free()?,
            process: None,
        })
    }

    pub fn log(&self) -> PathBuf {
        self.folder.join("node.log")
    }

    pub fn start(&mut self) -> anyhow::Result<()> {
        let log = File::options().create(true).append(true).open(self.log())?;
        let mut command = Command::new(&self.program);
        command
            .env("POMBO_LISTEN", self.addr.to_string())
            .env("POMBO_DATA_DIR", self.folder.join("data"))
            .env("POMBO_REDIS_URL", &self.redis_url)
            .env("POMBO_ADMIN_TOKEN", TOKEN)
            .env("POMBO_ALLOW_HTTP", "true")
            .env("POMBO_ALLOW_TARGETS", "127.0.0.0/8")
            .env("POMBO_LOG_FORMAT", "json")
            .env("POMBO_SHUTDOWN_DELAY_S", self.shutdown_delay_s.to_string())
            .current_dir(&self.folder)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        self.process = Some(Process::spawn(&mut command)?);
        Ok(())
    }

    fn answers_ready(&self) -> bool {
        let answer = Client::connect(self.addr, TOKEN).and_then(|mut client| client.send("GET", "/readyz", b""));
        matches!(answer, Ok((200, _)))
    }

    /// Until it says that it is ready; how long that took.
    pub fn wait_until_ready(&mut self, patience: Duration) -> anyhow::Result<Duration> {
        let begun = Instant::now();
        while !self.answers_ready() {
            self.must_run()?;
            if begun.elapsed() > patience {
                bail!("the node at {} was not ready within {patience:?}", self.addr);
            }
            clock::pause(LOOK_EVERY);
        }
        Ok(begun.elapsed())
    }

    /// # Errors
    /// When it has ended by itself.
    pub fn must_run(&mut self) -> anyhow::Result<()> {
        let process = self.process.as_mut().context("the node is down")?;
        if process.has_ended().unwrap_or(true) {
            bail!("the node at {} has ended by itself; its log is {}", self.addr, self.log().display());
        }
        Ok(())
    }

    /// Whether it was ended, or has ended by itself.
    pub fn is_down(&mut self) -> bool {
        self.must_run().is_err()
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        self.process = None;
    }

    /// SIGSTOP or SIGCONT.
    pub fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        self.process.as_ref().context("the node is down")?.signal(signal)
    }

    /// SIGTERM and its orderly end, with code 0; how long that took.
    pub fn end(&mut self, patience: Duration) -> anyhow::Result<Duration> {
        self.process.take().context("the node is down")?.end(patience)
    }
}
