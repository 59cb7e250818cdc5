//! Flags that set settings. The main settings have their own; `--set` reaches all of them.

use std::path::PathBuf;

use clap::Args;

use crate::config::{ConfigError, Loaded, load};

/// Texts only: reading and checking them is the configuration's work, so that a flag's problems are told with all others.
#[derive(Args, Debug, Clone, Default)]
pub struct ConfigArgs {
    /// Configuration file [default: pombo.toml, if there is one]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Address and port of the HTTP API [default: 127.0.0.1:8080]
    #[arg(long, value_name = "IP:PORT")]
    pub listen: Option<String>,
    /// Folder of the embedded store [default: ./pombo-data]
    #[arg(long, value_name = "FOLDER")]
    pub data_dir: Option<String>,
    /// Token that reaches everything (a file or variable keeps it out of the process list)
    #[arg(long, value_name = "TOKEN")]
    pub admin_token: Option<String>,
    /// Shared store for several nodes
    #[arg(long, value_name = "URL")]
    pub redis_url: Option<String>,
    /// What an accepted event survives: fsync or os [default: fsync]
    #[arg(long, value_name = "LEVEL")]
    pub durability: Option<String>,
    /// Take plain-HTTP receivers too
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    pub allow_http: Option<String>,
    /// Private receivers that may be reached, e.g. 10.0.0.0/8,n8n.internal
    #[arg(long, value_name = "LIST")]
    pub allow_targets: Option<String>,
    /// PEM file of certificate authorities trusted besides the platform's
    #[arg(long, value_name = "FILE")]
    pub extra_ca_file: Option<String>,
    /// Threads that serve HTTP
    #[arg(long, value_name = "N")]
    pub workers: Option<String>,
    /// Threads that run instances and webhooks
    #[arg(long, value_name = "N")]
    pub engine_threads: Option<String>,
    /// text or json [default: text]
    #[arg(long, value_name = "FORMAT")]
    pub log_format: Option<String>,
    /// error, warn, info, debug, trace, or directives [default: info]
    #[arg(long, value_name = "LEVEL")]
    pub log_level: Option<String>,
    /// Any setting, e.g. --set retention.dead_days=7; `pombo config` lists them
    #[arg(long, value_name = "NAME=VALUE", value_parser = name_and_value)]
    pub set: Vec<(String, String)>,
}

fn name_and_value(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write NAME=VALUE, for instance retention.dead_days=7")?;
    Ok((name.trim().to_owned(), value.trim().to_owned()))
}

impl ConfigArgs {
    /// The configuration with these flags on top.
    ///
    /// # Errors
    /// [`ConfigError`] with every problem of every source.
    pub fn load(&self) -> Result<Loaded, ConfigError> {
        let variables: Vec<(String, String)> = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.to_string_lossy().into_owned())))
            .collect();
        load(self.config.as_deref(), &variables, &self.flags())
    }

    /// Flag as typed, setting, text.
    fn flags(&self) -> Vec<(String, String, String)> {
        let named = [
            ("listen", &self.listen),
            ("data_dir", &self.data_dir),
            ("admin_token", &self.admin_token),
            ("redis_url", &self.redis_url),
            ("durability", &self.durability),
            ("allow_http", &self.allow_http),
            ("allow_targets", &self.allow_targets),
            ("extra_ca_file", &self.extra_ca_file),
            ("workers", &self.workers),
            ("engine_threads", &self.engine_threads),
            ("log_format", &self.log_format),
            ("log_level", &self.log_level),
        ];
        let sets = self.set.iter().map(|(name, text)| ("--set".to_owned(), name.clone(), text.clone()));
        let own = named
            .into_iter()
            .filter_map(|(name, text)| Some((format!("--{}", name.replace('_', "-")), name.to_owned(), text.clone()?)));
        sets.chain(own).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Setting;

    #[test]
    fn every_flag_names_a_setting_that_exists() {
        let text = || Some("x".to_owned());
        let args = ConfigArgs {
            listen: text(),
            data_dir: text(),
            admin_token: text(),
            redis_url: text(),
            durability: text(),
            allow_http: text(),
            allow_targets: text(),
            extra_ca_file: text(),
            workers: text(),
            engine_threads: text(),
            log_format: text(),
            log_level: text(),
            ..ConfigArgs::default()
        };
        let flags = args.flags();
        assert_eq!(flags.len(), 12);
        for (flag, name, _) in flags {
            assert!(Setting::find(&name).is_some(), "{flag}");
        }
    }

    #[test]
    fn a_named_flag_beats_set() {
        let set = vec![("workers".to_owned(), "2".to_owned())];
        let args = ConfigArgs { set, workers: Some("3".into()), ..ConfigArgs::default() };
        let last = args.flags().pop().expect("two flags");
        assert_eq!((last.0.as_str(), last.2.as_str()), ("--workers", "3"));
    }
}
