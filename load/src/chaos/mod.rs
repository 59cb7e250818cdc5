//! `pombo-load chaos` and `pombo-load roll`: three replicas on one Redis behind a balancer, ledgers on both sides, and faults.
//!
//! The gateway's side ([`produce`]) sends an open loop of events and sends again what failed, with the same id; the receivers'
//! side ([`receive`]) writes every request down. What is done in between is decided by a seed ([`faults`]); afterwards both
//! sides are compared ([`judge`]) and each promise has its line in the report ([`report`]).

mod balancer;
mod cluster;
mod faults;
mod judge;
mod line;
mod logs;
mod node;
mod ports;
mod produce;
mod receive;
mod redis;
mod report;
mod table;
mod timeline;
mod webhooks;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use self::cluster::NODES;
use self::faults::{Fault, Planned};
use self::redis::Appendfsync;
use self::report::Asked;
use crate::engine;
use crate::temporary::TemporaryFolder;

/// What both commands take.
#[derive(Args, Clone, Debug)]
pub struct ClusterArgs {
    /// The engine's program; by default the one beside this program
    #[arg(long)]
    pub engine: Option<PathBuf>,
    /// Of load; longer if a fault takes longer to heal
    #[arg(long, default_value_t = 60.0)]
    pub seconds: f64,
    /// Events a second, each for five webhooks
    #[arg(long, default_value_t = 200.0)]
    pub rate: f64,
    #[arg(long, default_value_t = 12, value_parser = at_least_one)]
    pub instances: usize,
    /// Of each instance
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u64).range(1..=99_999))]
    pub chats: u64,
    #[arg(long, default_value_t = 48, value_parser = at_least_one)]
    pub connections: usize,
    #[arg(long, value_enum, default_value_t = Appendfsync::Everysec)]
    pub appendfsync: Appendfsync,
    /// Seconds without any delivery after which what has not arrived is lost
    #[arg(long, default_value_t = 25.0)]
    pub settle: f64,
    /// Where the report goes, in a folder with the date and the command's name
    #[arg(long, default_value = "load/results")]
    pub out: PathBuf,
    /// Keep data and logs of all processes
    #[arg(long)]
    pub keep: bool,
}

#[derive(Args, Clone, Debug)]
pub struct ChaosArgs {
    #[command(flatten)]
    pub cluster: ClusterArgs,
    /// Order and victims of the faults; random if absent, and printed
    #[arg(long)]
    pub seed: Option<u64>,
    /// With commas between; by default all that the durability survives
    #[arg(long, value_enum, value_delimiter = ',')]
    pub faults: Vec<Fault>,
}

#[derive(Args, Clone, Debug)]
pub struct RollArgs {
    #[command(flatten)]
    pub cluster: ClusterArgs,
}

fn at_least_one(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|count| *count > 0).ok_or_else(|| "a number from 1 on".to_owned())
}

/// A fault has this much time to heal before the next, at least.
const SLOT_S: f64 = 12.0;
const CALM_S: f64 = 3.0;

/// # Errors
/// When a process cannot be started or the report not be written; a promise that was not kept is told by the exit code.
pub fn run(args: &ChaosArgs) -> anyhow::Result<ExitCode> {
    let seed = args.seed.unwrap_or_else(|| fastrand::u64(0..1_000_000));
    let kinds = if args.faults.is_empty() { Fault::usual(args.cluster.appendfsync) } else { args.faults.clone() };
    let count = kinds.len().max(((args.cluster.seconds - 2.0 * CALM_S) / SLOT_S) as usize);
    let planned = faults::plan(&kinds, count, NODES, seed);
    go("chaos", &args.cluster, Some(seed), &planned)
}

/// # Errors
/// As [`run`].
pub fn roll(args: &RollArgs) -> anyhow::Result<ExitCode> {
    let roll = |node| Planned {
        fault: Fault::Roll,
        node: Some(node),
        lasts: std::time::Duration::ZERO,
        after: std::time::Duration::ZERO,
    };
    let planned: Vec<_> = (0..NODES).map(roll).collect();
    go("roll", &args.cluster, None, &planned)
}

fn go(name: &'static str, args: &ClusterArgs, seed: Option<u64>, planned: &[Planned]) -> anyhow::Result<ExitCode> {
    let program = args.engine.clone().map_or_else(engine::beside_this_program, Ok)?;
    let folder = TemporaryFolder::make(None)?;
    let asked = Asked {
        name,
        seed,
        rate: args.rate,
        instances: args.instances,
        chats: args.chats,
        appendfsync: args.appendfsync,
        planned: planned.to_vec(),
    };
    println!("{name}: {} replicas, {} events/s, seed {seed:?}", NODES, args.rate);
    let run = timeline::play(&program, folder.path(), args, planned);
    let report = run.map(|run| report::Report::new(asked, &run));
    if args.keep || !report.as_ref().is_ok_and(report::Report::passed) {
        println!("data and logs of all processes are kept in {}", folder.path().display());
        std::mem::forget(folder);
    }
    let report = report?;
    print!("{}", table::of(&report));
    let written = report.write(&args.out)?;
    println!("written to {}", written.display());
    Ok(if report.passed() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
