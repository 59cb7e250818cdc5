//! The course of the demo: start, set up, send, drain, count, stop.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use clap::Args;
use url::Url;

use super::api::Api;
use super::board::{Board, REFRESH, quantiles, station_line};
use super::count::{Count, Owed, count};
use super::station::{self, Station};
use super::traffic::{self, Accepted};
use crate::commands::emit::Sender;
use crate::commands::listen::Ledger;
use crate::commands::{paint::Paint, runtime};
use crate::config::{Config, LogLevel, SecretText};
use crate::telemetry::logging;

const CONNECTIONS: usize = 8;
const INSTANCES_PER_BUSINESS: usize = 10;
/// Longer than the longest step of the failing receiver's schedule, jitter and a probe of its breaker included.
const QUIET: Duration = Duration::from_secs(5);
const MAX_DRAIN: Duration = Duration::from_mins(2);
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Args, Debug)]
pub struct DemoArgs {
    /// WhatsApp instances
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=5_000))]
    pub instances: u16,
    /// Webhooks of each instance; from three on, one is slow and one fails
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=50))]
    pub webhooks: u8,
    /// Seconds of traffic
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..))]
    pub seconds: u16,
    /// Events a second
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..))]
    pub rate: u32,
}

/// A folder that is gone when the demo is.
struct TemporaryFolder(PathBuf);

impl TemporaryFolder {
    fn make() -> std::io::Result<Self> {
        let path = std::env::temp_dir().join(format!("pombo-demo-{}", uuid::Uuid::new_v4()));
        std::fs::create_dir(&path).map(|()| Self(path))
    }
}

impl Drop for TemporaryFolder {
    fn drop(&mut self) {
        // What cannot be removed lies in the system's folder for such things.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// # Errors
/// When the engine cannot be started or used.
pub fn run(args: &DemoArgs) -> anyhow::Result<ExitCode> {
    let folder = TemporaryFolder::make().context("cannot make a temporary folder")?;
    let mut config = Config {
        listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
        data_dir: folder.0.clone(),
        admin_token: Some(SecretText::new(&format!("demo-{}", uuid::Uuid::new_v4()))),
        ..Config::default()
    };
    // The receivers are on this machine and speak plain HTTP.
    config.targets.allow_http = true;
    config.targets.allow_networks.push(ipnet::Ipv4Net::new_assert(Ipv4Addr::new(127, 0, 0, 0), 8).into());
    // A failing receiver is part of the show, not news.
    config.log.level = LogLevel::parse("error").expect("a level");
    logging::init(&config.log)?;

    println!("starting an engine in {}", folder.0.display());
    let app = crate::app::start(config)?;
    let url: Url = format!("http://{}", app.addr()).parse()?;
    let shown = runtime()?.block_on(show(args, &url, app.admin_token()));
    app.stop()?;
    shown
}

async fn show(args: &DemoArgs, url: &Url, token: &str) -> anyhow::Result<ExitCode> {
    let ledger = Arc::new(Ledger::default());
    let stations = station::open(usize::from(args.webhooks), &ledger).await?;
    let mut api = Api::new(url, token)?;
    let (instances, webhooks) = set_up(&mut api, usize::from(args.instances), &stations).await?;
    println!("{} instances with {} webhooks each; API: {url}", instances.len(), stations.len());

    let accepted = Arc::new(Accepted::default());
    let senders = (0..CONNECTIONS).map(|_| Sender::new(url, token, PATIENCE)).collect::<Result<Vec<_>, _>>()?;
    let mut board = Board::new();
    let begun = Instant::now();
    {
        let time = Duration::from_secs(args.seconds.into());
        let traffic = traffic::run(senders, &instances, args.rate, time, &accepted);
        tokio::pin!(traffic);
        let mut tick = tokio::time::interval(REFRESH);
        loop {
            tokio::select! {
                ended = &mut traffic => break ended?,
                _ = tick.tick() => board.refresh(&stations, &accepted, &ledger),
            }
        }
    }
    let sending = begun.elapsed();
    drain(&mut board, &stations, &accepted, &ledger).await;

    let events = std::mem::take(&mut *accepted.events.lock());
    let result = count(&events, &webhooks, &ledger, &mut api).await?;
    Ok(summary(&result, &stations, &accepted, sending))
}

/// Businesses, instances and webhooks through the API; each receiver learns the secrets of its webhooks.
async fn set_up(api: &mut Api, count: usize, stations: &[Station]) -> anyhow::Result<(Vec<String>, Vec<Owed>)> {
    let (mut instances, mut webhooks) = (Vec::with_capacity(count), Vec::new());
    let mut business = String::new();
    for index in 0..count {
        if index % INSTANCES_PER_BUSINESS == 0 {
            business = api.business(&format!("Business {}", index / INSTANCES_PER_BUSINESS + 1)).await?;
        }
        let instance = api.instance(&business, &format!("demo-{}", index + 1)).await?;
        for station in stations {
            let path = format!("/{instance}/{}", station.name);
            let made = api.webhook(&instance, &station.name, &station.receiver.url(&path), &station.webhook).await?;
            station.receiver.trust(&path, &made.secret);
            webhooks.push(Owed { instance: instance.clone(), webhook: made.id, path });
        }
        instances.push(instance);
    }
    Ok((instances, webhooks))
}

/// Until everything has arrived, or nothing has for a while.
async fn drain(board: &mut Board, stations: &[Station], accepted: &Accepted, ledger: &Ledger) {
    let owed = accepted.count.load(Ordering::Relaxed) * stations.len() as u64;
    let (begun, mut last_news, mut seen) = (Instant::now(), Instant::now(), 0);
    let mut tick = tokio::time::interval(REFRESH);
    while begun.elapsed() < MAX_DRAIN && last_news.elapsed() < QUIET {
        tick.tick().await;
        board.refresh(stations, accepted, ledger);
        let (taken, _) = ledger.totals();
        if taken >= owed {
            return;
        }
        if taken != seen {
            (seen, last_news) = (taken, Instant::now());
        }
    }
}

fn summary(count: &Count, stations: &[Station], accepted: &Accepted, sending: Duration) -> ExitCode {
    let paint = Paint::for_stdout();
    let events = accepted.count.load(Ordering::Relaxed);
    let (p50, p99) = quantiles(stations);
    println!("\n{}", paint.strong("what became of it"));
    println!("  accepted    {events} events, {:.0}/s", events as f64 / sending.as_secs_f64().max(0.001));
    println!("  owed        {} deliveries, acceptance to receiver p50 {p50} ms, p99 {p99} ms", count.owed);
    println!("  once        {}", count.once);
    println!("  superseded  {} (presence and QR codes: only the newest is of use)", count.superseded);
    println!("  repeated    {}", count.repeated);
    for (status, pairs) in &count.missing {
        println!("  missing     {pairs}, which the engine calls {status}");
    }
    for station in stations {
        println!("{}", station_line(station, paint));
    }
    let refused = accepted.refused.load(Ordering::Relaxed);
    let bad_signatures: u64 = stations.iter().map(|station| station.receiver.counts().bad_signatures).sum();
    if count.is_even() && refused == 0 && bad_signatures == 0 {
        println!("{}", paint.good("every event reached every webhook once"));
        return ExitCode::SUCCESS;
    }
    let problem = format!("not even: {refused} events refused, {bad_signatures} bad signatures, see above");
    println!("{}", paint.bad(problem));
    ExitCode::FAILURE
}
