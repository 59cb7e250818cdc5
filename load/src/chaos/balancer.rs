//! HAProxy before the replicas, with the configuration that is shipped.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use serde::Serialize;

use super::ports;
use crate::clock;
use crate::processes::Process;

/// `docker/haproxy.cfg`, as it is: what is measured is what others run.
const CONFIGURATION: &str = include_str!("../../../docker/haproxy.cfg");
/// Where Debian has it, which is in the path of root only.
const SYSTEMS: &str = "/usr/sbin/haproxy";
const START_WITHIN: Duration = Duration::from_secs(20);
const LOOK_EVERY: Duration = Duration::from_millis(20);

pub struct Balancer {
    _process: Process,
    pub addr: SocketAddr,
    admin: SocketAddr,
}

/// What the balancer itself counted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counted {
    pub answers_2xx: u64,
    pub answers_4xx: u64,
    pub answers_5xx: u64,
    pub connection_errors: u64,
    pub response_errors: u64,
    pub retries: u64,
    pub redispatches: u64,
}

impl Counted {
    pub const fn since(&self, earlier: &Self) -> Self {
        Self {
            answers_2xx: self.answers_2xx - earlier.answers_2xx,
            answers_4xx: self.answers_4xx - earlier.answers_4xx,
            answers_5xx: self.answers_5xx - earlier.answers_5xx,
            connection_errors: self.connection_errors - earlier.connection_errors,
            response_errors: self.response_errors - earlier.response_errors,
            retries: self.retries - earlier.retries,
            redispatches: self.redispatches - earlier.redispatches,
        }
    }
}

impl Balancer {
    /// Three replicas, as the configuration has them.
    pub fn start(folder: &Path, replicas: [SocketAddr; 3]) -> anyhow::Result<Self> {
        let configuration = folder.join("haproxy.cfg");
        std::fs::write(&configuration, CONFIGURATION)?;
        let log = File::create(folder.join("haproxy.log"))?;
        let (addr, admin) = (ports::free()?, ports::free()?);
        let mut command = Command::new(if Path::new(SYSTEMS).exists() { SYSTEMS } else { "haproxy" });
        command.arg("-db").arg("-f").arg(&configuration);
        command.env("POMBO_LB_BIND", addr.to_string()).env("POMBO_LB_ADMIN", admin.to_string());
        for (number, replica) in (1..).zip(replicas) {
            command.env(format!("POMBO_NODE_{number}"), replica.to_string());
        }
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let mut process = Process::spawn(&mut command).context("haproxy must be installed: make needs")?;
        let begun = Instant::now();
        while TcpStream::connect(addr).is_err() {
            if process.has_ended()? || begun.elapsed() > START_WITHIN {
                bail!("haproxy did not start; its log is in {}", folder.display());
            }
            clock::pause(LOOK_EVERY);
        }
        Ok(Self { _process: process, addr, admin })
    }

    fn table(&self) -> anyhow::Result<String> {
        let mut stream = TcpStream::connect(self.admin)?;
        stream.set_read_timeout(Some(START_WITHIN))?;
        stream.write_all(b"GET /;csv;norefresh HTTP/1.1\r\nhost: admin\r\nconnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let (head, table) = answer.split_once("\r\n\r\n").context("an answer without a head")?;
        ensure!(head.split(' ').nth(1) == Some("200"), "the balancer's statistics: {head}");
        Ok(if head.to_ascii_lowercase().contains("transfer-encoding: chunked") {
            joined(table)?
        } else {
            table.to_owned()
        })
    }

    /// Whether it would send requests to all replicas.
    pub fn wait_until_all_up(&self, patience: Duration) -> anyhow::Result<()> {
        let begun = Instant::now();
        loop {
            let table = self.table()?;
            let up = rows(&table).filter(|row| row("svname").starts_with("pombo-") && row("status") == "UP").count();
            if up == 3 {
                return Ok(());
            }
            if begun.elapsed() > patience {
                bail!("the balancer had {up} of 3 replicas up after {patience:?}");
            }
            clock::pause(LOOK_EVERY);
        }
    }

    pub fn counted(&self) -> anyhow::Result<Counted> {
        let table = self.table()?;
        let mut counted = Counted::default();
        for row in rows(&table).filter(|row| row("pxname") == "replicas" && row("svname") == "BACKEND") {
            let number = |column| row(column).parse().unwrap_or_default();
            counted = Counted {
                answers_2xx: number("hrsp_2xx"),
                answers_4xx: number("hrsp_4xx"),
                answers_5xx: number("hrsp_5xx"),
                connection_errors: number("econ"),
                response_errors: number("eresp"),
                retries: number("wretr"),
                redispatches: number("wredis"),
            };
        }
        Ok(counted)
    }
}

/// The chunks of a body, together.
fn joined(mut chunks: &str) -> anyhow::Result<String> {
    let mut body = String::new();
    loop {
        let (size, rest) = chunks.split_once("\r\n").context("a chunk without a size")?;
        let size = usize::from_str_radix(size, 16).context("the size of a chunk")?;
        if size == 0 {
            return Ok(body);
        }
        body.push_str(rest.get(..size).context("half a chunk")?);
        chunks = rest.get(size + 2..).context("half a chunk")?;
    }
}

/// The rows of a table with names in its first line, each as a function from name to text.
fn rows(table: &str) -> impl Iterator<Item = impl Fn(&str) -> String> {
    let mut lines = table.lines();
    let names: Vec<String> =
        lines.next().unwrap_or_default().trim_start_matches("# ").split(',').map(str::to_owned).collect();
    lines.map(move |line| {
        let cells: Vec<String> = line.split(',').map(str::to_owned).collect();
        let names = names.clone();
        move |name: &str| {
            let at = names.iter().position(|known| known == name);
            at.and_then(|at| cells.get(at).cloned()).unwrap_or_default()
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_are_put_together() {
        assert_eq!(joined("3\r\na,b\r\nA\r\n\n123456789\r\n0\r\n\r\n").expect("whole"), "a,b\n123456789");
        assert!(joined("5\r\nab").is_err());
    }

    #[test]
    fn cells_are_found_by_their_names() {
        let table = "# pxname,svname,status\nreplicas,pombo-1,UP\nreplicas,pombo-2,DOWN 1/2\n";
        let up: Vec<_> = rows(table).filter(|row| row("status") == "UP").map(|row| row("svname")).collect();
        assert_eq!(up, ["pombo-1"]);
    }
}
