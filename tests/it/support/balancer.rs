//! A real HAProxy with the configuration that is shipped, before nodes of the test.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use pombo::commands::http::Client;
use tempfile::TempDir;
use url::Url;

use super::api::Api;
use super::deadline::until_true;
use super::pombo::{TOKEN, free_port};

const START: Duration = Duration::from_secs(20);
/// Debian keeps it where only root's path leads.
const PROGRAMS: [&str; 2] = ["/usr/sbin/haproxy", "haproxy"];

/// What the balancer thinks of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    pub name: String,
    /// `UP`, `DOWN`, …
    pub status: String,
    pub requests: u64,
}

/// Ends when dropped; shows what it logged when the test fails.
#[derive(Debug)]
pub struct Balancer {
    process: Child,
    folder: TempDir,
    port: u16,
    admin: u16,
}

impl Balancer {
    /// Before what listens on these ports; returns when it finds all of them ready.
    pub async fn before(nodes: [u16; 3]) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (port, admin) = (free_port(), free_port());
        let program = PROGRAMS.iter().find(|path| Path::new(path).exists()).unwrap_or(&PROGRAMS[1]);
        let log = File::create(folder.path().join("log")).expect("the folder can be written");
        let mut command = Command::new(program);
        command
            .args(["-f", concat!(env!("CARGO_MANIFEST_DIR"), "/docker/haproxy.cfg")])
            .env("POMBO_LB_BIND", format!("127.0.0.1:{port}"))
            .env("POMBO_LB_ADMIN", format!("127.0.0.1:{admin}"))
            .envs((1..).zip(nodes).map(|(at, node)| (format!("POMBO_NODE_{at}"), format!("127.0.0.1:{node}"))))
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a file"))
            .stderr(log);
        let process = command.spawn().expect("this test needs haproxy: make test installs it");
        let balancer = Self { process, folder, port, admin };
        balancer.until_all_up().await;
        balancer
    }

    pub fn url(&self) -> Url {
        format!("http://127.0.0.1:{}", self.port).parse().expect("a URL")
    }

    pub fn api(&self) -> Api {
        Api::new(&self.url(), TOKEN)
    }

    /// The nodes in the order they were given; the reason when the balancer does not answer.
    pub async fn servers(&self) -> Result<Vec<Server>, String> {
        let url: Url = format!("http://127.0.0.1:{}", self.admin).parse().expect("a URL");
        let mut client = Client::new(&url).expect("an http URL");
        let answer = client.send("GET", "/;csv", &[], "".into()).await.map_err(|error| error.to_string())?;
        let table = String::from_utf8_lossy(&answer.body).into_owned();
        let mut rows = table.lines().map(|line| line.split(',').collect::<Vec<_>>());
        let head = rows.next().unwrap_or_default();
        let column = |name: &str| head.iter().position(|title| *title == name).ok_or_else(|| table.clone());
        let (status, requests) = (column("status")?, column("stot")?);
        let servers = rows.filter(|row| row[0] == "replicas" && row[1] != "BACKEND");
        let server = |row: Vec<&str>| Server {
            name: row[1].to_owned(),
            status: row[status].to_owned(),
            requests: row[requests].parse().unwrap_or_default(),
        };
        Ok(servers.map(server).collect())
    }

    pub async fn until_all_up(&self) {
        until_true("the balancer finds all nodes ready", START, async || {
            let servers = self.servers().await;
            let up = servers.as_ref().is_ok_and(|servers| servers.iter().all(|server| server.status == "UP"));
            (up && servers.as_ref().is_ok_and(|servers| servers.len() == 3), servers)
        })
        .await;
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        let _gone_already = self.process.kill();
        let _reaped = self.process.wait();
        if std::thread::panicking() {
            eprintln!("--- the balancer's log:\n{}", self.log());
        }
    }
}
