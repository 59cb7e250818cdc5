//! The flow of `emit`: a reading thread, a pacing task, a task for each connection.

use std::fs::File;
use std::hash::{BuildHasher as _, BuildHasherDefault, DefaultHasher};
use std::io::{BufRead as _, BufReader, BufWriter, Read, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use parking_lot::Mutex;
use serde::Serialize;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use url::Url;

use super::batch::{Batch, Batches};
use super::line::{Destination, parse};
use super::sender::{Sender, Sent};
use super::tally::Tally;
use crate::commands::{duration, runtime};
use crate::domain::EventId;

/// Requests stay below the engine's default limit of 16 MiB.
const MAX_BATCH_BYTES: usize = 8 << 20;

#[derive(Args, Debug)]
pub struct EmitArgs {
    /// The engine
    #[arg(long, default_value = "http://127.0.0.1:8080")]
    pub url: Url,
    /// Token of the admin, the business or the instance
    #[arg(long, env = "POMBO_ADMIN_TOKEN", hide_env_values = true)]
    pub token: String,
    /// Send everything to this instance
    #[arg(long, conflicts_with = "map_instances")]
    pub instance: Option<String>,
    /// Put this before the instance of each line
    #[arg(long, value_name = "PREFIX")]
    pub map_instances: Option<String>,
    /// Lines of {"instance"?, "event", "id"?, "data"}; - is standard input
    #[arg(long, default_value = "-", value_name = "FILE")]
    pub file: PathBuf,
    /// Most events in a request
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub batch: u32,
    /// Connections
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=1_024))]
    pub concurrency: u16,
    /// Most events a second
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    pub rate: Option<u32>,
    /// Go through the file so many times; ids get a suffix from the second time on
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pub repeat: u32,
    /// Spread one instance over all connections, giving up its order
    #[arg(long)]
    pub any_order: bool,
    /// Give up after failures for so long
    #[arg(long, default_value = "30s", value_parser = duration)]
    pub patience: Duration,
    /// Write a JSON line with the id of each accepted event
    #[arg(long, value_name = "FILE")]
    pub ledger: Option<PathBuf>,
}

#[derive(Serialize)]
struct LedgerLine<'a> {
    event: EventId,
    id: Option<&'a str>,
    instance: &'a str,
}

/// Shared by the connections.
struct Shared {
    tally: Mutex<Tally>,
    ledger: Option<Mutex<BufWriter<File>>>,
    progress: ProgressBar,
}

/// # Errors
/// When the input cannot be read, the token is refused, or the engine is out of reach for too long.
pub fn run(args: EmitArgs) -> anyhow::Result<ExitCode> {
    runtime()?.block_on(emit(args))
}

async fn emit(args: EmitArgs) -> anyhow::Result<ExitCode> {
    if args.repeat > 1 && args.file == Path::new("-") {
        anyhow::bail!("standard input can be read only once: give a --file to repeat");
    }
    let ledger = match &args.ledger {
        Some(path) => {
            let file = File::create(path).with_context(|| format!("cannot write {}", path.display()))?;
            Some(Mutex::new(BufWriter::new(file)))
        }
        None => None,
    };
    let style = ProgressStyle::with_template("{spinner} {human_pos} events accepted, {per_sec:.0}, {elapsed}")?;
    let progress = ProgressBar::new_spinner().with_style(style);
    progress.enable_steady_tick(Duration::from_millis(200));
    let shared = Arc::new(Shared { tally: Mutex::default(), ledger, progress });

    let begun = Instant::now();
    let mut tasks = JoinSet::new();
    let mut lanes = Vec::new();
    for _ in 0..args.concurrency {
        let (lane, batches) = mpsc::channel::<Batch>(2);
        let sender = Sender::new(&args.url, &args.token, args.patience)?;
        tasks.spawn(connection(sender, batches, Arc::clone(&shared)));
        lanes.push(lane);
    }
    let (read, batches) = mpsc::channel(16);
    tasks.spawn(pace(batches, lanes, args.rate, args.any_order));
    let reading = Arc::clone(&shared);
    let (read_ended, ended_reading) = oneshot::channel();
    // A thread of its own: a read of standard input cannot be cancelled, and must not keep a failed run alive.
    std::thread::Builder::new().name("emit-read".to_owned()).spawn(move || {
        let _ = read_ended.send(read_all(&args, &read, &reading));
    })?;
    tasks.spawn(async { ended_reading.await? });

    let mut ended = Ok(());
    while let Some(task) = tasks.join_next().await {
        match task {
            Ok(Ok(())) => {}
            // The first failure ends the rest; what was accepted so far is still told.
            Ok(Err(error)) => {
                ended = ended.and(Err(error));
                tasks.abort_all();
            }
            Err(error) if error.is_cancelled() => {}
            Err(error) => ended = ended.and(Err(error.into())),
        }
    }
    shared.progress.finish_and_clear();
    if let Some(ledger) = &shared.ledger {
        ledger.lock().flush()?;
    }
    let tally = shared.tally.lock();
    println!("{}", tally.summary(begun.elapsed()));
    ended?;
    Ok(if tally.refused == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Reads the input; blocks while the connections are busy.
fn read_all(args: &EmitArgs, out: &mpsc::Sender<Batch>, shared: &Shared) -> anyhow::Result<()> {
    let destination = match (&args.instance, &args.map_instances) {
        (Some(instance), _) => Destination::Fixed(instance.clone()),
        (None, prefix) => Destination::Mapped(prefix.clone().unwrap_or_default()),
    };
    let mut batches = Batches::new(args.batch as usize, MAX_BATCH_BYTES);
    for round in 1..=args.repeat {
        let source: Box<dyn Read> = if args.file == Path::new("-") {
            Box::new(std::io::stdin())
        } else {
            let named = || format!("cannot read {}", args.file.display());
            Box::new(File::open(&args.file).with_context(named)?)
        };
        for (number, line) in BufReader::new(source).lines().enumerate() {
            let line = line.with_context(|| format!("cannot read line {}", number + 1))?;
            if line.trim().is_empty() {
                continue;
            }
            match parse(&line, &destination) {
                Ok((instance, mut entry)) => {
                    if let Some(id) = entry.id.as_mut().filter(|_| round > 1) {
                        *id = format!("{id}-r{round}").into();
                    }
                    for batch in batches.add(&instance, &entry) {
                        if out.blocking_send(batch).is_err() {
                            return Ok(());
                        }
                    }
                }
                Err(reason) => shared.tally.lock().refuse(format!("line {}: {reason}", number + 1), 1),
            }
        }
    }
    for batch in batches.finish() {
        if out.blocking_send(batch).is_err() {
            break;
        }
    }
    Ok(())
}

/// Hands batches to connections at the asked rate.
async fn pace(
    mut batches: mpsc::Receiver<Batch>,
    lanes: Vec<mpsc::Sender<Batch>>,
    rate: Option<u32>,
    any_order: bool,
) -> anyhow::Result<()> {
    let hasher = BuildHasherDefault::<DefaultHasher>::default();
    let mut due = tokio::time::Instant::now();
    let mut next = 0;
    while let Some(batch) = batches.recv().await {
        if let Some(rate) = rate {
            tokio::time::sleep_until(due).await;
            // A late start is not made up for by a burst.
            due = due.max(tokio::time::Instant::now()) + Duration::from_secs_f64(batch.len() as f64 / f64::from(rate));
        }
        let lane = if any_order {
            next += 1;
            next % lanes.len()
        } else {
            (hasher.hash_one(&batch.instance) % lanes.len() as u64) as usize
        };
        if lanes[lane].send(batch).await.is_err() {
            // The connection has failed and tells why itself.
            return Ok(());
        }
    }
    Ok(())
}

async fn connection(mut sender: Sender, mut batches: mpsc::Receiver<Batch>, shared: Arc<Shared>) -> anyhow::Result<()> {
    while let Some(batch) = batches.recv().await {
        let sent = sender.send(&batch).await?;
        shared.tally.lock().add(&sent, batch.len());
        if let Sent::Accepted { ids, .. } = &sent {
            shared.progress.inc(ids.len() as u64);
            if let Some(ledger) = &shared.ledger {
                let mut ledger = ledger.lock();
                for (event, id) in ids.iter().zip(&batch.client_ids) {
                    let line = LedgerLine { event: *event, id: id.as_deref(), instance: &batch.instance };
                    serde_json::to_writer(&mut *ledger, &line)?;
                    ledger.write_all(b"\n")?;
                }
            }
        }
    }
    Ok(())
}
