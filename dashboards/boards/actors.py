"""Nodes, who owns what, and whether their threads keep up."""

from .frame import GREEN, RED, YELLOW, board, column, series, stat, table, thresholds

BUSY = thresholds(GREEN, (0.8, YELLOW), (0.95, RED))

BOARD = board(
    "pombo-actors", "Nodes and actors", "Which nodes run, do they share the work, and do their threads and actors keep up?",
    (
        "Nodes",
        stat("Nodes as they see themselves", "How many nodes share the work, as they say?", {"nodes": "max by (job) (pombo_nodes{NODE})"}, width=6),
        stat("Nodes scraped", "Does Prometheus reach all of them?", {"scraped": "count by (job) (up{NODE} == 1)"}, width=6),
        stat("Shards owned", "Has every one of the 64 shards exactly one owner? Fewer: nobody delivers for some webhooks.",
             {"owned": "sum by (job) (pombo_shards_owned{NODE})"}, limits=thresholds(RED, (64, GREEN), (65, RED)), width=6),
        stat("Leases lost in 24 hours", "Do nodes lose shards that they did not hand over?",
             {"lost": 'sum(increase(pombo_lease_losses_total{NODE, reason="lost"}[24h]))'}, limits=thresholds(GREEN, (1, YELLOW)), width=6, decimals=0),
        column(column(column(
            table("What runs", "Which version runs where, since when, and with which durability?",
                  {
                      "build": "sum by (job, instance, version, store, durability) (pombo_build_info{NODE})",
                      "up since": "max by (job, instance) (process_start_time_seconds{NODE} * 1000)",
                      "shards": "max by (job, instance) (pombo_shards_owned{NODE})",
                      "memory": "max by (job, instance) (process_resident_memory_bytes{NODE})",
                  }, hidden=("Time", "__name__", "Value #A")),
            "up since", "dateTimeFromNow"), "memory", "bytes"), "shards", "none"),
    ),
    (
        "Who owns what",
        series("Shards by node", "Is the work divided evenly, and does it stay where it is?", {"{{instance}}": "pombo_shards_owned{NODE}"}, stack=True, width=8),
        series("Shards that move", "Do shards move, planned or lost?",
               {"{{reason}}": "sum by (reason) (increase(pombo_lease_losses_total{NODE}[RATE]))", "gained": "sum(increase(pombo_shards_gained_total{NODE}[RATE]))"}, width=8),
        series("Settlements refused", "Did a node that had lost a shard try to settle its deliveries? Those attempts are repeated by the new owner.",
               {"{{instance}}": "increase(pombo_settlements_fenced_total{NODE}[RATE])"}, width=8),
    ),
    (
        "Actors",
        series("Running actors", "How many instances and webhooks have work?", {"{{kind}}": "sum by (kind) (pombo_actors{NODE})"}, width=8),
        series("Messages not handled", "Do actors keep up with their messages?", {"{{instance}}": "pombo_mailbox_messages{NODE}"}, width=8),
        series("Actors rebuilt", "Did an actor panic? It is rebuilt; the log tells where.",
               {"{{kind}}": "sum by (kind) (increase(pombo_actor_restarts_total{NODE}[RATE]))"}, width=8),
    ),
    (
        "Threads",
        series("Busiest thread", "Is a thread of some runtime at its end, so that more load only means more lag?",
               {"{{instance}} {{runtime}}": "pombo_runtime_busy_ratio{NODE}"}, "percentunit", limits=BUSY, top=1, width=8),
        series("Woken and waiting", "Do tasks wait for their turn?", {"{{instance}} {{runtime}}": "pombo_runtime_queue{NODE}"}, width=8),
        series("Tasks", "How many tasks live on each runtime?", {"{{runtime}}": "sum by (runtime) (pombo_runtime_tasks{NODE})"}, width=8),
    ),
    (
        "Process",
        series("Processor", "How many cores does each node use?", {"{{instance}}": "rate(process_cpu_seconds_total{NODE}[RATE])"}, "none", decimals=2, width=8),
        series("Memory", "Does memory stay flat, and how much of it is events?",
               {"{{instance}} resident": "process_resident_memory_bytes{NODE}", "{{instance}} events held": "pombo_held_bytes{NODE}"}, "bytes", width=8),
        series("Virtual memory", "Does address space grow without end (mappings that leak)?", {"{{instance}}": "process_virtual_memory_bytes{NODE}"}, "bytes", width=8),
        series("File descriptors", "Are descriptors near their limit?",
               {"{{instance}} open": "process_open_fds{NODE}", "{{instance}} limit": "process_max_fds{NODE}"}, width=8),
        series("Threads", "How many threads run, by what they serve?",
               {"{{runtime}}": "sum by (runtime) (pombo_runtime_threads{NODE})", "{{instance}} all": "process_threads{NODE}"}, width=8),
        series("Telemetry itself", "Are gauges filled (every two seconds: 0.5 a second), log lines counted instead of written, spans dropped?",
               {"{{instance}} gauges filled": "rate(pombo_observations_total{NODE}[RATE])", "suppressed lines": "sum(rate(pombo_log_suppressed_total{NODE}[RATE]))", "spans {{result}}": "sum by (result) (rate(pombo_spans_total{NODE}[RATE]))"}, "cps", width=8),
    ),
)
