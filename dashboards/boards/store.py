"""The store: a folder, or Redis."""

from .frame import GREEN, RED, YELLOW, board, quantiles, series, stat, thresholds

BOARD = board(
    "pombo-store", "Store and Redis", "Does the store take what it is given, how quickly, and how near is it to its bounds?",
    (
        "Now",
        stat("Store", "Does every node's store take events?", {"{{instance}}": "min by (instance) (pombo_store_up{NODE})"},
             limits=thresholds(RED, (1, GREEN)), words={"0": ("refuses", RED), "1": ("takes events", GREEN)}, width=6),
        stat("Refusals in an hour", "Did the store refuse anything?", {"{{operation}}": "sum by (operation) (increase(pombo_store_errors_total{NODE}[1h]))"},
             limits=thresholds(GREEN, (1, RED)), width=6, decimals=0),
        stat("Free disk above the reserve", "How much can be written before new events are refused? Embedded store.",
             {"{{instance}}": "pombo_store_disk_free_bytes{NODE} - pombo_store_disk_reserve_bytes{NODE}"}, "bytes",
             thresholds(RED, (1 << 30, YELLOW), (4 << 30, GREEN)), width=6),
        stat("Redis memory of its limit", "How near is Redis to maxmemory, where it refuses writes?",
             {"{{job}}": "max by (job) (pombo_redis_memory_bytes{NODE}) / (max by (job) (pombo_redis_memory_limit_bytes{NODE}) > 0)"}, "percentunit",
             thresholds(GREEN, (0.7, YELLOW), (0.9, RED)), width=6, decimals=1),
    ),
    (
        "Speed of the store, as the engine sees it",
        series("Append", "How long does it take until accepted events are durable?", quantiles("pombo_commit_seconds", 50, 99), "s", width=8),
        series("Settle", "How long does a batch of results take?", quantiles("pombo_settle_seconds", 50, 99), "s", width=8),
        series("Ingest", "How long does a gateway wait for its answer?", quantiles("pombo_ingest_seconds", 50, 99), "s", width=8),
        series("Events in an append", "Do requests share commits under load?", quantiles("pombo_commit_events", 50, 99), "none", width=8),
        series("Settlements in a batch", "Do results share commits?", quantiles("pombo_settle_batch", 50, 99), "none", width=8),
        series("Results on their way", "Does the store keep up with results? At the limit no new attempt starts.",
               {"{{instance}}": "pombo_unsettled{NODE}", "{{instance}} limit": "pombo_unsettled_limit{NODE}"}, width=8),
    ),
    (
        "Embedded store",
        series("Commits of the writer", "How long does one commit of the writer take, with and without a sync to disk?",
               quantiles("pombo_store_commit_seconds", 50, 99, by="sync"), "s", width=8),
        series("Commits and syncs", "How many commits are there, and how many reach the disk?",
               {"commits": "sum(rate(pombo_store_commits_total{NODE}[RATE]))", "forced to disk": "sum(rate(pombo_store_fsyncs_total{NODE}[RATE]))"}, "cps", width=8),
        series("Written", "How much is handed to the log?", {"{{instance}}": "rate(pombo_store_written_bytes_total{NODE}[RATE])"}, "Bps", width=8),
        series("Disk", "How large is the store, and how much is free beside it?",
               {"{{instance}} store": "pombo_store_disk_bytes{NODE}", "{{instance}} free": "pombo_store_disk_free_bytes{NODE}"}, "bytes", width=8),
        series("Removed by retention", "Does retention keep up with what comes?",
               {"{{kind}}": "sum by (kind) (rate(pombo_retention_removed_total{NODE}[RATE]))"}, "cps", width=8),
        series("Refusals", "What does the store refuse?", {"{{operation}}": "sum by (operation) (rate(pombo_store_errors_total{NODE}[RATE]))"}, "cps", width=8),
    ),
    (
        "Redis",
        series("Commands, p99", "How long does Redis take, by what it is asked?", quantiles("pombo_redis_command_seconds", 99, by="kind"), "s", width=8),
        series("Commands", "How many commands are sent?", {"{{kind}}": "sum by (kind) (rate(pombo_redis_command_seconds_count{NODE}[RATE]))"}, "cps", width=8),
        series("Failed commands", "Do commands fail: time, connection, memory?", {"{{reason}}": "sum by (reason) (rate(pombo_redis_errors_total{NODE}[RATE]))"}, "cps", width=8),
        series("Memory", "Does Redis have room?",
               {"{{job}} used": "max by (job) (pombo_redis_memory_bytes{NODE})", "{{job}} limit": "max by (job) (pombo_redis_memory_limit_bytes{NODE}) > 0"}, "bytes", width=24),
    ),
)
