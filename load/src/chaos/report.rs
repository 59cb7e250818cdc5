//! Each promise and whether it was kept; each phase and what it cost.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::balancer::Counted;
use super::faults::Planned;
use super::judge::{self, Lost, Repeat, Swap, Window};
use super::logs::{self, Lines};
use super::redis::Appendfsync;
use super::table;
use super::timeline::{Phase, Played};
use super::webhooks::{PERIOD_MS, SORTS, Sort};
use crate::report::commit;
use crate::usage::Machine;

/// Twice the lease: within this a dead node's work is taken over, and all work goes on when Redis is back.
const RESUME_S: f64 = 10.0;
/// From a 202 to a webhook that hinders nothing: the take-over, and the backlog after it.
const STALLED_S: f64 = 15.0;
/// Warnings and errors of one node in one phase; more is a flood.
const LOUD: u64 = 40;
/// Results on their way to the store at which a node starts no new attempt, and the default window of a webhook: together what
/// one crash may repeat.
const MAX_UNSETTLED: u64 = 4_096;
const WINDOW: u64 = 32;

/// What the run was asked for.
#[derive(Clone, Debug, Serialize)]
pub struct Asked {
    pub name: &'static str,
    pub seed: Option<u64>,
    pub rate: f64,
    pub instances: usize,
    pub chats: u64,
    pub appendfsync: Appendfsync,
    pub planned: Vec<Planned>,
}

/// Times in seconds; of a phase and what came of it until the next.
#[derive(Clone, Debug, Serialize)]
pub struct PhaseReport {
    pub name: String,
    pub begins_at: f64,
    pub healed_after: f64,
    pub ended_within: Option<f64>,
    /// Tries to hand an event in, and those that failed, by how.
    pub tries: u64,
    pub failed: BTreeMap<String, u64>,
    /// From the intended time of an event to its 202, over all that were due in this phase.
    pub longest_ingest: f64,
    /// Without a delivery to one prompt webhook.
    pub longest_silence: f64,
    /// How much of that nobody could have helped: Redis was away.
    pub nobody_could: f64,
    /// From the 202 to a prompt webhook.
    pub median_prompt: f64,
    pub slowest_prompt: f64,
    pub slowest_failing: f64,
    pub repeated: u64,
    /// By node.
    pub log: Vec<Lines>,
}

#[derive(Clone, Debug, Serialize)]
pub struct Assertion {
    pub name: &'static str,
    pub passed: bool,
    pub found: String,
}

#[derive(Clone, Debug, Serialize)]
pub struct Report {
    pub asked: Asked,
    pub at: String,
    pub commit: String,
    pub machine: Machine,
    pub events: usize,
    pub accepted: usize,
    pub accepted_as_duplicates: usize,
    pub requests: usize,
    pub settled_after: f64,
    pub limit: u64,
    pub worst_window: Window,
    /// Length of the window that the limit is held against: the period without what jitter and the longest stall may take.
    pub window_but_jitter_ms: u64,
    pub longest_stall_ms: u64,
    pub worst_window_but_jitter: Window,
    /// When that one begins, seconds of the run.
    pub worst_window_at: f64,
    /// How long before its repetition the oldest one had been acknowledged, seconds.
    pub oldest_repeat: f64,
    pub balancer: Counted,
    pub phases: Vec<PhaseReport>,
    pub assertions: Vec<Assertion>,
    pub lost: Vec<Lost>,
    pub told_of_lost: Vec<String>,
    pub swaps: Vec<Swap>,
    pub unexplained_repeats: Vec<Repeat>,
    pub failures: Vec<String>,
}

fn seconds(nanos: u64) -> f64 {
    nanos as f64 / 1e9
}

/// The crash that lies between an acknowledgement and its repetition.
fn explained_by(repeat: &Repeat, phases: &[Phase]) -> Option<usize> {
    phases.iter().enumerate().position(|(index, phase)| {
        let until = phases.get(index + 1).map_or(u64::MAX, |next| next.begun);
        let crash = phase.planned.is_some_and(|planned| planned.fault.may_repeat());
        crash && until > repeat.first && phase.begun < repeat.again
    })
}

impl Report {
    pub fn new(asked: Asked, run: &Played) -> Self {
        let firsts = judge::firsts(&run.arrivals);
        let lost = judge::lost(&run.sent, &firsts);
        let swaps = judge::out_of_order(&run.sent, &run.arrivals, asked.chats);
        let repeats = judge::repeats(&run.arrivals, &firsts);
        let mut repeated = vec![0; run.phases.len()];
        let mut unexplained = Vec::new();
        for repeat in &repeats {
            match explained_by(repeat, &run.phases) {
                Some(phase) => repeated[phase] += 1,
                None => unexplained.push(*repeat),
            }
        }
        let logs = logs::by_phase(&run.logs, &run.marks);
        let phase = |(index, phase): (usize, &Phase)| {
            let until = run.phases.get(index + 1).map_or(u64::MAX, |next| next.begun);
            let mut failed = BTreeMap::new();
            let failures = run.sent.iter().flat_map(|event| &event.failures);
            for (_, kind) in failures.filter(|(at, _)| (phase.begun..until).contains(at)) {
                *failed.entry(kind.clone()).or_default() += 1;
            }
            let accepted =
                run.sent.iter().filter(|event| event.accepted.is_some_and(|at| (phase.begun..until).contains(&at)));
            let due = run.sent.iter().filter(|event| (phase.begun..until).contains(&event.intended));
            let longest_ingest = due.filter_map(|event| Some(event.accepted?.saturating_sub(event.intended))).max();
            let ways = |sort: fn(Sort) -> bool| {
                let (half, all) = judge::ways(&run.sent, &firsts, phase.begun, until, sort);
                (seconds(half), seconds(all))
            };
            let (median_prompt, slowest_prompt) = ways(Sort::is_prompt);
            let (_, slowest_failing) = ways(|sort| sort == Sort::Failing);
            let webhooks = asked.instances * SORTS.len();
            PhaseReport {
                name: phase.name.clone(),
                begins_at: seconds(phase.begun - run.load_begun),
                healed_after: seconds(phase.healed - phase.begun),
                ended_within: phase.ended_within.map(|took| took.as_secs_f64()),
                tries: accepted.count() as u64 + failed.values().sum::<u64>(),
                failed,
                longest_ingest: seconds(longest_ingest.unwrap_or_default()),
                longest_silence: seconds(
                    judge::longest_silence(&firsts, webhooks, phase.begun, until.min(run.load_ended)).0,
                ),
                nobody_could: phase
                    .planned
                    .filter(|planned| planned.fault.stops_all())
                    .map_or(0.0, |planned| planned.lasts.as_secs_f64()),
                median_prompt,
                slowest_prompt,
                slowest_failing,
                repeated: repeated[index],
                log: logs[index].clone(),
            }
        };
        let phases: Vec<PhaseReport> = run.phases.iter().enumerate().map(phase).collect();
        let window_but_jitter_ms = judge::window_but_jitter_ms(run.longest_stall);
        let worst_window = judge::worst_window(&run.arrivals, PERIOD_MS);
        let worst_window_but_jitter = judge::worst_window(&run.arrivals, window_but_jitter_ms);
        let oldest_repeat = repeats.iter().map(|repeat| repeat.again - repeat.first).max().unwrap_or_default();
        let mut report = Self {
            asked,
            at: jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            commit: commit(),
            machine: Machine::here(),
            events: run.sent.len(),
            accepted: run.sent.iter().filter(|event| event.accepted.is_some()).count(),
            accepted_as_duplicates: run.sent.iter().filter(|event| event.duplicate).count(),
            requests: run.arrivals.len(),
            settled_after: seconds(run.settled.saturating_sub(run.load_ended)),
            limit: run.limit,
            worst_window,
            window_but_jitter_ms,
            longest_stall_ms: run.longest_stall.as_millis() as u64,
            worst_window_but_jitter,
            worst_window_at: seconds(worst_window_but_jitter.begins.saturating_sub(run.load_begun)),
            oldest_repeat: seconds(oldest_repeat),
            balancer: run.balancer.clone(),
            phases,
            assertions: Vec::new(),
            lost,
            told_of_lost: run.told.clone(),
            swaps,
            unexplained_repeats: unexplained,
            failures: run.failures.clone(),
        };
        report.assertions = report.judge(run.strange + run.unsigned, repeats.len() as u64);
        report
    }

    fn judge(&self, nonsense: u64, repeated: u64) -> Vec<Assertion> {
        let most = |figure: fn(&PhaseReport) -> f64| self.phases.iter().map(figure).fold(0.0, f64::max);
        let bound = MAX_UNSETTLED + WINDOW * (self.asked.instances * SORTS.len()) as u64;
        let most_repeated = self.phases.iter().map(|phase| phase.repeated).max().unwrap_or_default();
        let loudest = self.phases.iter().flat_map(|phase| &phase.log).map(Lines::loud).max().unwrap_or_default();
        let failed: u64 = self.phases.iter().flat_map(|phase| phase.failed.values()).sum();
        let (silence, stalled) =
            (most(|phase| phase.longest_silence - phase.nobody_could), most(|phase| phase.slowest_prompt));
        let (window, full) = (self.worst_window_but_jitter.requests, self.worst_window.requests);
        let rolls_only = self.asked.seed.is_none();
        let mut assertions = vec![
            (
                "lost",
                self.lost.is_empty(),
                format!("{} of {} deliveries", self.lost.len(), self.accepted * SORTS.len()),
            ),
            (
                "accepted in the end",
                self.accepted == self.events && self.events > 0,
                format!(
                    "{} of {} events, {} of them had been kept by a try that failed",
                    self.accepted, self.events, self.accepted_as_duplicates
                ),
            ),
            (
                "repeats within the bound",
                most_repeated <= bound && self.unexplained_repeats.is_empty(),
                format!(
                    "{repeated} in all, after one crash at most {most_repeated} (bound {bound}), {} without a crash, the oldest {:.2} s old",
                    self.unexplained_repeats.len(),
                    self.oldest_repeat
                ),
            ),
            ("order within each chat", self.swaps.is_empty(), format!("{} out of order", self.swaps.len())),
            (
                "rate limit",
                window <= self.limit,
                format!(
                    "at most {window} requests in {} ms ({full} in {PERIOD_MS} ms at arrival), the limit is {}; the fullest at {:.2} s",
                    self.window_but_jitter_ms, self.limit, self.worst_window_at
                ),
            ),
            (
                "service resumes",
                silence <= RESUME_S,
                format!("longest silence of a webhook {silence:.2} s, without the time of Redis (bound {RESUME_S} s)"),
            ),
            (
                "nothing is stuck",
                stalled <= STALLED_S,
                format!("from a 202 to a prompt webhook at most {stalled:.2} s (bound {STALLED_S} s)"),
            ),
            (
                "no flood of logs",
                loudest <= LOUD,
                format!("at most {loudest} warnings and errors of a node in a phase (bound {LOUD})"),
            ),
            ("requests make sense", nonsense == 0, format!("{nonsense} unsigned or of unknown shape")),
            (
                "processes behave",
                self.failures.is_empty(),
                if self.failures.is_empty() { "all as told".to_owned() } else { self.failures.join("; ") },
            ),
        ];
        if rolls_only {
            assertions.push(("no failed request", failed == 0, format!("{failed} failed at the balancer")));
            assertions.push(("no repeat at all", repeated == 0, format!("{repeated} repeated")));
        }
        assertions.into_iter().map(|(name, passed, found)| Assertion { name, passed, found }).collect()
    }

    pub fn passed(&self) -> bool {
        self.assertions.iter().all(|assertion| assertion.passed)
    }

    /// `report.json` and `report.txt`; answers their folder.
    pub fn write(&self, out: &Path) -> anyhow::Result<PathBuf> {
        let seed = self.asked.seed.map_or_else(String::new, |seed| format!("-{seed}"));
        let fsync = if self.asked.appendfsync == Appendfsync::Always { "-always" } else { "" };
        let folder = out.join(format!("{}-{}{fsync}{seed}", &self.at[..10], self.asked.name));
        fs::create_dir_all(&folder)?;
        fs::write(folder.join("report.json"), serde_json::to_vec_pretty(self)?)?;
        fs::write(folder.join("report.txt"), table::of(self))?;
        Ok(folder)
    }
}
