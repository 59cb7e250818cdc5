//! What no single value shows: settings that contradict each other, files that are not there.

use super::Config;
use super::merge::Effective;
use super::problem::{Bad, Problem};

/// Checks a laid-over configuration. Settings that `known` already complains about are left out.
pub fn check(config: &Config, values: &[Effective], known: &[Problem]) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut find = |name: &str, problem: String, remedy: &str| {
        let value = values.iter().find(|value| value.setting.name == name).expect("a name of the table");
        if known.iter().all(|problem| problem.setting != name) {
            problems.push(Problem {
                setting: name.to_owned(),
                source: value.source.clone(),
                value: Some(value.setting.shown(&value.text)),
                bad: Bad::new(problem, remedy),
            });
        }
    };

    if config.breaker.max_open < config.breaker.open_for {
        let open = config.breaker.open_for.as_secs();
        find(
            "breaker.max_open_s",
            format!("shorter than breaker.open_s ({open})"),
            "raise it, or lower breaker.open_s",
        );
    }
    if config.limits.max_in_flight_bytes < config.limits.max_body_bytes as u64 {
        let body = config.limits.max_body_bytes;
        let problem = format!("less than limits.max_body_bytes ({body}): the largest request could never be taken");
        find("limits.max_in_flight_bytes", problem, "raise it, or lower limits.max_body_bytes");
    }
    if config.data_dir.exists() && !config.data_dir.is_dir() {
        find(
            "data_dir",
            "a file is there, not a folder".to_owned(),
            "name a folder; it is made when it does not exist",
        );
    }
    if let Some(path) = &config.extra_ca_file
        && let Err(error) = std::fs::File::open(path)
    {
        find("extra_ca_file", format!("cannot be read: {error}"), "name a readable PEM file, or remove the setting");
    }
    problems
}

/// What an operator should know at the start although nothing is wrong.
pub fn cautions(config: &Config) -> Vec<String> {
    let mut cautions = Vec::new();
    if config.targets.allow_http {
        cautions.push("allow_http is on: events travel to receivers unencrypted".to_owned());
    }
    if !config.targets.allow_networks.is_empty() || !config.targets.allow_hosts.is_empty() {
        cautions.push("allow_targets is set: webhooks may reach private addresses".to_owned());
    }
    if config.durability == crate::store::Durability::Os {
        cautions.push("durability is `os`: a loss of power can lose events that were accepted".to_owned());
    }
    cautions
}

#[cfg(test)]
mod tests {
    use super::super::load;
    use super::*;

    fn problems(flags: &[(&str, &str)]) -> Vec<String> {
        let flags: Vec<_> =
            flags.iter().map(|(name, text)| (format!("--{name}"), (*name).to_owned(), (*text).to_owned())).collect();
        load(None, &[], &flags).expect_err("bad").problems.into_iter().map(|problem| problem.setting).collect()
    }

    #[test]
    fn contradictions_and_missing_files_are_found_together() {
        let found = problems(&[
            ("breaker.open_s", "100"),
            ("breaker.max_open_s", "10"),
            ("limits.max_body_bytes", "128MiB"),
            ("extra_ca_file", "/nowhere/ca.pem"),
            ("data_dir", "Cargo.toml"),
        ]);
        assert_eq!(found, ["breaker.max_open_s", "limits.max_in_flight_bytes", "data_dir", "extra_ca_file"]);
    }

    #[test]
    fn nothing_is_said_about_defaults_and_every_relaxation_is() {
        let mut config = Config::default();
        assert!(cautions(&config).is_empty());
        config.targets.allow_http = true;
        config.targets.allow_hosts.push("n8n".into());
        config.durability = crate::store::Durability::Os;
        assert_eq!(cautions(&config).len(), 3);
    }
}
