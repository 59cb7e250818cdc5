//! The report as it is printed.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::cluster::NODES;
use super::report::Report;
use super::webhooks::SORTS;

pub fn of(report: &Report) -> String {
    let mut text = String::new();
    let mut line = |parts: std::fmt::Arguments<'_>| writeln!(text, "{parts}").expect("a String takes everything");
    line(format_args!(
        "{} at {}, commit {}, seed {:?}, appendfsync {:?}, {} cores {}",
        report.asked.name,
        report.at,
        report.commit,
        report.asked.seed,
        report.asked.appendfsync,
        report.machine.cores,
        report.machine.model
    ));
    line(format_args!(
        "{} replicas, {} instances × {} webhooks, {} events/s: {} events, {} requests at the receivers, settled {:.1} s after the load",
        NODES,
        report.asked.instances,
        SORTS.len(),
        report.asked.rate,
        report.events,
        report.requests,
        report.settled_after
    ));
    line(format_args!("the balancer counted {:?}", report.balancer));
    line(format_args!(
        "{:<22}{:>7}{:>8}{:>7}{:>8}{:>9}{:>9}{:>9}{:>9}{:>7}  warnings and errors by node",
        "seconds", "at", "healed", "tries", "ingest", "silence", "median", "prompt", "failing", "again"
    ));
    for phase in &report.phases {
        let loud: Vec<String> = phase.log.iter().map(|lines| lines.loud().to_string()).collect();
        line(format_args!(
            "{:<22}{:>7.1}{:>8.2}{:>7}{:>8.2}{:>9.2}{:>9.3}{:>9.2}{:>9.2}{:>7}  {}",
            phase.name,
            phase.begins_at,
            phase.healed_after,
            phase.tries,
            phase.longest_ingest,
            phase.longest_silence,
            phase.median_prompt,
            phase.slowest_prompt,
            phase.slowest_failing,
            phase.repeated,
            loud.join(" ")
        ));
        for (kind, count) in &phase.failed {
            line(format_args!("    {count} × {kind}"));
        }
        let mut said: BTreeMap<&str, u64> = BTreeMap::new();
        for (message, count) in phase.log.iter().flat_map(|lines| &lines.messages) {
            *said.entry(message).or_default() += count;
        }
        for (message, count) in said {
            line(format_args!("    log: {count} × {message}"));
        }
    }
    for told in &report.told_of_lost {
        line(format_args!("lost: {told}"));
    }
    for swap in report.swaps.iter().take(5) {
        line(format_args!("out of order: {swap:?}"));
    }
    for assertion in &report.assertions {
        let verdict = if assertion.passed { "pass" } else { "FAIL" };
        line(format_args!("{verdict}  {:<26}{}", assertion.name, assertion.found));
    }
    text
}
