//! `pombo cluster`: asks a running engine who of its nodes does the work, and what waits where.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use clap::Args;
use serde::Deserialize;
use url::Url;

use crate::commands::http::Client;
use crate::commands::{paint::Paint, runtime};

#[derive(Args, Debug)]
pub struct ClusterArgs {
    /// Any node of the engine
    #[arg(long, default_value = "http://127.0.0.1:8080")]
    pub url: Url,
    /// Token of the admin
    #[arg(long, env = "POMBO_ADMIN_TOKEN", hide_env_values = true)]
    pub token: String,
    /// Print the answer as it came
    #[arg(long)]
    pub json: bool,
    /// Show shards with nothing to tell as well
    #[arg(long, conflicts_with = "json")]
    pub all: bool,
}

/// What of the answer is shown.
#[derive(Deserialize, Debug)]
#[serde(rename_all = "camelCase")]
struct Answered {
    node_id: String,
    now: jiff::Timestamp,
    durability: String,
    unfinished: u64,
    nodes: Vec<Node>,
    shards: Vec<Shard>,
}

#[derive(Deserialize, Debug)]
#[serde(rename_all = "camelCase")]
struct Node {
    #[serde(rename = "nodeId")]
    id: String,
    name: String,
    address: Option<String>,
    version: String,
    started_at: jiff::Timestamp,
    last_seen_at: jiff::Timestamp,
    shards: usize,
    unfinished: u64,
}

#[derive(Deserialize, Debug)]
#[serde(rename_all = "camelCase")]
struct Shard {
    #[serde(rename = "shard")]
    number: usize,
    owner: Option<String>,
    lease_until: Option<jiff::Timestamp>,
    unfinished: u64,
    oldest_due_at: Option<jiff::Timestamp>,
}

/// # Errors
/// When the engine is out of reach, refuses, or answers something else.
pub fn run(args: &ClusterArgs) -> anyhow::Result<ExitCode> {
    let body = runtime()?.block_on(ask(&args.url, &args.token))?;
    let mut out = std::io::stdout().lock();
    if args.json {
        out.write_all(&body)?;
        out.write_all(b"\n")?;
        return Ok(ExitCode::SUCCESS);
    }
    let answered: Answered =
        serde_json::from_slice(&body).context("the answer is not that of a pombo like this one")?;
    out.write_all(show(&answered, args.all, Paint::for_stdout()).as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

async fn ask(url: &Url, token: &str) -> anyhow::Result<Bytes> {
    let path = format!("{}/api/v2/admin/cluster", url.path().trim_end_matches('/'));
    let authorization = format!("Bearer {token}");
    let answer =
        Client::new(url)?.send("GET", &path, &[("authorization", authorization.as_str())], Bytes::new()).await?;
    if !answer.status.is_success() {
        let body = String::from_utf8_lossy(&answer.body);
        anyhow::bail!("{}: {}", answer.status, body.chars().take(500).collect::<String>());
    }
    Ok(answer.body)
}

fn show(answered: &Answered, all: bool, paint: Paint) -> String {
    let Answered { nodes, shards, now, .. } = answered;
    let mut out = String::new();
    let count = |number: usize, what: &str| format!("{number} {what}{}", if number == 1 { "" } else { "s" });
    let _ = writeln!(
        out,
        "{}, {}, {} unfinished, durability {}\n",
        count(nodes.len(), "node"),
        count(shards.len(), "shard"),
        answered.unfinished,
        answered.durability
    );
    let labels = labels(nodes);
    let rows = nodes.iter().map(|node| {
        [
            labels[node.id.as_str()].clone() + if node.id == answered.node_id { " *" } else { "" },
            node.name.clone(),
            node.address.clone().unwrap_or_else(|| "-".into()),
            node.version.clone(),
            age(*now, node.started_at),
            age(*now, node.last_seen_at),
            node.shards.to_string(),
            node.unfinished.to_string(),
        ]
    });
    let heads = ["node", "name", "address", "version", "up", "seen", "shards", "unfinished"];
    table(&mut out, heads, rows, paint);

    let told: Vec<_> = shards.iter().filter(|shard| all || shard.unfinished > 0 || shard.owner.is_none()).collect();
    if !told.is_empty() {
        out.push('\n');
        let rows = told.iter().map(|shard| {
            let owner = shard.owner.as_deref();
            [
                shard.number.to_string(),
                // A node that left a moment ago may still be the owner of a shard.
                owner.map_or_else(|| "nobody".into(), |id| labels.get(id).cloned().unwrap_or_else(|| id.into())),
                shard.lease_until.map_or_else(|| "-".into(), |until| age(until, *now)),
                shard.unfinished.to_string(),
                shard.oldest_due_at.map_or_else(|| "-".into(), |due| age(*now, due)),
            ]
        });
        table(&mut out, ["shard", "owner", "lease", "unfinished", "oldest due"], rows, paint);
    }
    let hidden = shards.len() - told.len();
    if hidden > 0 {
        let _ = writeln!(
            out,
            "\n{}",
            paint.faint(format!("{} more with an owner and nothing waiting: --all", count(hidden, "shard")))
        );
    }
    out
}

/// The beginnings of ids by which they can be told apart.
fn labels(nodes: &[Node]) -> HashMap<&str, String> {
    let ids: Vec<&str> = nodes.iter().map(|node| node.id.as_str()).collect();
    let start = |id: &str, length: usize| id.chars().take(length).collect::<String>();
    let is_enough = |length: &usize| {
        let starts: std::collections::HashSet<_> = ids.iter().map(|id| start(id, *length)).collect();
        starts.len() == ids.len()
    };
    let length = (8..36).find(is_enough).unwrap_or(36);
    ids.iter().map(|id| (*id, start(id, length))).collect()
}

/// From `earlier` to `later` in the greatest unit that is not 0; nothing below a second but 0.
fn age(later: jiff::Timestamp, earlier: jiff::Timestamp) -> String {
    let age = Duration::try_from(later.duration_since(earlier)).unwrap_or_default();
    match age.as_secs() {
        0 => format!("{:.1}s", age.as_secs_f64()),
        seconds @ 1..120 => format!("{seconds}s"),
        seconds @ 120..7_200 => format!("{}m", seconds / 60),
        seconds @ 7_200..172_800 => format!("{}h", seconds / 3_600),
        seconds => format!("{}d", seconds / 86_400),
    }
}

fn table<const N: usize>(out: &mut String, heads: [&str; N], rows: impl Iterator<Item = [String; N]>, paint: Paint) {
    let rows: Vec<_> = rows.collect();
    let width = |column: usize| {
        let cells = rows.iter().map(|row: &[String; N]| row[column].chars().count());
        cells.chain([heads[column].len()]).max().unwrap_or_default()
    };
    let widths: [usize; N] = std::array::from_fn(width);
    let line = |cells: [&str; N]| {
        let padded = cells.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}")).collect::<Vec<_>>();
        padded.join("  ").trim_end().to_owned()
    };
    let _ = writeln!(out, "{}", paint.strong(line(heads)));
    for row in &rows {
        let _ = writeln!(out, "{}", line(std::array::from_fn(|column| row[column].as_str())));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn answered() -> Answered {
        let node = |id: &str| {
            json!({
                "nodeId": id, "name": "host", "address": null, "version": "1.2.3", "shards": 1, "unfinished": 3,
                "startedAt": "2024-04-14T10:00:00.000Z", "lastSeenAt": "2024-04-14T12:59:59.500Z",
            })
        };
        let shard = |number: u8, owner: Option<&str>, unfinished: u8| {
            json!({
                "shard": number, "owner": owner, "token": 7, "unfinished": unfinished,
                "leaseUntil": owner.map(|_| "2024-04-14T13:00:04.000Z"),
                "oldestDueAt": (unfinished > 0).then_some("2024-04-14T12:58:30.000Z"),
            })
        };
        let (one, other) = ("aaaaaaaa-1000-4000-8000-000000000000", "aaaaaaaa-2000-4000-8000-000000000000");
        let answer = json!({
            "nodeId": other, "now": "2024-04-14T13:00:00.000Z", "durability": "aof-always", "unfinished": 3,
            "nodes": [node(one), node(other)],
            "shards": [shard(0, Some(one), 3), shard(1, None, 0), shard(2, Some(other), 0)],
        });
        serde_json::from_value(answer).unwrap()
    }

    #[test]
    fn shards_that_wait_or_have_no_owner_are_shown_and_the_rest_on_request() {
        let text = show(&answered(), false, Paint { colour: false });
        assert!(text.starts_with("2 nodes, 3 shards, 3 unfinished, durability aof-always\n"), "{text}");
        let row = |text: &str, start: &str| {
            let line = text.lines().skip(1).find(|line| line.split_whitespace().next() == Some(start));
            line.map(|line| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
        };
        assert_eq!(row(&text, "aaaaaaaa-1").unwrap(), ["aaaaaaaa-1", "host", "-", "1.2.3", "3h", "0.5s", "1", "3"]);
        assert_eq!(row(&text, "aaaaaaaa-2").unwrap()[1], "*", "the one that answers");
        assert_eq!(row(&text, "0").unwrap(), ["0", "aaaaaaaa-1", "4s", "3", "90s"]);
        assert_eq!(row(&text, "1").unwrap(), ["1", "nobody", "-", "0", "-"]);
        assert!(row(&text, "2").is_none() && text.contains("--all"), "{text}");
        let text = show(&answered(), true, Paint { colour: false });
        assert!(row(&text, "2").is_some() && !text.contains("--all"), "{text}");
    }

    #[test]
    fn an_age_is_told_in_one_unit_and_is_never_negative() {
        let at = |seconds: i64| jiff::Timestamp::from_second(seconds).unwrap();
        let told = [0, 1, 119, 120, 7_199, 7_200, 172_799, 172_800].map(|seconds| age(at(seconds), at(0)));
        assert_eq!(told, ["0.0s", "1s", "119s", "2m", "119m", "2h", "47h", "2d"]);
        assert_eq!(age(at(0), at(9)), "0.0s");
    }
}
