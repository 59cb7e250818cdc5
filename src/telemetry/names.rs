//! Every metric: its name, its type and what it means, in one place.
//!
//! Cardinality budget: no instance, webhook, URL or jid is ever a label. A label takes one of a handful of fixed words, so the
//! number of series does not grow with use. Who is late is told by the API (`/api/v2/admin/top`), not by a label.
//!
//! Gauges of deliveries tell of the shards this node owns, so that a sum over nodes is right; what is the same for all nodes says
//! so. Every series of a counter exists from the start, with 0.

use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};

/// Declares a name, and in [`describe`] its type and help; the help is the constant's documentation as well.
macro_rules! metrics {
    ($($kind:ident $unit:ident $constant:ident = $name:literal, $help:literal;)*) => {
        $(#[doc = $help] pub const $constant: &str = $name;)*

        /// Gives each metric its help text.
        pub fn describe() {
            $(metrics!(@ $kind $unit $constant $help);)*
        }

        #[cfg(test)]
        const ALL: &[(&str, &str, &str)] = &[$((stringify!($kind), $name, $help)),*];
    };
    (@ counter $unit:ident $constant:ident $help:literal) => { describe_counter!($constant, Unit::$unit, $help) };
    (@ gauge $unit:ident $constant:ident $help:literal) => { describe_gauge!($constant, Unit::$unit, $help) };
    (@ histogram $unit:ident $constant:ident $help:literal) => { describe_histogram!($constant, Unit::$unit, $help) };
}

#[rustfmt::skip]
metrics! {
    // Taking events in.
    counter Count EVENTS = "pombo_events_total", "Events handed in, by result: accepted, duplicate or refused (of requests that could be read; see pombo_ingest_refused_total).";
    counter Count INGEST_REFUSED = "pombo_ingest_refused_total", "Ingest requests not taken, by reason: invalid, too_large, unsupported, crowded, unknown_instance, backlog, busy, shutting_down or store.";
    histogram Seconds INGEST_SECONDS = "pombo_ingest_seconds", "From an ingest request to its answer, durable.";
    histogram Seconds COMMIT_SECONDS = "pombo_commit_seconds", "One append of accepted events as the engine waits for it, made durable.";
    histogram Count COMMIT_EVENTS = "pombo_commit_events", "Events that rode on one append.";
    histogram Seconds SETTLE_SECONDS = "pombo_settle_seconds", "One batch of settlements handed to the store.";
    histogram Count SETTLE_BATCH = "pombo_settle_batch", "Settlements handed to the store at once.";
    counter Count FENCED = "pombo_settlements_fenced_total", "Batches of settlements of which a part was refused because another node owns the shard now.";

    // Attempts.
    counter Count ATTEMPTS = "pombo_attempts_total", "Attempts by outcome (success, or status, redirect, dns_failed, address_blocked, connect_failed, connect_timeout, tls_failed, timeout, connection_lost, protocol_error, internal) and origin (first, retry, manual, replay, test).";
    counter Count ANSWERS = "pombo_answers_total", "Answers of receivers by class of status: 2xx, 3xx, 4xx, 429 or 5xx.";
    histogram Seconds ATTEMPT_SECONDS = "pombo_attempt_seconds", "Time of attempts by phase: dns, connect, tls, write, first_byte, body or total.";
    counter Count CONNECTIONS = "pombo_connections_total", "Connections of attempts: opened, reused or failed.";
    gauge Count OPEN_SOCKETS = "pombo_open_sockets", "Sockets to receivers that are open or being opened.";
    gauge Count MAX_SOCKETS = "pombo_open_sockets_limit", "The most sockets to receivers there may be.";
    gauge Count IN_FLIGHT = "pombo_attempts_in_flight", "Attempts in flight.";

    // Deliveries.
    histogram Seconds DELIVERY_SECONDS = "pombo_delivery_seconds", "From acceptance to the first success.";
    histogram Seconds LAG_SECONDS = "pombo_lag_seconds", "From due to started, for every attempt, by what it waited for longest: none, window, throttled, circuit_open, order or paused.";
    counter Count DELIVERIES = "pombo_deliveries_total", "Deliveries that ended, by result: delivered, superseded, cancelled, or dead as exhausted, gave_up, gone or undeliverable.";
    counter Count SUPERSEDED = "pombo_superseded_total", "Deliveries not sent because a newer state took their place, by reason: qrcode or presence.";
    counter Count BREAKER_TRANSITIONS = "pombo_breaker_transitions_total", "Breakers that changed, by the state entered: open, probing or closed.";
    counter Count WEBHOOKS_DISABLED = "pombo_webhooks_disabled_total", "Webhooks switched off by the engine, by reason: gone, failing_too_long or faulted.";

    // What waits.
    gauge Count DEPTH = "pombo_depth", "Unfinished deliveries by state: ready, in_flight, retry (waits for its next attempt), throttled, circuit_open, order or paused; and dead letters as dead (dead: the same for all nodes).";
    gauge Count BACKLOG = "pombo_backlog", "Unfinished deliveries by part of the lane (part): live, history, retry or parked.";
    gauge Count BACKLOG_LIMIT = "pombo_backlog_limit", "The most unfinished deliveries there may be; beyond it ingest answers 429.";
    gauge Seconds OLDEST_SECONDS = "pombo_oldest_due_seconds", "Age of the oldest by state: since it was due for ready, throttled, circuit_open, order and paused; since it started for in_flight; since it was accepted for retry. 0: there is none.";
    gauge Count ACTIVE_WEBHOOKS = "pombo_active_webhooks", "Webhooks with work, by what holds their next delivery: ready, throttled, circuit_open, order or paused.";
    gauge Count WEBHOOKS = "pombo_webhooks", "Configured webhooks by state: enabled, off, paused or disabled. The same for all nodes.";
    gauge Count CIRCUITS = "pombo_circuits", "Webhooks served lately by the state of their breaker: closed, open or probing.";
    gauge Count INSTANCES = "pombo_instances", "Instances. The same for all nodes.";
    gauge Count UNSETTLED = "pombo_unsettled", "Settlements on their way to the store.";
    gauge Count UNSETTLED_LIMIT = "pombo_unsettled_limit", "Settlements on their way to the store at which no new attempt starts.";
    gauge Bytes MEMORY_BYTES = "pombo_held_bytes", "Events held in memory between acceptance and delivery.";

    // Actors.
    gauge Count ACTORS = "pombo_actors", "Running actors by kind: instance or webhook.";
    gauge Count MAILBOX = "pombo_mailbox_messages", "Messages sent to actors and not handled yet.";
    counter Count ACTOR_RESTARTS = "pombo_actor_restarts_total", "Actors that panicked and were rebuilt, by kind: instance or webhook.";

    // The store.
    gauge Count STORE_UP = "pombo_store_up", "1 while the store takes events.";
    counter Count STORE_ERRORS = "pombo_store_errors_total", "Refusals of the store by operation: append, settle, read or retain.";
    counter Count STORE_COMMITS = "pombo_store_commits_total", "Commits of the store.";
    counter Count STORE_FSYNCS = "pombo_store_fsyncs_total", "Commits that were forced to disk. Embedded store.";
    counter Bytes STORE_WRITTEN_BYTES = "pombo_store_written_bytes_total", "Keys and values handed to the store's log. Embedded store.";
    histogram Seconds STORE_COMMIT_SECONDS = "pombo_store_commit_seconds", "One commit of the store's writer, by sync: yes (forced to disk) or no. Embedded store.";
    gauge Bytes STORE_DISK_BYTES = "pombo_store_disk_bytes", "The store's size on disk. Embedded store.";
    gauge Bytes STORE_DISK_FREE_BYTES = "pombo_store_disk_free_bytes", "Free space on the store's disk. Embedded store.";
    gauge Bytes STORE_DISK_RESERVE_BYTES = "pombo_store_disk_reserve_bytes", "Free space below which new events are refused. Embedded store.";
    counter Count RETENTION_REMOVED = "pombo_retention_removed_total", "Records removed by retention, by kind: events, deliveries, dead or messages.";
    histogram Seconds REDIS_COMMAND_SECONDS = "pombo_redis_command_seconds", "Commands to Redis, by kind: append, settle, script or command.";
    counter Count REDIS_ERRORS = "pombo_redis_errors_total", "Commands to Redis that failed, by reason: timeout, connection, full, fenced or other.";
    gauge Bytes REDIS_MEMORY_BYTES = "pombo_redis_memory_bytes", "Memory that Redis says it uses. The same for all nodes; of a cluster the node that was asked.";
    gauge Bytes REDIS_MEMORY_LIMIT_BYTES = "pombo_redis_memory_limit_bytes", "maxmemory of Redis; 0: none. The same for all nodes.";

    // Many nodes.
    gauge Count SHARDS_OWNED = "pombo_shards_owned", "Shards this node delivers for; without Redis all of them.";
    counter Count LEASE_LOSSES = "pombo_lease_losses_total", "Shards that left this node, by reason: handed_over (planned) or lost (its lease ran out or was taken).";
    counter Count SHARDS_GAINED = "pombo_shards_gained_total", "Shards that came to this node.";
    gauge Count NODES = "pombo_nodes", "Live nodes as this one sees them; without Redis 1.";

    // The process.
    counter Count OBSERVATIONS = "pombo_observations_total", "Times the gauges were filled, every two seconds; while it stands still they tell of the past.";
    counter Count LOG_SUPPRESSED = "pombo_log_suppressed_total", "Log lines about failed attempts that were counted instead of written.";
    counter Count SPANS = "pombo_spans_total", "Spans of traces by what became of them: exported or dropped.";
    gauge Count BUILD_INFO = "pombo_build_info", "1, with the version, the store (embedded or redis) and the durability in force.";
    gauge Count RUNTIME_THREADS = "pombo_runtime_threads", "Threads by runtime: engine, store, http or main.";
    gauge Count RUNTIME_TASKS = "pombo_runtime_tasks", "Tasks that live, by runtime.";
    gauge Count RUNTIME_QUEUE = "pombo_runtime_queue", "Tasks woken from other threads and not yet polled, by runtime.";
    gauge Percent RUNTIME_BUSY = "pombo_runtime_busy_ratio", "Share of the last seconds (0 to 1) in which the busiest thread of a runtime had work, by runtime.";
    counter Seconds PROCESS_CPU_SECONDS = "process_cpu_seconds_total", "User and system CPU time of the process.";
    gauge Bytes PROCESS_RSS_BYTES = "process_resident_memory_bytes", "Resident memory of the process.";
    gauge Bytes PROCESS_VIRTUAL_BYTES = "process_virtual_memory_bytes", "Virtual memory of the process.";
    gauge Count PROCESS_THREADS = "process_threads", "Threads of the process.";
    gauge Count PROCESS_FDS = "process_open_fds", "Open file descriptors.";
    gauge Count PROCESS_MAX_FDS = "process_max_fds", "The limit on open file descriptors.";
    gauge Seconds PROCESS_START_SECONDS = "process_start_time_seconds", "When the process started, as unix time.";
}

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

/// Upper bounds of a histogram's buckets.
#[must_use]
pub fn buckets(name: &str) -> &'static [f64] {
    match name {
        LAG_SECONDS | DELIVERY_SECONDS => WAIT_BUCKETS,
        COMMIT_EVENTS | SETTLE_BATCH => SIZE_BUCKETS,
        _ => TIME_BUCKETS,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_say_their_type_and_unit_as_prometheus_wants() {
        let mut seen = std::collections::HashSet::new();
        for (kind, name, help) in ALL {
            assert!(seen.insert(name), "{name} twice");
            assert_eq!(*kind == "counter", name.ends_with("_total"), "{name}");
            assert!(name.starts_with("pombo_") || name.starts_with("process_"), "{name}");
            assert!(help.ends_with('.') && help.len() > 10, "{name} needs a sentence");
        }
    }
}
