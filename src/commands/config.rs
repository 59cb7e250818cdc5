//! `pombo config`: the configuration that a start would use.

use std::io::Write as _;
use std::process::ExitCode;

use clap::Args;

use crate::cli::ConfigArgs;
use crate::config::{print, validate};

#[derive(Args, Debug)]
pub struct ConfigCommandArgs {
    /// Print a commented file with every setting instead of a table
    #[arg(long)]
    pub toml: bool,
    #[command(flatten)]
    pub settings: ConfigArgs,
}

/// # Errors
/// When the configuration is wrong, or standard output is closed.
pub fn run(args: &ConfigCommandArgs) -> anyhow::Result<ExitCode> {
    let loaded = args.settings.load()?;
    let text = if args.toml { print::toml(&loaded) } else { print::table(&loaded) };
    std::io::stdout().write_all(text.as_bytes())?;
    for warning in loaded.warnings.iter().chain(&validate::cautions(&loaded.config)) {
        eprintln!("note: {warning}");
    }
    Ok(ExitCode::SUCCESS)
}
