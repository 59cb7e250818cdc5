//! `pombo doctor`: looks at what a start would need, and says what to do about each problem.

pub mod database;
pub mod finding;
pub mod folder;
pub mod machine;
pub mod network;

use std::process::ExitCode;

use clap::Args;

use crate::cli::ConfigArgs;
use crate::commands::{paint::Paint, runtime};
use finding::{Finding, Level};

#[derive(Args, Debug)]
pub struct DoctorArgs {
    /// Try a receiver: resolve it, connect and post a small event, as a delivery would
    #[arg(long)]
    pub url: Option<String>,
    /// Name to resolve when no --url is given
    #[arg(long, default_value = "example.com")]
    pub resolve: String,
    #[command(flatten)]
    pub settings: ConfigArgs,
}

/// # Errors
/// When the configuration is wrong.
pub fn run(args: &DoctorArgs) -> anyhow::Result<ExitCode> {
    let loaded = args.settings.load()?;
    let config = &loaded.config;
    let mut findings = vec![Finding::good("configuration", "every setting is valid")];
    let notes = loaded.warnings.iter().cloned().chain(crate::config::validate::cautions(config));
    findings.extend(notes.map(|note| Finding::warn("configuration", note, "change the setting unless it is meant so")));
    if config.redis_url.is_none() {
        findings.extend(folder::check(&config.data_dir));
    }
    findings.push(machine::clock(crate::domain::Timestamp::now()));
    findings.push(machine::open_files());
    findings.extend(network::authorities(config));
    findings.push(network::port(config.listen));
    runtime()?.block_on(async {
        if let Some(url) = &config.redis_url {
            findings.extend(database::check(config, url).await);
        }
        match &args.url {
            Some(url) => findings.extend(network::receiver(url, config).await),
            None => findings.push(network::resolve(&args.resolve).await),
        }
    });

    let paint = Paint::for_stdout();
    for finding in &findings {
        println!("{}", finding.show(paint));
    }
    let count = |level| findings.iter().filter(|finding| finding.level == level).count();
    println!("{} checks, {} warnings, {} failures", findings.len(), count(Level::Warning), count(Level::Failure));
    Ok(if count(Level::Failure) == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
