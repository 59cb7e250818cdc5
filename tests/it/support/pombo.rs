//! The real binary as a child process with a folder of its own.
//!
//! It gets a port from below the range the system hands out by itself, so that no outgoing connection can sit on it
//! between a stop and the start after it, and clients find the process again under the same address.

use std::fs::{self, File};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use url::Url;

use super::api::Api;

/// The token of a process that was not asked to make its own.
pub const TOKEN: &str = "integration-test-token";
/// Long: other work on the machine must not fail a test.
const START: Duration = Duration::from_secs(30);
const STOP: Duration = Duration::from_secs(45);
const FIRST_PORT: u16 = 12_000;
const PORTS: u16 = 18_000;
const SHOWN_BYTES: usize = 6_000;

static NEXT_PORT: AtomicU16 = AtomicU16::new(0);

/// A port nobody listens on now. Two test binaries begin at different places.
pub fn free_port() -> u16 {
    let start = (std::process::id() % u32::from(PORTS)) as u16;
    for _ in 0..PORTS {
        let step = NEXT_PORT.fetch_add(1, Ordering::Relaxed);
        let port = FIRST_PORT + ((u32::from(start) * 37 + u32::from(step)) % u32::from(PORTS)) as u16;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
    panic!("no free port between {FIRST_PORT} and {}", FIRST_PORT + PORTS);
}

/// How a process is to be started.
#[derive(Debug, Default)]
pub struct Setup {
    settings: Vec<(String, String)>,
    wrapper: Vec<String>,
    own_token: bool,
}

impl Setup {
    /// A setting by its environment variable, e.g. `POMBO_DURABILITY`; beats the harness's own.
    pub fn set(mut self, variable: &str, value: &str) -> Self {
        self.settings.push((variable.to_owned(), value.to_owned()));
        self
    }

    /// Starts the binary through another program, e.g. `["sh", "-c", "ulimit -n 64; exec \"$0\" \"$@\""]`.
    pub fn through(mut self, program: &[&str]) -> Self {
        self.wrapper = program.iter().map(|word| (*word).to_owned()).collect();
        self
    }

    /// No `POMBO_ADMIN_TOKEN`: the process makes one on its first start.
    pub fn own_token(mut self) -> Self {
        self.own_token = true;
        self
    }

    /// Starts in a new folder.
    pub async fn start(self) -> Pombo {
        self.start_in(tempfile::tempdir().expect("a temporary folder")).await
    }

    /// Starts in `home`: `home/data` holds the store, beside it the output.
    pub async fn start_in(self, home: TempDir) -> Pombo {
        let mut pombo = self.ready_in(home);
        pombo.start().await;
        pombo
    }

    /// Everything but the start, in a new folder.
    pub fn ready(self) -> Pombo {
        self.ready_in(tempfile::tempdir().expect("a temporary folder"))
    }

    fn ready_in(self, home: TempDir) -> Pombo {
        Pombo { setup: self, home, port: 0, run: 0, child: None, token: TOKEN.to_owned() }
    }
}

/// A running process, killed when dropped. Its output is shown when the test fails.
#[derive(Debug)]
pub struct Pombo {
    setup: Setup,
    home: TempDir,
    port: u16,
    /// Starts so far.
    run: u32,
    child: Option<Child>,
    /// Who speaks to it: to be replaced when the process makes its own.
    pub token: String,
}

impl Pombo {
    /// With everything as the tests like it.
    pub async fn new() -> Self {
        Setup::default().start().await
    }

    pub fn url(&self) -> Url {
        format!("http://127.0.0.1:{}", self.port).parse().expect("a URL")
    }

    pub const fn port(&self) -> u16 {
        self.port
    }

    pub fn data_dir(&self) -> PathBuf {
        self.home.path().join("data")
    }

    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// A client with the admin's token.
    pub fn api(&self) -> Api {
        Api::new(&self.url(), &self.token)
    }

    /// Starts a process that is not running; returns when it serves.
    pub async fn start(&mut self) {
        let tries = 5;
        for _ in 0..tries {
            if self.port == 0 {
                self.port = free_port();
            }
            self.spawn();
            match self.serving().await {
                Ok(()) => return,
                // Somebody was quicker: only a first start may move.
                Err(output) if output.contains("cannot be bound") && self.run == 1 => {
                    (self.port, self.run) = (0, 0);
                }
                Err(output) => panic!("the process did not start to serve:\n{output}"),
            }
        }
        panic!("no port in {tries} tries");
    }

    /// Starts a process that may not come up; what it wrote to standard error when it did not.
    pub async fn try_start(&mut self) -> Result<(), String> {
        self.spawn();
        self.serving().await
    }

    /// Starts a process that is expected not to come up; answers how it ended and what it wrote to standard error.
    pub async fn start_and_fail(&mut self) -> (ExitStatus, String) {
        if self.port == 0 {
            self.port = free_port();
        }
        self.spawn();
        let status = self.ended(START).await;
        (status, self.stderr())
    }

    fn spawn(&mut self) {
        assert!(self.child.is_none(), "it is running");
        self.run += 1;
        let binary = env!("CARGO_BIN_EXE_pombo");
        let mut command = match self.setup.wrapper.split_first() {
            Some((program, args)) => {
                let mut command = Command::new(program);
                command.args(args).arg(binary);
                command
            }
            None => Command::new(binary),
        };
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("POMBO_") {
                command.env_remove(name);
            }
        }
        command
            .arg("serve")
            .current_dir(self.home.path())
            .env("POMBO_LISTEN", format!("127.0.0.1:{}", self.port))
            .env("POMBO_DATA_DIR", self.data_dir())
            .env("POMBO_ALLOW_HTTP", "true")
            .env("POMBO_ALLOW_TARGETS", "127.0.0.0/8")
            .env("POMBO_WORKERS", "2")
            .env("POMBO_ENGINE_THREADS", "2")
            .envs((!self.setup.own_token).then_some(("POMBO_ADMIN_TOKEN", TOKEN)))
            .envs(self.setup.settings.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(File::create(self.file("stdout")).expect("the folder can be written"))
            .stderr(File::create(self.file("stderr")).expect("the folder can be written"));
        self.child = Some(command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}")));
    }

    fn file(&self, stream: &str) -> PathBuf {
        self.home.path().join(format!("{stream}-{}", self.run))
    }

    /// Until the log says that it serves; what it wrote when it ended instead.
    async fn serving(&mut self) -> Result<(), String> {
        let begun = Instant::now();
        let wanted = format!("127.0.0.1:{}", self.port);
        loop {
            let output = self.stderr();
            if output.lines().any(|line| line.contains("serving") && line.contains(&wanted)) {
                return Ok(());
            }
            if self.try_wait().is_some() {
                self.child = None;
                return Err(self.stderr());
            }
            if begun.elapsed() > START {
                return Err(format!("silent for {START:?}: {output}"));
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// What this run has written to standard error so far.
    pub fn stderr(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.file("stderr")).unwrap_or_default()).into_owned()
    }

    /// What this run has written to standard output so far.
    pub fn stdout(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.file("stdout")).unwrap_or_default()).into_owned()
    }

    /// The process's id (of the wrapper, when it was started through one that does not `exec`).
    pub fn pid(&self) -> u32 {
        self.child.as_ref().expect("it is running").id()
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.pid() as i32).expect("a child's id is not zero");
        kill_process(pid, signal).expect("the child has not been waited for");
    }

    /// SIGSTOP: it stands still, its sockets stay open.
    pub fn freeze(&self) {
        self.signal(Signal::STOP);
    }

    /// SIGCONT.
    pub fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    /// SIGKILL: what was not written is gone.
    pub async fn kill9(&mut self) {
        self.signal(Signal::KILL);
        self.ended(STOP).await;
    }

    /// SIGTERM, and how the process ended.
    pub async fn terminate(&mut self) -> ExitStatus {
        self.ask_to_stop();
        self.ended(STOP).await
    }

    /// SIGTERM without waiting; see [`Self::ended`].
    pub fn ask_to_stop(&self) {
        self.signal(Signal::TERM);
    }

    /// Waits for the end that was asked for.
    pub async fn ended(&mut self, within: Duration) -> ExitStatus {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.try_wait() {
                self.child = None;
                return status;
            }
            assert!(begun.elapsed() < within, "the process did not end within {within:?}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    fn try_wait(&mut self) -> Option<ExitStatus> {
        self.child.as_mut()?.try_wait().expect("a child can be waited for")
    }

    /// SIGTERM, then a new process on the same folder and port.
    pub async fn restart(&mut self) {
        let status = self.terminate().await;
        assert!(status.success(), "it ended with {status}");
        self.start().await;
    }

    /// SIGKILL, then a new process on the same folder and port.
    pub async fn crash_and_restart(&mut self) {
        self.kill9().await;
        self.start().await;
    }

    /// Changes a setting for the starts to come.
    pub fn set(&mut self, variable: &str, value: &str) {
        self.setup.settings.push((variable.to_owned(), value.to_owned()));
    }

    /// Resident memory, in KiB.
    pub fn rss_kib(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("the process runs");
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("Linux tells VmRSS");
        line.split_whitespace().nth(1).and_then(|number| number.parse().ok()).expect("a number of kB")
    }

    /// Open file descriptors.
    pub fn open_files(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.pid())).expect("the process runs").count()
    }

    /// User and system time used so far, in clock ticks.
    pub fn cpu_ticks(&self) -> u64 {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid())).expect("the process runs");
        let (_, rest) = stat.rsplit_once(')').expect("the name ends in a parenthesis");
        rest.split_whitespace().skip(11).take(2).map(|ticks| ticks.parse::<u64>().expect("a number")).sum()
    }
}

impl Drop for Pombo {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ended_already = child.kill();
            let _reaped = child.wait();
        }
        if std::thread::panicking() {
            for run in 1..=self.run {
                self.run = run;
                let output = self.stderr();
                let from = output.len().saturating_sub(SHOWN_BYTES);
                let from = (from..=output.len()).find(|at| output.is_char_boundary(*at)).unwrap_or_default();
                eprintln!("--- standard error of run {run}, its end:\n{}", &output[from..]);
            }
        }
    }
}
