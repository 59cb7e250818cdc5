//! The one table of settings: a name, a default, a sentence, and how its text becomes a field of [`Config`].
//!
//! Everything else reads this table: file, environment, flags, checks, `pombo config` and the commented file. The default
//! is text as well and goes through the same reading as a user's value, so it cannot drift from what is documented.

use super::parse::{
    address, bytes, collector, days, hours, millis, number, path, proxy, redis, seconds, share, switch, targets,
};
use super::parse::{threads, token, word};
use super::problem::Bad;
use super::{Config, LogFormat, LogLevel};
use crate::store::Durability;

/// One setting.
#[derive(Debug)]
pub struct Setting {
    /// As in the file; a dot separates the section.
    pub name: &'static str,
    /// Empty: none.
    pub default: &'static str,
    pub doc: &'static str,
    pub secret: bool,
    pub apply: fn(&mut Config, &str) -> Result<(), Bad>,
}

impl Setting {
    /// The environment variable: `POMBO_` and the name in capitals, dots as underscores.
    pub fn env(&self) -> String {
        format!("POMBO_{}", self.name.to_ascii_uppercase().replace('.', "_"))
    }

    /// The value as it may be shown.
    pub fn shown(&self, text: &str) -> String {
        if self.secret && !text.is_empty() { super::secret::MASK.to_owned() } else { text.to_owned() }
    }

    pub fn find(name: &str) -> Option<&'static Self> {
        SETTINGS.iter().find(|setting| setting.name == name)
    }
}

const fn plain(
    name: &'static str,
    default: &'static str,
    doc: &'static str,
    apply: fn(&mut Config, &str) -> Result<(), Bad>,
) -> Setting {
    Setting { name, default, doc, secret: false, apply }
}

const fn secret(name: &'static str, doc: &'static str, apply: fn(&mut Config, &str) -> Result<(), Bad>) -> Setting {
    Setting { name, default: "", doc, secret: true, apply }
}

fn put<T>(field: &mut T, value: Result<T, Bad>) -> Result<(), Bad> {
    *field = value?;
    Ok(())
}

/// `None` for the empty text.
fn optional<T>(text: &str, read: fn(&str) -> Result<T, Bad>) -> Result<Option<T>, Bad> {
    if text.is_empty() { Ok(None) } else { read(text).map(Some) }
}

const MAX_SIZE: u64 = 1 << 50;

/// What can be required.
const LEVELS: [(&str, Option<Durability>); 5] = [
    ("none", None),
    ("os", Some(Durability::Os)),
    ("fsync", Some(Durability::Fsync)),
    ("aof-everysec", Some(Durability::AofEverysec)),
    ("aof-always", Some(Durability::AofAlways)),
];

/// Every setting there is, in the order they are printed; those without a section first, as TOML wants it.
#[rustfmt::skip]
pub static SETTINGS: &[Setting] = &[
    plain("listen", "127.0.0.1:8080", "Address and port of the HTTP API.", |c, v| put(&mut c.listen, address(v))),
    plain("data_dir", "./pombo-data", "Folder of the embedded store; one process at a time.", |c, v| put(&mut c.data_dir, path(v))),
    secret("admin_token", "Token that reaches everything. None: made on the first start and shown once.", |c, v| put(&mut c.admin_token, optional(v, token))),
    secret("redis_url", "Shared store for several nodes. None: the embedded store.", |c, v| put(&mut c.redis_url, optional(v, redis))),
    plain("durability", "fsync", "What an accepted event survives: `fsync` a loss of power, `os` a crash of the process.", |c, v| {
        put(&mut c.durability, word(v, &[("fsync", Durability::Fsync), ("os", Durability::Os)]))
    }),
    plain("require_durability", "none", "Refuse to start, and to take events, where they would survive less: `none`; `os` or `fsync`; with Redis `aof-everysec` or `aof-always`.", |c, v| {
        put(&mut c.require_durability, word(v, &LEVELS))
    }),
    plain("allow_http", "false", "Take plain-HTTP receivers too. For development and receivers in the same network.", |c, v| put(&mut c.targets.allow_http, switch(v))),
    plain("allow_targets", "", "Private receivers that may be reached: CIDRs and host names with commas between, e.g. 10.0.0.0/8,n8n.internal.", |c, v| {
        (c.targets.allow_networks, c.targets.allow_hosts) = targets(v)?;
        Ok(())
    }),
    plain("extra_ca_file", "", "PEM file of certificate authorities trusted besides the platform's.", |c, v| put(&mut c.extra_ca_file, optional(v, path))),
    plain("proxy", "", "Forward proxy for deliveries, http://host:port. None: direct, whatever the environment says.", |c, v| put(&mut c.proxy, optional(v, proxy))),
    plain("workers", "auto", "Threads that serve HTTP; `auto`: one for each processor.", |c, v| put(&mut c.workers, threads(v))),
    plain("engine_threads", "auto", "Threads that run instances and webhooks; `auto`: one for each processor.", |c, v| put(&mut c.engine_threads, threads(v))),
    plain("shutdown_delay_s", "0", "Seconds that a stop goes on serving while `/readyz` says no, so that load balancers look away first.", |c, v| put(&mut c.shutdown_delay, seconds(v, 0..=600))),
    plain("shutdown_grace_s", "30", "Seconds that a stop waits for attempts in flight.", |c, v| put(&mut c.shutdown_grace, seconds(v, 0..=3_600))),
    plain("log_format", "text", "`text` for people, `json` for collectors.", |c, v| {
        put(&mut c.log.format, word(v, &[("text", LogFormat::Text), ("json", LogFormat::Json)]))
    }),
    plain("log_level", "info", "error, warn, info, debug, trace, or directives such as `info,pombo::engine=debug`.", |c, v| put(&mut c.log.level, LogLevel::parse(v))),
    plain("memory_budget_bytes", "64MiB", "Bodies of events held in memory between acceptance and delivery; beyond it lanes read from the store.", |c, v| {
        put(&mut c.memory_budget_bytes, bytes(v, 1 << 20..=MAX_SIZE))
    }),
    plain("retry_after_cap_s", "3600", "Longest `Retry-After` of a receiver that is obeyed, in seconds.", |c, v| put(&mut c.retry.max_retry_after, seconds(v, 0..=604_800))),
    plain("retry_jitter", "0.2", "Share by which retry delays are spread up and down.", |c, v| put(&mut c.retry.jitter, share(v))),
    plain("disable_after_hours", "120", "A webhook that has only failed for so long is disabled; its deliveries are kept.", |c, v| put(&mut c.disable_after, hours(v))),
    plain("max_response_bytes", "16384", "Most of a receiver's answer that is read.", |c, v| {
        put(&mut c.max_response_bytes, bytes(v, 0..=16 << 20).map(|count| count as usize))
    }),
    plain("max_response_ms", "5000", "Longest that reading a receiver's answer may take.", |c, v| put(&mut c.max_response_time, millis(v, 1..=600_000))),
    plain("keep_alive_s", "60", "Idle connections to receivers are closed after so many seconds.", |c, v| put(&mut c.keep_alive, seconds(v, 1..=3_600))),
    plain("max_idle_connections", "16384", "Idle connections to all receivers together; each takes some 2 KiB, with TLS 12. Beyond it the oldest are closed.", |c, v| {
        put(&mut c.max_idle_connections, number(v, 1..=1_000_000).map(|count| count as usize))
    }),
    plain("store.wait_replicas", "0", "Replicas of Redis that must have an event before it is accepted (`WAIT`); with fewer, ingest answers 503.", |c, v| {
        put(&mut c.redis.wait_replicas, number(v, 0..=100).map(|count| count as u8))
    }),
    plain("store.wait_aof", "false", "Accept an event only when it is in Redis's synced append-only file (`WAITAOF`, from Redis 7.2).", |c, v| put(&mut c.redis.wait_aof, switch(v))),
    plain("store.ca_file", "", "PEM file of the authorities that Redis's certificate is checked against, instead of the platform's.", |c, v| put(&mut c.redis.ca_file, optional(v, path))),
    plain("store.cert_file", "", "PEM file of the certificate that Redis is shown, with `store.key_file`.", |c, v| put(&mut c.redis.cert_file, optional(v, path))),
    plain("store.key_file", "", "PEM file of the private key of `store.cert_file`.", |c, v| put(&mut c.redis.key_file, optional(v, path))),
    plain("retention.history_hours", "72", "Events and timelines of finished deliveries are kept so long.", |c, v| put(&mut c.retention.history, hours(v))),
    plain("retention.history_max_bytes", "2GiB", "History beyond this size goes earlier, oldest first.", |c, v| {
        put(&mut c.retention.history_max_bytes, bytes(v, 0..=MAX_SIZE))
    }),
    plain("retention.dead_days", "30", "Dead letters are kept so long.", |c, v| put(&mut c.retention.dead, days(v))),
    plain("retention.messages_days", "30", "The status of a message can be asked for so long.", |c, v| put(&mut c.retention.messages, days(v))),
    plain("limits.max_body_bytes", "16MiB", "Largest request body, also after inflating it.", |c, v| {
        put(&mut c.limits.max_body_bytes, bytes(v, 1_024..=1 << 30).map(|count| count as usize))
    }),
    plain("limits.max_events_per_request", "10000", "Most events in one ingest request.", |c, v| {
        put(&mut c.limits.max_events_per_request, number(v, 1..=1_000_000).map(|count| count as usize))
    }),
    plain("limits.max_backlog", "50000000", "Most unfinished deliveries; beyond it ingest answers 429.", |c, v| put(&mut c.limits.max_backlog, number(v, 1..=u64::MAX))),
    plain("limits.max_in_flight_bytes", "64MiB", "Bodies of ingest requests being worked on; beyond it ingest answers 503.", |c, v| {
        put(&mut c.limits.max_in_flight_bytes, bytes(v, 1 << 20..=MAX_SIZE))
    }),
    plain("trace.send", "false", "Send `traceparent` on to receivers: the trace of the request that brought the event, with a span of its own for each attempt.", |c, v| put(&mut c.trace.send, switch(v))),
    plain("trace.otlp_url", "", "Collector of traces, OTLP over HTTP with protobuf, e.g. http://localhost:4318/v1/traces. None: no spans are made.", |c, v| {
        put(&mut c.trace.otlp_url, optional(v, collector))
    }),
    plain("trace.sample", "0.01", "Share of the requests without a `traceparent` that are traced; with one its own flag decides.", |c, v| put(&mut c.trace.sample, share(v))),
    plain("breaker.failures", "10", "Failures in a row that open a webhook's breaker.", |c, v| {
        put(&mut c.breaker.failures, number(v, 1..=100_000).map(|count| count as u32))
    }),
    plain("breaker.open_s", "10", "Seconds an opened breaker waits for its first probe; doubles with each failed probe.", |c, v| put(&mut c.breaker.open_for, seconds(v, 1..=86_400))),
    plain("breaker.max_open_s", "300", "Longest wait between two probes, in seconds.", |c, v| put(&mut c.breaker.max_open, seconds(v, 1..=86_400))),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_default_is_a_valid_value_and_every_name_is_unique() {
        let mut config = Config::blank();
        let mut names = std::collections::HashSet::new();
        for setting in SETTINGS {
            assert_eq!((setting.apply)(&mut config, setting.default), Ok(()), "{}", setting.name);
            assert!(names.insert(setting.env()), "{}", setting.name);
            assert!(setting.doc.ends_with('.'), "{} needs a sentence", setting.name);
        }
    }

    #[test]
    fn settings_of_a_section_come_after_those_without() {
        let first_section = SETTINGS.iter().position(|setting| setting.name.contains('.')).expect("sections");
        assert!(SETTINGS[first_section..].iter().all(|setting| setting.name.contains('.')));
    }
}
