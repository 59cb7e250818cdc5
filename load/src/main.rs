//! Load for Pombo, and honest figures about it.
//!
//! - Engine, receivers and generator are processes of their own, so that the CPU of each is counted apart.
//! - Latency counts from the *intended* send time: an engine that stalls cannot hide it by slowing the generator down.
//! - Every delivery is in a ledger. A run that lost or repeated one is a failed run, however fast it was.
//! - Each run measures the machine's floor first, so that a busy machine shows in the ratio's divisor too.

mod api;
mod chaos;
mod client;
mod clock;
mod engine;
mod floor;
mod generate;
mod latency;
mod marker;
mod plan;
mod processes;
mod receive;
mod report;
mod run;
mod scenario;
mod temporary;
mod usage;
mod wire;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// The generator and the receivers allocate little; the engine's allocator all the same, so that none is at a disadvantage.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[derive(Parser, Debug)]
#[command(name = "pombo-load", version, about = "Load generator, receivers and measured floor for Pombo")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Measure what this machine can do at best: the same requests without an engine
    Floor(floor::FloorArgs),
    /// Run a scenario against an engine started for it
    Run(run::RunArgs),
    /// Three replicas on one Redis behind a balancer, under load, while one thing after another fails
    Chaos(chaos::ChaosArgs),
    /// The same cluster, and each replica restarted gracefully in turn: nothing may be lost, repeated or refused
    Roll(chaos::RollArgs),
    /// Serve as the receivers of all webhooks; used by `run`
    Receive(receive::ReceiveArgs),
    /// Send the events of a plan; used by `run`
    Generate {
        /// The plan, JSON
        plan: PathBuf,
        /// Where the result goes, JSON
        result: PathBuf,
    },
}

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Floor(args) => floor::run(&args),
        Command::Run(args) => run::run(&args),
        Command::Chaos(args) => chaos::run(&args),
        Command::Roll(args) => chaos::roll(&args),
        Command::Receive(args) => receive::run(&args),
        Command::Generate { plan, result } => generate::run(&plan, &result),
    };
    done.unwrap_or_else(|error| {
        eprintln!("pombo-load: {error:#}");
        ExitCode::FAILURE
    })
}
