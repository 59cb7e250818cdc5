//! The command line: what can be asked for, and how a failure is told.
//!
//! Exit codes: 0 done, 1 failed, 2 the command line or the configuration is wrong.

pub mod flags;
pub mod report;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

pub use flags::ConfigArgs;

use crate::commands::{cluster, config, demo, doctor, emit, health, listen};
use crate::config::{Loaded, validate};
use crate::telemetry::logging;

/// A durable webhook delivery engine for WhatsApp instances.
///
/// Without a command it serves.
#[derive(Parser, Debug)]
#[command(name = "pombo", version, args_conflicts_with_subcommands = true, max_term_width = 110)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Option<Command>,
    #[command(flatten)]
    pub serve: ConfigArgs,
}

#[derive(Subcommand, Debug)]
pub enum Command {
    /// Take events and deliver them (the default).
    Serve(ConfigArgs),
    /// Receive webhooks, check their signatures and show them.
    Listen(listen::ListenArgs),
    /// Run engine, receivers and realistic traffic in one process and watch.
    Demo(demo::DemoArgs),
    /// Send events from a file or standard input to a running engine.
    Emit(emit::EmitArgs),
    /// Show the nodes of a running engine, which shards they own and what waits there.
    Cluster(cluster::ClusterArgs),
    /// Show every setting, its value and where the value comes from.
    Config(config::ConfigCommandArgs),
    /// Check this machine and this configuration, and say what to do.
    Doctor(doctor::DoctorArgs),
    /// Ask a running engine whether it is ready: exit code 0 or 1.
    Health(health::HealthArgs),
}

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version arrive as errors too; clap knows which stream and code each has.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    match run(cli) {
        Ok(code) => code,
        // `pombo config | head`: whoever reads has seen enough.
        Err(error) if report::is_closed_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{}", report::explain(&error));
            report::code(&error)
        }
    }
}

fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    match cli.command.unwrap_or(Command::Serve(cli.serve)) {
        Command::Serve(args) => serve(&args),
        Command::Listen(args) => listen::run(args),
        Command::Demo(args) => demo::run(&args),
        Command::Emit(args) => emit::run(args),
        Command::Cluster(args) => cluster::run(&args),
        Command::Config(args) => config::run(&args),
        Command::Doctor(args) => doctor::run(&args),
        Command::Health(args) => health::run(&args),
    }
}

fn serve(args: &ConfigArgs) -> anyhow::Result<ExitCode> {
    let Loaded { config, warnings, .. } = args.load()?;
    logging::init(&config.log)?;
    for warning in warnings.into_iter().chain(validate::cautions(&config)) {
        tracing::warn!("{warning}");
    }
    crate::app::run(config)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn no_command_serves_and_takes_its_flags() {
        let cli = Cli::try_parse_from(["pombo", "--listen", "127.0.0.1:1"]).expect("valid");
        assert!(cli.command.is_none());
        assert_eq!(cli.serve.listen.as_deref(), Some("127.0.0.1:1"));
        let cli = Cli::try_parse_from(["pombo", "serve", "--allow-http"]).expect("valid");
        assert!(matches!(cli.command, Some(Command::Serve(args)) if args.allow_http.as_deref() == Some("true")));
    }

    #[test]
    fn a_flag_before_a_command_is_refused_rather_than_ignored() {
        assert!(Cli::try_parse_from(["pombo", "--listen", "127.0.0.1:1", "config"]).is_err());
    }

    #[test]
    fn every_command_reads_its_own_flags() {
        for line in [
            "pombo listen --port 0 --secret whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA --delay 2s --status 503 --count 3",
            "pombo emit --url http://127.0.0.1:8080 --token x --instance a --file - --rate 100",
            "pombo demo --instances 2 --webhooks 1 --seconds 1 --rate 10",
            "pombo cluster --url http://127.0.0.1:8080 --token x --json",
            "pombo config --toml --set workers=2",
            "pombo doctor --url https://example.com/hook",
            "pombo health --live --timeout 2s --listen 0.0.0.0:8080",
        ] {
            Cli::try_parse_from(line.split(' ')).unwrap_or_else(|error| panic!("{line}: {error}"));
        }
        assert!(Cli::try_parse_from("pombo emit --instance a --map-instances b --token x".split(' ')).is_err());
    }
}
