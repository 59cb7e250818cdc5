//! `pombo export`: a whole store as lines, to a file or through a pipe to `pombo import`.

use std::fs::OpenOptions;
use std::io::{self, BufWriter, IsTerminal as _, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Args;

use crate::app::{OfflineStore, Place, open_alone};
use crate::cli::ConfigArgs;
use crate::commands::runtime;
use crate::migrate::{Export, export};

#[derive(Args, Debug)]
pub struct ExportArgs {
    /// Write to this file, which must not exist, instead of standard output
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Export although nodes work on it, or deliveries have lost their event: what changes meanwhile may be missing or come twice
    #[arg(long)]
    pub force: bool,
    #[command(flatten)]
    pub settings: ConfigArgs,
}

/// A folder that is named on the command line is meant, whatever else is configured.
pub(super) fn place(settings: &ConfigArgs) -> Place {
    if settings.data_dir.is_some() && settings.redis_url.is_none() { Place::Folder } else { Place::Configured }
}

/// Nobody else may work on the store.
pub(super) fn check_alone(alone: &OfflineStore, force: bool) -> anyhow::Result<()> {
    let nodes = alone.nodes.join(", ");
    match (alone.nodes.is_empty(), force) {
        (true, _) => Ok(()),
        (false, false) => {
            anyhow::bail!("{}: nodes are working on it: {nodes}; stop them first, or say --force", alone.place)
        }
        (false, true) => {
            eprintln!("note: {}: nodes are working on it: {nodes}; start them anew afterwards", alone.place);
            Ok(())
        }
    }
}

fn open(args: &ExportArgs) -> anyhow::Result<Box<dyn Write>> {
    let Some(path) = &args.out else { return Ok(Box::new(io::stdout())) };
    // It holds tokens and secrets.
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    Ok(Box::new(file.with_context(|| format!("{} cannot be made", path.display()))?))
}

/// # Errors
/// When the store cannot be had alone, or what is written cannot be.
pub fn run(args: &ExportArgs) -> anyhow::Result<ExitCode> {
    let config = args.settings.load()?.config;
    if args.out.is_none() && io::stdout().is_terminal() {
        anyhow::bail!("an export holds tokens and secrets, and is long: give --out FILE, or a pipe to `pombo import`");
    }
    let totals = runtime()?.block_on(async {
        let alone = open_alone(&config, place(&args.settings), true).await?;
        check_alone(&alone, args.force)?;
        let to = open(args)?;
        let how = Export { from: alone.place.clone(), force: args.force };
        let exported = export(&*alone.store, BufWriter::new(to), &how).await;
        alone.store.close().await.context("closing the store")?;
        exported.with_context(|| format!("exporting {} failed; what was written has no end", alone.place))
    })?;
    eprintln!("exported: {totals}");
    Ok(ExitCode::SUCCESS)
}
