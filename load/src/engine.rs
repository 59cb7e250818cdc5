//! The engine under test: a process on a fresh folder, with everything on that a user has on.

use std::collections::BTreeMap;
use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use serde_json::Value;

use crate::client::Client;
use crate::clock;
use crate::processes::Process;

pub const TOKEN: &str = "load-admin-token-0123456789abcdef";
const START_WITHIN: Duration = Duration::from_secs(30);

pub struct Engine {
    pub process: Process,
    pub addr: SocketAddr,
    /// As `/readyz` tells it.
    pub durability: String,
}

impl Engine {
    /// `folder` gets its data and its log.
    pub fn start(
        program: &Path,
        folder: &Path,
        certificate: Option<&Path>,
        settings: &BTreeMap<String, String>,
    ) -> anyhow::Result<Self> {
        // The port is free again between this line and the engine's start: good enough on a loopback of one's own.
        let addr = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        let log = folder.join("engine.log");
        let mut command = Command::new(program);
        command
            .env("POMBO_LISTEN", addr.to_string())
            .env("POMBO_DATA_DIR", folder.join("data"))
            .env("POMBO_ADMIN_TOKEN", TOKEN)
            .env("POMBO_DURABILITY", "fsync")
            .env("POMBO_ALLOW_HTTP", "true")
            .env("POMBO_ALLOW_TARGETS", "127.0.0.0/8")
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(File::create(&log)?)
            .stderr(File::options().append(true).open(&log)?);
        if let Some(certificate) = certificate {
            command.env("POMBO_EXTRA_CA_FILE", certificate);
        }
        command.envs(settings);
        let mut process = Process::spawn(&mut command)?;
        let durability = wait_until_ready(&mut process, addr)
            .with_context(|| format!("the engine said:\n{}", std::fs::read_to_string(&log).unwrap_or_default()))?;
        Ok(Self { process, addr, durability })
    }
}

fn wait_until_ready(process: &mut Process, addr: SocketAddr) -> anyhow::Result<String> {
    let begun = Instant::now();
    loop {
        let ready = Client::connect(addr, TOKEN).and_then(|mut client| client.send("GET", "/readyz", b""));
        if let Ok((200, body)) = ready {
            let state: Value = serde_json::from_slice(&body).unwrap_or_default();
            return Ok(state["durability"].as_str().unwrap_or("unknown").to_owned());
        }
        if process.has_ended()? || begun.elapsed() > START_WITHIN {
            bail!("the engine did not become ready");
        }
        clock::pause(Duration::from_millis(20));
    }
}

/// The engine beside this program, built with it.
pub fn beside_this_program() -> anyhow::Result<PathBuf> {
    let here = std::env::current_exe()?;
    let engine = here.with_file_name("pombo");
    if !engine.exists() {
        bail!("{} is not there: build it (cargo build --release -p pombo) or name it with --engine", engine.display());
    }
    Ok(engine)
}
