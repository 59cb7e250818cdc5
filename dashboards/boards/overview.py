"""The first board: is everything well, and where to look if not."""

from .frame import GREEN, RED, YELLOW, bars, board, quantiles, series, stat, thresholds

LATE = thresholds(GREEN, (30, YELLOW), (300, RED))

BOARD = board(
    "pombo-overview", "Overview", "Are deliveries on time, and if not: what holds them? Each other board goes into one of these figures.",
    (
        "Now",
        stat("Nodes scraped", "How many nodes does Prometheus reach? None at all means that every other panel tells of the past.",
             {"up": 'count(up{NODE} == 1)'}, limits=thresholds(RED, (1, GREEN))),
        stat("Store", "Does every node's store take events?", {"store": "min(pombo_store_up{NODE})"},
             limits=thresholds(RED, (1, GREEN)), words={"0": ("refuses", RED), "1": ("takes events", GREEN)}),
        stat("Oldest ready", "How late is the latest delivery that nothing but its turn or its receiver's window holds back?",
             {"age": 'max(pombo_oldest_due_seconds{NODE, state="ready"})'}, "s", LATE),
        stat("Backlog", "How many accepted deliveries are unfinished?", {"backlog": "sum(pombo_backlog{NODE})"}),
        stat("Backlog of its limit", "How near is the backlog to the bound at which events are refused with 429?",
             {"share": "sum by (job) (pombo_backlog{NODE}) / max by (job) (pombo_backlog_limit{NODE})"}, "percentunit",
             thresholds(GREEN, (0.5, YELLOW), (0.8, RED)), decimals=1),
        stat("Alerts firing", "Is any alert of Pombo firing?", {"alerts": 'count(ALERTS{alertstate="firing", alertname=~"Pombo.+", alertname!="PomboWatchdog"}) or vector(0)'},
             limits=thresholds(GREEN, (1, RED))),
    ),
    (
        "Traffic",
        series("Events handed in", "What do gateways hand in, and how much of it is taken?",
               {"{{result}}": "sum by (result) (rate(pombo_events_total{NODE}[RATE]))"}, "cps", width=8),
        series("Attempts", "What do receivers answer?",
               {"{{outcome}}": "sum by (outcome) (rate(pombo_attempts_total{NODE}[RATE])) > 0"}, "cps", width=8),
        series("Deliveries that ended", "What becomes of deliveries?",
               {"{{result}}": "sum by (result) (rate(pombo_deliveries_total{NODE}[RATE]))"}, "cps", width=8),
    ),
    (
        "On time?",
        series("From acceptance to delivery", "How old is an event when its receiver has it? Retries and held-back deliveries are in it.",
               quantiles("pombo_delivery_seconds", 50, 95, 99), "s", width=8),
        series("Late starts", "From due to started, whatever held it: is it the engine, or the receiver?",
               quantiles("pombo_lag_seconds", 99, by="reason"), "s", width=8),
        bars("What waits, and for what", "Are deliveries ready, in flight, or held, and by what?",
             {"{{state}}": "sum by (state) (pombo_depth{NODE, state!=\"dead\"})"}, width=8),
    ),
    (
        "Machine",
        series("Processor", "How many cores does each node use?",
               {"{{instance}}": "rate(process_cpu_seconds_total{NODE}[RATE])"}, "none", width=8, decimals=2),
        series("Memory", "Does memory stay flat whatever the backlog?",
               {"{{instance}}": "process_resident_memory_bytes{NODE}"}, "bytes", width=8),
        series("Refused requests", "Are requests refused, and why?",
               {"{{reason}}": "sum by (reason) (rate(pombo_ingest_refused_total{NODE}[RATE])) > 0"}, "reqps", width=8),
    ),
)
