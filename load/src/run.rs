//! `pombo-load run`: a scenario, some times over, and whether it passed.

mod measure;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use crate::engine;
use crate::report::{Report, write};
use crate::scenario::Scenario;
use crate::usage::Machine;

#[derive(Args, Debug)]
pub struct RunArgs {
    /// Scenario, TOML
    pub scenario: PathBuf,
    /// The engine's program; by default the one beside this program
    #[arg(long)]
    pub engine: Option<PathBuf>,
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
    pub runs: u16,
    /// Instead of the scenario's seconds
    #[arg(long)]
    pub seconds: Option<f64>,
    /// Where the engine's folders are made: the disk that is measured
    #[arg(long)]
    pub data_parent: Option<PathBuf>,
    /// Where the report goes, in a folder with the date and the scenario's name
    #[arg(long, default_value = "load/results")]
    pub out: PathBuf,
    /// Seconds for each sender of the floor
    #[arg(long, default_value_t = 1.0)]
    pub floor_seconds: f64,
    /// Keep the engine's folder, its log included
    #[arg(long)]
    pub keep: bool,
}

/// # Errors
/// When a process cannot be started or the report not be written; a run that fails is told by the exit code.
pub fn run(args: &RunArgs) -> anyhow::Result<ExitCode> {
    let mut scenario = Scenario::read(&args.scenario)?;
    if let Some(seconds) = args.seconds {
        scenario.load.seconds = seconds;
    }
    let program = args.engine.clone().map_or_else(engine::beside_this_program, Ok)?;
    let name = args.scenario.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    println!("{name}: {}", scenario.description);
    let mut runs = Vec::new();
    for number in 1..=args.runs {
        let run = measure::once(&scenario, &program, args)?;
        println!("{}", write::run_line(number, &run));
        runs.push(run);
    }
    let report = Report::new(name, scenario, Machine::here(), runs);
    print!("{}", write::table(&report));
    let folder = write::files(&report, &args.out)?;
    println!("written to {}", folder.display());
    Ok(if report.failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
