//! What no single value shows: settings that contradict each other, files that are not there.

use super::Config;
use super::merge::Effective;
use super::problem::{Bad, Problem};
use crate::store::Durability;

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
    for (name, problem, remedy) in storage(config) {
        find(name, problem, remedy);
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

/// What is asked of the store that it can never do.
fn storage(config: &Config) -> Vec<(&'static str, String, &'static str)> {
    let mut problems = Vec::new();
    let options = &config.redis;
    let files = [
        ("store.ca_file", &options.ca_file),
        ("store.cert_file", &options.cert_file),
        ("store.key_file", &options.key_file),
    ];
    if let Some(url) = &config.redis_url {
        if matches!(config.require_durability, Some(Durability::Os | Durability::Fsync)) {
            let problem = "a level of the store in a folder, and redis_url is set".to_owned();
            problems.push(("require_durability", problem, "require aof-everysec or aof-always, or remove redis_url"));
        }
        for (name, path) in files {
            let Some(path) = path else { continue };
            if !url.reveal().starts_with("rediss://") {
                let problem = "redis_url is not that of a single server that speaks TLS".to_owned();
                problems.push((
                    name,
                    problem,
                    "write rediss:// in redis_url, or use SSL_CERT_FILE with Sentinel and Cluster",
                ));
            } else if let Err(error) = std::fs::File::open(path) {
                problems.push((
                    name,
                    format!("cannot be read: {error}"),
                    "name a readable PEM file, or remove the setting",
                ));
            }
        }
    } else {
        let required = config.require_durability;
        if matches!(required, Some(Durability::AofEverysec | Durability::AofAlways)) {
            let problem = "a level of Redis, and there is no redis_url".to_owned();
            problems.push(("require_durability", problem, "require os or fsync, or set redis_url"));
        } else if required.is_some_and(|least| !config.durability.holds(least)) {
            let problem = format!("durability is {}, which survives less", config.durability.as_str());
            problems.push(("require_durability", problem, "set durability to fsync, or require os"));
        }
        let waits = [("store.wait_replicas", options.wait_replicas > 0), ("store.wait_aof", options.wait_aof)];
        let given = files.iter().map(|(name, path)| (*name, path.is_some()));
        for (name, _) in waits.into_iter().chain(given).filter(|(_, is_set)| *is_set) {
            problems.push((
                name,
                "it is about Redis, and there is no redis_url".to_owned(),
                "set redis_url, or remove the setting",
            ));
        }
    }
    match (&options.cert_file, &options.key_file) {
        (Some(_), None) => {
            problems.push(("store.cert_file", "store.key_file is missing".to_owned(), "set both, or neither"));
        }
        (None, Some(_)) => {
            problems.push(("store.key_file", "store.cert_file is missing".to_owned(), "set both, or neither"));
        }
        _ => {}
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
    if config.durability == Durability::Os {
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
    fn what_the_store_can_never_do_is_refused() {
        let redis = ("redis_url", "redis://127.0.0.1/");
        for (flags, setting) in [
            (vec![("require_durability", "aof-always")], "require_durability"),
            (vec![("require_durability", "fsync"), ("durability", "os")], "require_durability"),
            (vec![("require_durability", "fsync"), redis], "require_durability"),
            (vec![("store.wait_replicas", "1")], "store.wait_replicas"),
            (vec![("store.wait_aof", "true")], "store.wait_aof"),
            (vec![("store.ca_file", "Cargo.toml"), redis], "store.ca_file"),
            (vec![("store.ca_file", "/nowhere/ca.pem"), ("redis_url", "rediss://h")], "store.ca_file"),
            (vec![("store.key_file", "Cargo.toml"), ("redis_url", "rediss://h")], "store.key_file"),
        ] {
            assert_eq!(problems(&flags), [setting], "{flags:?}");
        }
        for fine in [
            vec![("require_durability", "os"), ("durability", "os")],
            vec![("require_durability", "os")],
            vec![("require_durability", "aof-everysec"), redis],
            vec![("require_durability", "none"), redis],
        ] {
            let flags: Vec<_> =
                fine.iter().map(|(name, text)| (String::new(), (*name).into(), (*text).into())).collect();
            assert!(load(None, &[], &flags).is_ok(), "{fine:?}");
        }
    }

    #[test]
    fn nothing_is_said_about_defaults_and_every_relaxation_is() {
        let mut config = Config::default();
        assert!(cautions(&config).is_empty());
        config.targets.allow_http = true;
        config.targets.allow_hosts.push("n8n".into());
        config.durability = Durability::Os;
        assert_eq!(cautions(&config).len(), 3);
    }
}
