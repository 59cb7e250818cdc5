//! The four sources laid over each other, each value remembering where it came from.

use std::path::{Path, PathBuf};

use super::problem::{Bad, ConfigError, Problem, Source};
use super::settings::{SETTINGS, Setting};
use super::{Config, DEFAULT_FILE, env, file, validate};

/// A text that a source gives for a setting.
#[derive(Clone, Debug)]
pub struct Given {
    pub setting: &'static Setting,
    pub source: Source,
    pub text: String,
}

/// The value of a setting that is in force.
#[derive(Clone, Debug)]
pub struct Effective {
    pub setting: &'static Setting,
    pub source: Source,
    pub text: String,
}

/// A configuration and how it came about.
#[derive(Clone, Debug)]
pub struct Loaded {
    pub config: Config,
    /// In the order of [`SETTINGS`].
    pub values: Vec<Effective>,
    pub warnings: Vec<String>,
}

/// Reads all sources. `flags`: the flag as typed, the setting's name, the text. `variables`: the environment.
///
/// # Errors
/// [`ConfigError`] with every problem of every source, also of values that another source overrides.
pub fn load(
    config_file: Option<&Path>,
    variables: &[(String, String)],
    flags: &[(String, String, String)],
) -> Result<Loaded, ConfigError> {
    let named = config_file
        .map(Path::to_owned)
        .or_else(|| variables.iter().find(|(name, _)| name == env::FILE_VARIABLE).map(|(_, path)| PathBuf::from(path)));
    let (mut given, mut problems) = file::read(named.as_deref(), Path::new(DEFAULT_FILE));
    let (from_env, warnings) = env::read(variables);
    given.extend(from_env);
    for (flag, name, text) in flags {
        let source = Source::Flag(flag.clone());
        match Setting::find(name) {
            Some(setting) => given.push(Given { setting, source, text: text.clone() }),
            None => problems.push(Problem {
                setting: name.clone(),
                source,
                value: None,
                bad: Bad::new("there is no such setting", file::suggestion(name)),
            }),
        }
    }
    let (config, values, bad_values) = lay_over(&given);
    problems.extend(bad_values);
    problems.extend(validate::check(&config, &values, &problems));
    if problems.is_empty() { Ok(Loaded { config, values, warnings }) } else { Err(ConfigError { problems }) }
}

/// `given` in rising precedence; a bad value is told and leaves the one below it in force.
fn lay_over(given: &[Given]) -> (Config, Vec<Effective>, Vec<Problem>) {
    let mut config = Config::default();
    let mut problems = Vec::new();
    let mut values = Vec::with_capacity(SETTINGS.len());
    for setting in SETTINGS {
        let mut effective = Effective { setting, source: Source::Default, text: setting.default.to_owned() };
        for value in given.iter().filter(|value| value.setting.name == setting.name) {
            match (setting.apply)(&mut config, &value.text) {
                Ok(()) => {
                    effective = Effective { setting, source: value.source.clone(), text: value.text.clone() };
                }
                Err(bad) => problems.push(Problem {
                    setting: setting.name.to_owned(),
                    source: value.source.clone(),
                    value: Some(setting.shown(&value.text)),
                    bad,
                }),
            }
        }
        values.push(effective);
    }
    (config, values, problems)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(list: &[(&str, &str)]) -> Vec<(String, String)> {
        list.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect()
    }

    fn flag(name: &str, text: &str) -> (String, String, String) {
        (format!("--{name}"), name.to_owned(), text.to_owned())
    }

    fn with_file(text: &str) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("pombo.toml");
        std::fs::write(&path, text).expect("written");
        (folder, path)
    }

    #[test]
    fn a_flag_beats_the_environment_beats_the_file_beats_the_default() {
        let (_folder, path) = with_file("listen = \"127.0.0.1:1\"\nworkers = 2\nkeep_alive_s = 7\n");
        let variables = pairs(&[("POMBO_LISTEN", "127.0.0.1:2"), ("POMBO_WORKERS", "3")]);
        let loaded = load(Some(&path), &variables, &[flag("listen", "127.0.0.1:3")]).expect("valid");
        assert_eq!(loaded.config.listen.port(), 3);
        assert_eq!(loaded.config.workers, 3);
        assert_eq!(loaded.config.keep_alive.as_secs(), 7);
        assert_eq!(loaded.config.shutdown_grace.as_secs(), 30);
        let source = |name| loaded.values.iter().find(|v| v.setting.name == name).map(|v| v.source.to_string());
        assert_eq!(source("listen").as_deref(), Some("--listen"));
        assert_eq!(source("workers").as_deref(), Some("POMBO_WORKERS"));
        assert_eq!(source("keep_alive_s"), Some(path.display().to_string()));
        assert_eq!(source("durability").as_deref(), Some("default"));
    }

    #[test]
    fn every_problem_of_every_source_is_told_at_once() {
        let (_folder, path) = with_file("listen = \"nowhere\"\nwokers = 1\n[retention]\ndead_days = 0\n");
        let variables = pairs(&[("POMBO_LISTEN", "also nowhere"), ("POMBO_RETRY_JITTER", "2")]);
        let error = load(Some(&path), &variables, &[flag("durability", "maybe"), flag("lsten", "x")]).expect_err("bad");
        let text = error.to_string();
        let expected =
            ["nowhere", "`workers`", "retention.dead_days", "also nowhere", "POMBO_RETRY_JITTER", "maybe", "`listen`"];
        for part in expected {
            assert!(text.contains(part), "{part} is missing in {text}");
        }
        assert_eq!(error.problems.len(), 7, "{text}");
    }

    #[test]
    fn a_bad_secret_is_told_without_its_value() {
        let variables = pairs(&[("POMBO_ADMIN_TOKEN", "hunter2"), ("POMBO_REDIS_URL", "amqp://:s3cret@h")]);
        let text = load(None, &variables, &[]).expect_err("bad").to_string();
        assert!(!text.contains("hunter2") && !text.contains("s3cret"), "{text}");
        assert!(text.contains("admin_token") && text.contains("not a Redis URL"), "{text}");
    }

    #[test]
    fn the_environment_may_name_the_file() {
        let (_folder, path) = with_file("workers = 5");
        let variables = pairs(&[("POMBO_CONFIG", path.to_str().expect("utf-8"))]);
        assert_eq!(load(None, &variables, &[]).expect("valid").config.workers, 5);
    }
}
