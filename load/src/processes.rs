//! The processes of a run: started, asked and ended; none is left behind.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use rustix::process::{Pid, Signal, kill_process};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::client::Client;
use crate::clock;
use crate::receive::{Addresses, Behaviour};
use crate::usage::Usage;

const LOOK_EVERY: Duration = Duration::from_millis(20);

/// A child that does not outlive this value.
pub struct Process(Child);

impl Process {
    pub fn spawn(command: &mut Command) -> anyhow::Result<Self> {
        command.spawn().map(Self).with_context(|| format!("starting {}", command.get_program().display()))
    }

    pub fn pid(&self) -> u32 {
        self.0.id()
    }

    pub fn usage(&self) -> anyhow::Result<Usage> {
        Usage::of(self.pid())
    }

    /// Whether it has ended, and if so that it ended well.
    pub fn has_ended(&mut self) -> anyhow::Result<bool> {
        let Some(status) = self.0.try_wait()? else { return Ok(false) };
        ensure!(status.success(), "process {} ended with {status}", self.pid());
        Ok(true)
    }

    pub fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        Ok(kill_process(Pid::from_child(&self.0), signal)?)
    }

    /// Asks it to end, waits, and says how long it took.
    pub fn end(mut self, patience: Duration) -> anyhow::Result<Duration> {
        let begun = Instant::now();
        self.signal(Signal::TERM)?;
        while !self.has_ended()? {
            ensure!(begun.elapsed() < patience, "process {} did not end within {patience:?}", self.pid());
            clock::pause(LOOK_EVERY);
        }
        Ok(begun.elapsed())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended; then there is nothing to do.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The receivers' process.
pub struct Receiver {
    pub process: Process,
    pub addresses: Addresses,
    /// Its end is the receiver's end.
    _input: Option<ChildStdin>,
}

impl Receiver {
    /// `certificate`: TLS, and where the certificate goes.
    pub fn start(classes: &[Behaviour], ordered: bool, certificate: Option<&Path>) -> anyhow::Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["receive", "--classes", &serde_json::to_string(classes)?]);
        command.args(ordered.then_some("--ordered"));
        if let Some(file) = certificate {
            command.arg("--tls").arg(file);
        }
        let mut process = Process::spawn(command.stdin(Stdio::piped()).stdout(Stdio::piped()))?;
        let output = process.0.stdout.take().context("the receiver has no output")?;
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line)?;
        let addresses = serde_json::from_str(&line).context("the receiver did not say where it listens")?;
        let input = process.0.stdin.take();
        Ok(Self { process, addresses, _input: input })
    }

    pub fn ask<T: DeserializeOwned>(&self, path: &str, question: &Value) -> anyhow::Result<T> {
        Client::connect(self.addresses.control, "")?.call("POST", path, question)
    }
}
