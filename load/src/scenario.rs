//! A scenario: what is sent, to whom, and within which ranges the figures must lie.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, ensure};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::plan::Phase;
use crate::receive::Behaviour;

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// One sentence for the report.
    pub description: String,
    pub load: Load,
    /// Webhooks of each instance.
    pub webhooks: Vec<Webhooks>,
    #[serde(default)]
    pub tls: bool,
    /// Settings of the engine by environment, beside where it listens and stores; measured with everything on.
    #[serde(default)]
    pub engine: BTreeMap<String, String>,
    #[serde(default)]
    pub pass: Pass,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Load {
    pub mode: Mode,
    pub seconds: f64,
    #[serde(default)]
    pub warmup: f64,
    /// Events a second; open loop, unless there are phases.
    #[serde(default)]
    pub rate: f64,
    #[serde(default)]
    pub phases: Vec<Phase>,
    /// Events of each instance; drain.
    #[serde(default)]
    pub events: u64,
    /// Deliveries under way at most; closed loop.
    #[serde(default)]
    pub in_flight: u64,
    #[serde(default = "one")]
    pub instances: usize,
    pub connections: usize,
    #[serde(default = "one")]
    pub batch: usize,
    /// Of an event as it is handed in.
    #[serde(default = "small")]
    pub body_bytes: usize,
    #[serde(default = "chats")]
    pub chats: u32,
    /// Whether each event has an id of the caller's, looked up against repetition.
    #[serde(default)]
    pub ids: bool,
    /// Seconds without a delivery after which the missing ones are lost.
    #[serde(default = "patience")]
    pub patience: f64,
}

const fn one() -> usize {
    1
}

const fn small() -> usize {
    600
}

const fn chats() -> u32 {
    50
}

const fn patience() -> f64 {
    10.0
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// At a fixed rate.
    Open,
    /// As fast as deliveries arrive.
    Closed,
    /// Everything is accepted while the webhooks pause; what counts is how fast it goes out afterwards.
    Drain,
}

/// Some webhooks of an instance that behave alike.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Webhooks {
    pub count: usize,
    pub behaviour: Behaviour,
    /// Fields of the management API, e.g. `ordering` or `retry`.
    #[serde(default)]
    pub fields: Map<String, Value>,
}

/// Bounds for the medians over all runs; those that are absent are not looked at.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pass {
    /// Deliveries a second.
    pub min_rate: Option<f64>,
    pub max_accept_p99_ms: Option<f64>,
    pub max_e2e_p50_ms: Option<f64>,
    pub max_e2e_p99_ms: Option<f64>,
    /// CPU of the engine for a delivery.
    pub max_engine_us: Option<f64>,
    /// The same over the CPU of a bare hyper client for a POST, measured in the same run.
    pub max_engine_to_hyper: Option<f64>,
    pub max_peak_rss_mib: Option<f64>,
    /// From the end of the warm-up to the end.
    pub max_rss_growth_mib: Option<f64>,
}

impl Scenario {
    /// # Errors
    /// When the file is not a scenario, or not one that can be run.
    pub fn read(file: &Path) -> anyhow::Result<Self> {
        let name = || file.display().to_string();
        let text = std::fs::read_to_string(file).with_context(name)?;
        let scenario: Self = toml::from_str(&text).with_context(name)?;
        scenario.check().with_context(name)?;
        Ok(scenario)
    }

    fn check(&self) -> anyhow::Result<()> {
        let load = &self.load;
        ensure!(
            load.instances > 0 && load.connections > 0 && load.batch > 0,
            "instances, connections and batch count from 1"
        );
        ensure!(load.body_bytes >= 400, "an event without text has 400 bytes");
        ensure!(load.chats <= 99_999 && load.instances <= 999_999, "chats have 5 digits, instances 6");
        ensure!(self.must_deliver().contains(&true), "no webhook that delivers");
        match load.mode {
            Mode::Open => ensure!(load.rate > 0.0 || !load.phases.is_empty(), "an open loop needs a rate or phases"),
            Mode::Closed => {
                ensure!(load.in_flight > 0 && load.seconds > 0.0, "a closed loop needs in_flight and seconds");
            }
            Mode::Drain => ensure!(load.events > 0, "a drain needs events"),
        }
        Ok(())
    }

    /// Class of each webhook of an instance.
    pub fn classes(&self) -> impl Iterator<Item = (usize, &Webhooks)> {
        self.webhooks
            .iter()
            .enumerate()
            .flat_map(|(class, webhooks)| std::iter::repeat_n((class, webhooks), webhooks.count))
    }

    /// For each webhook of an instance, whether its deliveries must arrive.
    pub fn must_deliver(&self) -> Vec<bool> {
        self.classes().map(|(_, webhooks)| webhooks.behaviour.must_deliver()).collect()
    }

    /// Whether anything asks for an order.
    pub fn is_ordered(&self) -> bool {
        self.webhooks.iter().any(|webhooks| webhooks.fields.get("ordering").is_some_and(|order| order != "none"))
    }

    /// Those of an open loop.
    pub fn phases(&self) -> Vec<Phase> {
        let Load { warmup, seconds, rate, .. } = self.load;
        if self.load.phases.is_empty() {
            vec![Phase { seconds: warmup + seconds, rate }]
        } else {
            self.load.phases.clone()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_scenario_in_the_folder_can_be_run() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
        let mut names = Vec::new();
        for file in std::fs::read_dir(folder).expect("the folder") {
            let path = file.expect("an entry").path();
            Scenario::read(&path).unwrap_or_else(|error| panic!("{error:#}"));
            names.push(path.file_stem().expect("a name").to_string_lossy().into_owned());
        }
        assert!(names.len() >= 13, "{names:?}");
    }

    #[test]
    fn a_scenario_that_nobody_could_run_is_refused() {
        let text = "description = 'x'\nload = { mode = 'open', seconds = 1, connections = 1 }\n\
                    webhooks = [{ count = 1, behaviour = 'receive' }]";
        let scenario: Scenario = toml::from_str(text).expect("well formed");
        assert!(scenario.check().expect_err("no rate").to_string().contains("rate"));
    }
}
