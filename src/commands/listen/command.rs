//! The terminal's side of a receiver: flags, output, record, end.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use clap::Args;
use parking_lot::Mutex;
use ring::digest;
use serde::Serialize;

use super::{Receipt, Receiver, ReceiverConfig, Script, Watcher, show};
use crate::commands::{duration, paint::Paint, runtime};
use crate::domain::Secret;

#[derive(Args, Debug)]
pub struct ListenArgs {
    /// Port; 0 takes a free one
    #[arg(long, short, default_value_t = 9000)]
    pub port: u16,
    /// Address
    #[arg(long, default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    pub host: IpAddr,
    /// Signing secret of the webhook (whsec_…); several may be given
    #[arg(long, value_parser = |text: &str| Secret::parse(text))]
    pub secret: Vec<Secret>,
    /// Wait before each answer, e.g. 2s
    #[arg(long, default_value = "0s", value_parser = duration)]
    pub delay: Duration,
    /// Status of each answer
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u16).range(200..600))]
    pub status: u16,
    /// Share of requests answered 500, from 0 to 1
    #[arg(long, default_value_t = 0.0, value_parser = share)]
    pub fail_rate: f64,
    /// Take requests and never answer
    #[arg(long)]
    pub never: bool,
    /// Show counts only
    #[arg(long, short)]
    pub quiet: bool,
    /// End after so many requests
    #[arg(long, value_name = "N")]
    pub count: Option<u64>,
    /// End when nothing came for so long, e.g. 5s
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub until_idle: Option<Duration>,
    /// Write one JSON line for each request
    #[arg(long, value_name = "FILE")]
    pub record: Option<PathBuf>,
}

fn share(text: &str) -> Result<f64, String> {
    crate::config::parse::share(text).map_err(|bad| format!("{}; {}", bad.problem, bad.remedy))
}

/// A line of the record.
#[derive(Serialize)]
struct Line<'a> {
    id: u64,
    #[serde(rename = "webhook-id")]
    webhook_id: &'a str,
    path: &'a str,
    attempt: u16,
    at: String,
    status: u16,
    signature: &'static str,
    sha256: String,
    bytes: usize,
}

type Record = Arc<Mutex<BufWriter<File>>>;

/// # Errors
/// When the port or the record cannot be opened.
pub fn run(args: ListenArgs) -> anyhow::Result<ExitCode> {
    runtime()?.block_on(listen(args))
}

async fn listen(args: ListenArgs) -> anyhow::Result<ExitCode> {
    let paint = Paint::for_stdout();
    let record: Option<Record> = match &args.record {
        Some(path) => {
            let file = File::create(path).with_context(|| format!("cannot write {}", path.display()))?;
            Some(Arc::new(Mutex::new(BufWriter::new(file))))
        }
        None => None,
    };
    let script = Script {
        delay: args.delay,
        status: args.status,
        fail_rate: args.fail_rate,
        never: args.never,
        headers: Vec::new(),
    };
    let unsigned = args.secret.is_empty();
    let config = ReceiverConfig {
        script,
        secrets: args.secret,
        seed: crate::domain::Timestamp::now().millis(),
        ledger: None,
        watcher: watcher(args.quiet, paint, record.clone()),
    };
    let addr = SocketAddr::new(args.host, args.port);
    let receiver = Receiver::start(addr, config).await.with_context(|| format!("cannot listen on {addr}"))?;
    println!("listening on {}", paint.strong(receiver.url("/")));
    if unsigned {
        println!("{}", paint.warn("no --secret: signatures are not checked"));
    }
    wait(&receiver, args.count, args.until_idle, args.quiet, record.as_ref()).await?;
    if let Some(record) = &record {
        record.lock().flush()?;
    }
    let counts = receiver.counts();
    println!(
        "{} requests on {} connections: {} taken, {} refused, {} with a bad signature",
        counts.requests, counts.connections, counts.taken, counts.refused, counts.bad_signatures
    );
    Ok(if counts.bad_signatures == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn watcher(quiet: bool, paint: Paint, record: Option<Record>) -> Option<Watcher> {
    if quiet && record.is_none() {
        return None;
    }
    Some(Arc::new(move |receipt: &Receipt| {
        if let Some(record) = &record {
            write_line(receipt, &mut record.lock());
        }
        if !quiet {
            // A closed terminal ends the show, not the receiver.
            let _ = writeln!(std::io::stdout().lock(), "{}", show::lines(receipt, paint));
        }
    }))
}

fn write_line(receipt: &Receipt, record: &mut BufWriter<File>) {
    let sha256 = digest::digest(&digest::SHA256, &receipt.body);
    let line = Line {
        id: receipt.number,
        webhook_id: &receipt.webhook_id,
        path: &receipt.path,
        attempt: receipt.attempt,
        at: receipt.at.to_rfc3339(),
        status: receipt.status,
        signature: receipt.signature.as_str(),
        sha256: hex(sha256.as_ref()),
        bytes: receipt.body.len(),
    };
    let written = serde_json::to_writer(&mut *record, &line).map_err(Into::into).and_then(|()| record.write_all(b"\n"));
    if let Err(error) = written {
        eprintln!("the record cannot be written: {error}");
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = std::fmt::Write::write_fmt(&mut text, format_args!("{byte:02x}"));
        text
    })
}

/// Until Ctrl-C, the count, or silence. Flushes the record and shows counts on the way.
async fn wait(
    receiver: &Receiver,
    count: Option<u64>,
    until_idle: Option<Duration>,
    quiet: bool,
    record: Option<&Record>,
) -> anyhow::Result<()> {
    let mut tick = tokio::time::interval(Duration::from_millis(200));
    let (mut seen, mut last_news, mut last_shown) = (0, Instant::now(), Instant::now());
    loop {
        tokio::select! {
            signal = tokio::signal::ctrl_c() => return signal.context("cannot wait for Ctrl-C"),
            _ = tick.tick() => {}
        }
        let requests = receiver.counts().requests;
        if requests != seen {
            last_news = Instant::now();
            if let Some(record) = record {
                record.lock().flush()?;
            }
        }
        if quiet && last_shown.elapsed() >= Duration::from_secs(1) && requests != seen {
            println!("{requests} requests");
            last_shown = Instant::now();
        }
        seen = requests;
        let idle = until_idle.is_some_and(|idle| last_news.elapsed() >= idle);
        if idle || count.is_some_and(|count| requests >= count) {
            return Ok(());
        }
    }
}
