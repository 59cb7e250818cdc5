//! Every metric: its name, what it means, its unit and labels, in one place.
//!
//! Cardinality budget: no instance, webhook, URL or jid is ever a label. A label takes one of a handful of fixed words, so the
//! number of series does not grow with use. Who is late is told by the API, not by a label.

use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};

/// Events by `result`: accepted | duplicate.
pub const EVENTS: &str = "pombo_events_total";
/// Ingest requests not taken, by `reason`: unknown_instance | busy | shutting_down | store.
pub const INGEST_REFUSED: &str = "pombo_ingest_refused_total";
/// From the request to the answer, durable.
pub const INGEST_SECONDS: &str = "pombo_ingest_seconds";
/// One commit of the store, fsync included.
pub const COMMIT_SECONDS: &str = "pombo_commit_seconds";
/// Events that rode on one commit.
pub const COMMIT_EVENTS: &str = "pombo_commit_events";
/// One batch of settlements.
pub const SETTLE_SECONDS: &str = "pombo_settle_seconds";

/// Attempts by `outcome` (success or the failure's code) and `origin`: first | retry | manual | replay | test.
pub const ATTEMPTS: &str = "pombo_attempts_total";
/// Attempt time by `phase`: dns | connect | tls | first_byte | total.
pub const ATTEMPT_SECONDS: &str = "pombo_attempt_seconds";
/// Connections by `how`: opened | reused.
pub const CONNECTIONS: &str = "pombo_connections_total";
/// From acceptance to the first success.
pub const DELIVERY_SECONDS: &str = "pombo_delivery_seconds";
/// From due to started, by what it waited for (`reason`): none | window | throttled | circuit_open | order | paused.
pub const LAG_SECONDS: &str = "pombo_lag_seconds";
/// Deliveries that ended, by `result`: delivered | superseded | cancelled | exhausted | gave_up | gone | undeliverable.
pub const DELIVERIES: &str = "pombo_deliveries_total";
/// Breaker openings and closings, by the state entered (`to`): open | probing | closed.
pub const BREAKER_TRANSITIONS: &str = "pombo_breaker_transitions_total";
/// Webhooks switched off by the engine, by `reason`: gone | failing_too_long | faulted.
pub const WEBHOOKS_DISABLED: &str = "pombo_webhooks_disabled_total";

/// Unfinished deliveries by `state`: fresh | history | retry | parked; dead letters as dead.
pub const DEPTH: &str = "pombo_depth";
/// Age of the oldest delivery that is due, by what holds it (`state`): ready | throttled | circuit_open | order | paused.
pub const OLDEST_SECONDS: &str = "pombo_oldest_due_seconds";
/// Webhooks with work, by `state`: delivering | throttled | circuit_open | paused.
pub const ACTIVE_WEBHOOKS: &str = "pombo_active_webhooks";
/// Configured webhooks by `state`: enabled | off | paused | disabled.
pub const WEBHOOKS: &str = "pombo_webhooks";
pub const INSTANCES: &str = "pombo_instances";
pub const IN_FLIGHT: &str = "pombo_attempts_in_flight";
/// Settlements on their way to the store.
pub const UNSETTLED: &str = "pombo_unsettled";
/// Bytes of events held in memory between acceptance and delivery.
pub const MEMORY_BYTES: &str = "pombo_held_bytes";
/// Running actors by `kind`: instance | webhook.
pub const ACTORS: &str = "pombo_actors";
/// Messages sent to actors and not handled yet.
pub const MAILBOX: &str = "pombo_mailbox_messages";
/// Actors that panicked and were rebuilt.
pub const ACTOR_RESTARTS: &str = "pombo_actor_restarts_total";

pub const STORE_DISK_BYTES: &str = "pombo_store_disk_bytes";
pub const STORE_DISK_FREE_BYTES: &str = "pombo_store_disk_free_bytes";
pub const STORE_COMMITS: &str = "pombo_store_commits_total";
pub const STORE_FSYNCS: &str = "pombo_store_fsyncs_total";
/// Refusals of the store, by `operation`: append | settle | read.
pub const STORE_ERRORS: &str = "pombo_store_errors_total";
/// 1 while the store takes events.
pub const STORE_UP: &str = "pombo_store_up";
/// Removed by retention, by `kind`: events | deliveries | dead | messages.
pub const RETENTION_REMOVED: &str = "pombo_retention_removed_total";

/// 1, with `version` and `durability`.
pub const BUILD_INFO: &str = "pombo_build_info";
pub const PROCESS_CPU_SECONDS: &str = "process_cpu_seconds_total";
pub const PROCESS_RSS_BYTES: &str = "process_resident_memory_bytes";
pub const PROCESS_FDS: &str = "process_open_fds";
pub const PROCESS_MAX_FDS: &str = "process_max_fds";
pub const PROCESS_START_SECONDS: &str = "process_start_time_seconds";

/// Buckets of times, in seconds: 0.25 ms to 5 min, about two to a doubling where targets lie.
pub const TIME_BUCKETS: &[f64] = &[
    0.000_25, 0.000_5, 0.001, 0.002, 0.003, 0.005, 0.007_5, 0.01, 0.015, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0,
    10.0, 15.0, 30.0, 60.0, 300.0,
];
/// Buckets of waiting times, in seconds: up to the longest retry and beyond.
pub const WAIT_BUCKETS: &[f64] = &[
    0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3_600.0, 14_400.0,
    86_400.0,
];
/// Buckets of batch sizes.
pub const SIZE_BUCKETS: &[f64] =
    &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1_024.0, 2_048.0, 4_096.0];

/// Gives each metric its help text.
pub fn describe() {
    describe_counter!(EVENTS, "Events by result: accepted or duplicate.");
    describe_counter!(INGEST_REFUSED, "Ingest requests not taken, by reason.");
    describe_histogram!(INGEST_SECONDS, Unit::Seconds, "From an ingest request to its answer, durable.");
    describe_histogram!(COMMIT_SECONDS, Unit::Seconds, "One commit of accepted events, fsync included.");
    describe_histogram!(COMMIT_EVENTS, "Events that rode on one commit.");
    describe_histogram!(SETTLE_SECONDS, Unit::Seconds, "One batch of settlements handed to the store.");
    describe_counter!(ATTEMPTS, "Attempts by outcome (success or the failure's code) and origin.");
    describe_histogram!(ATTEMPT_SECONDS, Unit::Seconds, "Time of attempts by phase.");
    describe_counter!(CONNECTIONS, "Connections used by attempts: opened or reused.");
    describe_histogram!(DELIVERY_SECONDS, Unit::Seconds, "From acceptance to the first success.");
    describe_histogram!(LAG_SECONDS, Unit::Seconds, "From due to started, for every attempt, by what it waited for.");
    describe_counter!(DELIVERIES, "Deliveries that ended, by result.");
    describe_counter!(BREAKER_TRANSITIONS, "Breakers that changed, by the state entered.");
    describe_counter!(WEBHOOKS_DISABLED, "Webhooks switched off by the engine, by reason.");
    describe_gauge!(DEPTH, "Unfinished deliveries by state, and dead letters.");
    describe_gauge!(OLDEST_SECONDS, Unit::Seconds, "Age of the oldest due delivery, by what holds it.");
    describe_gauge!(ACTIVE_WEBHOOKS, "Webhooks with work, by what they do.");
    describe_gauge!(WEBHOOKS, "Configured webhooks by state.");
    describe_gauge!(INSTANCES, "Instances.");
    describe_gauge!(IN_FLIGHT, "Attempts in flight.");
    describe_gauge!(UNSETTLED, "Settlements on their way to the store.");
    describe_gauge!(MEMORY_BYTES, Unit::Bytes, "Events held in memory between acceptance and delivery.");
    describe_gauge!(ACTORS, "Running actors by kind.");
    describe_gauge!(MAILBOX, "Messages sent to actors and not handled yet.");
    describe_counter!(ACTOR_RESTARTS, "Actors that panicked and were rebuilt.");
    describe_gauge!(STORE_DISK_BYTES, Unit::Bytes, "The store's size on disk.");
    describe_gauge!(STORE_DISK_FREE_BYTES, Unit::Bytes, "Free space on the store's disk.");
    describe_counter!(STORE_COMMITS, "Commits of the store.");
    describe_counter!(STORE_FSYNCS, "Commits that were forced to disk.");
    describe_counter!(STORE_ERRORS, "Refusals of the store by operation.");
    describe_gauge!(STORE_UP, "1 while the store takes events.");
    describe_counter!(RETENTION_REMOVED, "Records removed by retention, by kind.");
    describe_gauge!(BUILD_INFO, "1, with the version and the durability in force.");
    describe_counter!(PROCESS_CPU_SECONDS, Unit::Seconds, "User and system CPU time of the process.");
    describe_gauge!(PROCESS_RSS_BYTES, Unit::Bytes, "Resident memory of the process.");
    describe_gauge!(PROCESS_FDS, "Open file descriptors.");
    describe_gauge!(PROCESS_MAX_FDS, "The limit on open file descriptors.");
    describe_gauge!(PROCESS_START_SECONDS, Unit::Seconds, "When the process started, as unix time.");
}
