//! The report on the terminal and as files.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use super::svg::{Axis, Line, Plot};
use super::{MIB, Report, Run, spread};
use crate::latency::Latency;

pub fn run_line(number: u16, run: &Run) -> String {
    let verdict = if run.failures.is_empty() { "counts right".to_owned() } else { run.failures.join("; ") };
    format!(
        "run {number}: {:.0} deliveries/s, e2e p50 {:.2} p99 {:.2} ms, engine {:.1} µs a delivery ({:.2} × hyper), {verdict}",
        run.rate, run.e2e.p50, run.e2e.p99, run.engine_us, run.engine_to_hyper
    )
}

type Figure = (&'static str, fn(&Run) -> f64);

/// One line a figure: its name and where it stands in a run.
const FIGURES: [Figure; 25] = [
    ("deliveries/s", |run| run.rate),
    ("events/s", |run| run.events_rate),
    ("accept p50 ms", |run| run.accept.p50),
    ("accept p90 ms", |run| run.accept.p90),
    ("accept p99 ms", |run| run.accept.p99),
    ("accept p99.9 ms", |run| run.accept.p999),
    ("accept max ms", |run| run.accept.max),
    ("e2e p50 ms", |run| run.e2e.p50),
    ("e2e p90 ms", |run| run.e2e.p90),
    ("e2e p99 ms", |run| run.e2e.p99),
    ("e2e p99.9 ms", |run| run.e2e.p999),
    ("e2e max ms", |run| run.e2e.max),
    ("engine CPU µs/delivery", |run| run.engine_us),
    ("receiver CPU µs/delivery", |run| run.receiver_us),
    ("generator CPU µs/delivery", |run| run.generator_us),
    ("engine switches/delivery", |run| run.switches_per_delivery),
    ("engine peak RSS MiB", |run| run.peak_rss_mib),
    ("engine end RSS MiB", |run| run.end_rss_mib),
    ("floor raw POST/s", |run| run.floor.raw.rate),
    ("floor raw sender µs", |run| run.floor.raw.sender_us),
    ("floor hyper POST/s", |run| run.floor.hyper.rate),
    ("floor hyper sender µs", |run| run.floor.hyper.sender_us),
    ("floor receiver µs", |run| run.floor.hyper.receiver_us),
    ("engine CPU / hyper floor", |run| run.engine_to_hyper),
    ("rate / hyper floor", |run| run.rate_to_hyper),
];

pub fn table(report: &Report) -> String {
    let mut text = String::new();
    let run = &report.runs[report.median];
    let load = &report.scenario.load;
    let mut line = |parts: std::fmt::Arguments<'_>| writeln!(text, "{parts}").expect("a String takes everything");
    line(format_args!(
        "{} at {}, commit {}, durability {}, {} cores {}, {} runs",
        report.name,
        report.at,
        report.commit,
        run.durability,
        report.machine.cores,
        report.machine.model,
        report.runs.len()
    ));
    line(format_args!(
        "{} instances × {} webhooks, {} connections, {} events a request of {} bytes, delivered bodies of {:.0} bytes",
        load.instances,
        report.scenario.classes().count(),
        load.connections,
        load.batch,
        load.body_bytes,
        run.delivered_body_bytes
    ));
    line(format_args!("{:<28}{:>12}{:>12}{:>12}", "", "median", "least", "greatest"));
    for (name, figure) in FIGURES {
        let [median, least, greatest] = spread(&report.runs, figure).map(short);
        line(format_args!("{name:<28}{median:>12}{least:>12}{greatest:>12}"));
    }
    for class in run.classes.iter().filter(|_| run.classes.len() > 1) {
        let Latency { p50, p99, max, .. } = class.e2e;
        line(format_args!(
            "{:<28}{} acknowledged, {} refused, e2e p50 {p50:.2} p99 {p99:.2} max {max:.2} ms",
            class.behaviour, class.acknowledged, class.refused
        ));
    }
    line(format_args!(
        "{} events accepted, {} refused, {} of {} deliveries, {} requests at the receivers, {} late requests",
        run.events, run.events_refused, run.delivered, run.owed, run.requests, run.late_requests
    ));
    match report.failures.as_slice() {
        [] => line(format_args!("PASS")),
        failures => failures.iter().for_each(|failure| line(format_args!("FAIL {failure}"))),
    }
    text
}

fn short(value: f64) -> String {
    let digits = match value {
        value if value >= 1_000.0 => 0,
        value if value >= 100.0 => 1,
        _ => 2,
    };
    format!("{value:.digits$}")
}

/// `report.json`, `report.txt` and the plots; answers their folder.
pub fn files(report: &Report, out: &Path) -> anyhow::Result<PathBuf> {
    let folder = out.join(format!("{}-{}", &report.at[..10], report.name));
    fs::create_dir_all(&folder)?;
    fs::write(folder.join("report.json"), serde_json::to_vec_pretty(report)?)?;
    fs::write(folder.join("report.txt"), table(report))?;
    fs::write(folder.join("latency.svg"), latency_plot(report).draw())?;
    fs::write(folder.join("rate.svg"), rate_plot(report).draw())?;
    fs::write(folder.join("memory.svg"), memory_plot(report).draw())?;
    Ok(folder)
}

fn latency_plot(report: &Report) -> Plot {
    let run = &report.runs[report.median];
    let line = |name: &str, latency: &Latency| Line { name: name.to_owned(), points: latency.curve.clone() };
    Plot {
        title: format!("{}: latency by quantile, {:.0} deliveries/s", report.name, run.rate),
        x: Axis { name: "1 / (1 − quantile): 10 is p90, 100 is p99", logarithmic: true },
        y: Axis { name: "ms", logarithmic: true },
        lines: vec![line("intended send to 202", &run.accept), line("intended send to arrival", &run.e2e)],
    }
}

fn rate_plot(report: &Report) -> Plot {
    let line = |(index, run): (usize, &Run)| {
        let rates = run.samples.windows(2).map(|pair| {
            let [before, after] = [&pair[0], &pair[1]];
            let rate = (after.delivered - before.delivered) as f64 / (after.seconds - before.seconds).max(0.001);
            [after.seconds, rate]
        });
        Line { name: format!("run {}", index + 1), points: rates.collect() }
    };
    Plot {
        title: format!("{}: deliveries a second", report.name),
        x: Axis { name: "s", logarithmic: false },
        y: Axis { name: "deliveries/s", logarithmic: false },
        lines: report.runs.iter().enumerate().map(line).collect(),
    }
}

fn memory_plot(report: &Report) -> Plot {
    let line = |(index, run): (usize, &Run)| Line {
        name: format!("run {}", index + 1),
        points: run.samples.iter().map(|sample| [sample.seconds, sample.rss_bytes as f64 / MIB]).collect(),
    };
    Plot {
        title: format!("{}: resident memory of the engine", report.name),
        x: Axis { name: "s", logarithmic: false },
        y: Axis { name: "MiB", logarithmic: false },
        lines: report.runs.iter().enumerate().map(line).collect(),
    }
}
