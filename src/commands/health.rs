//! `pombo health`: asks a running engine whether it takes events. For supervisors of containers, whose images hold no other client.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use clap::Args;
use serde::Deserialize;
use url::Url;

use super::http::Client;
use super::{duration, runtime};
use crate::cli::ConfigArgs;

#[derive(Args, Debug)]
pub struct HealthArgs {
    /// The engine [default: the address of the setting `listen`, on this machine]
    #[arg(long)]
    pub url: Option<Url>,
    /// Only whether the process answers, not whether it takes events
    #[arg(long)]
    pub live: bool,
    /// Longest wait for the answer
    #[arg(long, default_value = "5s", value_parser = duration)]
    pub timeout: Duration,
    #[command(flatten)]
    pub settings: ConfigArgs,
}

/// What of `/readyz` is told.
#[derive(Deserialize, Default)]
struct Readiness {
    #[serde(default)]
    reasons: Vec<String>,
}

/// # Errors
/// When nothing answers in time, or the configuration is wrong. An engine that is not ready is exit code 1, with its reasons.
pub fn run(args: &HealthArgs) -> anyhow::Result<ExitCode> {
    let url = match &args.url {
        Some(url) => url.clone(),
        None => here(args.settings.load()?.config.listen),
    };
    runtime()?.block_on(ask(&url, args.live, args.timeout))
}

async fn ask(url: &Url, live: bool, timeout: Duration) -> anyhow::Result<ExitCode> {
    let path = if live { "/livez" } else { "/readyz" };
    let mut client = Client::new(url)?;
    let answer = tokio::time::timeout(timeout, client.send("GET", path, &[], Bytes::new())).await;
    let answer = answer.with_context(|| format!("{url} gave no answer within {timeout:?}"))??;
    if answer.status.is_success() {
        println!("{}", if live { "alive" } else { "ready" });
        return Ok(ExitCode::SUCCESS);
    }
    let Readiness { reasons } = serde_json::from_slice(&answer.body).unwrap_or_default();
    println!("not {}: {} {}", if live { "alive" } else { "ready" }, answer.status, reasons.join("; "));
    Ok(ExitCode::FAILURE)
}

/// An engine that listens on every address is asked on the machine's own.
fn here(listen: SocketAddr) -> Url {
    let ip = match listen.ip() {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => IpAddr::V6(Ipv6Addr::LOCALHOST),
        other => other,
    };
    let url = format!("http://{}/", SocketAddr::new(ip, listen.port()));
    url.parse().expect("an address and a port make a URL")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_engine_that_listens_everywhere_is_asked_on_this_machine() {
        for (listen, asked) in [
            ("0.0.0.0:8080", "http://127.0.0.1:8080/"),
            ("[::]:81", "http://[::1]:81/"),
            ("10.1.2.3:9", "http://10.1.2.3:9/"),
        ] {
            assert_eq!(here(listen.parse().unwrap()).as_str(), asked);
        }
    }
}
