//! `pombo import`: fills a store with what `pombo export` wrote.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Args;

use super::export::{check_alone, place};
use crate::app::open_alone;
use crate::cli::ConfigArgs;
use crate::commands::runtime;
use crate::migrate::{Import, MigrateError, import, verify};

/// Lines are long.
const BUFFER_BYTES: usize = 1 << 20;

#[derive(Args, Debug)]
pub struct ImportArgs {
    /// What `pombo export` wrote, checked as a whole before anything is written; - is standard input, checked as it comes
    #[arg(long, default_value = "-", value_name = "FILE")]
    pub file: PathBuf,
    /// Go on where an import of the same export was cut off: events that are there already are left alone
    #[arg(long)]
    pub resume: bool,
    /// Add to a store that is not empty, or that nodes are working on
    #[arg(long)]
    pub force: bool,
    #[command(flatten)]
    pub settings: ConfigArgs,
}

fn open(args: &ImportArgs) -> anyhow::Result<Box<dyn BufRead>> {
    if args.file.as_os_str() == "-" {
        return Ok(Box::new(BufReader::with_capacity(BUFFER_BYTES, io::stdin())));
    }
    let file = File::open(&args.file).with_context(|| format!("{} cannot be read", args.file.display()))?;
    Ok(Box::new(BufReader::with_capacity(BUFFER_BYTES, file)))
}

/// # Errors
/// When the export is not whole, the store is not empty or cannot be had alone.
pub fn run(args: &ImportArgs) -> anyhow::Result<ExitCode> {
    let config = args.settings.load()?.config;
    if args.file.as_os_str() != "-" {
        verify(open(args)?).with_context(|| format!("{}: nothing was imported", args.file.display()))?;
    }
    let (totals, taken) = runtime()?.block_on(async {
        let alone = open_alone(&config, place(&args.settings), false).await?;
        check_alone(&alone, args.force)?;
        let how = Import { resume: args.resume, force: args.force };
        let imported = import(&*alone.store, open(args)?, how).await;
        alone.store.close().await.context("closing the store")?;
        imported.map_err(|error| explain(error, &alone.place))
    })?;
    eprintln!("imported: {totals}");
    if taken < totals.events {
        eprintln!("{} of the events were there already and are as they were", totals.events - taken);
    }
    Ok(ExitCode::SUCCESS)
}

fn explain(error: MigrateError, place: &str) -> anyhow::Error {
    let what_now = match &error {
        MigrateError::NotEmpty(_) => "choose an empty one, or add to it with --force".to_owned(),
        MigrateError::Unfinished => "run the import again with --resume".to_owned(),
        MigrateError::NotAnExport(_) | MigrateError::NewerVersion(_) => "nothing was imported".to_owned(),
        _ => "what was read before is there and marked as unfinished, so that no server starts on it: \
              run the import of a whole export again with --resume"
            .to_owned(),
    };
    anyhow::Error::from(error).context(format!("importing into {place} failed; {what_now}"))
}
