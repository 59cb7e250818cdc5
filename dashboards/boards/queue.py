"""What waits, how long, and for what; when it will be gone."""

from .frame import GREEN, RED, YELLOW, bars, board, heat, quantiles, series, stat, thresholds

BOARD = board(
    "pombo-queue", "Queue and lag", "Is the engine behind, since when, what holds it, and when will it have caught up?",
    (
        "Now",
        stat("Oldest ready", "How late is the latest delivery that only waits for its turn?",
             {"age": 'max(pombo_oldest_due_seconds{NODE, state="ready"})'}, "s", thresholds(GREEN, (30, YELLOW), (300, RED)), width=6),
        stat("Time to drain", "At the present speed, how long until what is ready has been delivered, if nothing more came?",
             {"time": 'sum(pombo_depth{NODE, state="ready"}) / sum(rate(pombo_deliveries_total{NODE}[RATE]))'}, "s",
             thresholds(GREEN, (60, YELLOW), (600, RED)), width=6),
        stat("Growth of the backlog", "Do more deliveries come than go?",
             {"growth": "sum(deriv(pombo_backlog{NODE}[10m]))"}, "cps", thresholds(GREEN, (1, YELLOW)), width=6, decimals=1),
        stat("Full in", "At the present growth, when does the backlog reach the bound at which events are refused?",
             {"time": "sum by (job) ((max by (job) (pombo_backlog_limit{NODE}) - sum by (job) (pombo_backlog{NODE})) / (sum by (job) (deriv(pombo_backlog{NODE}[10m])) > 0))"},
             "s", thresholds(RED, (14400, YELLOW), (86400, GREEN)), width=6),
    ),
    (
        "Depth",
        series("By state", "What do unfinished deliveries wait for?",
               {"{{state}}": 'sum by (state) (pombo_depth{NODE, state!="dead"})'}, stack=True),
        series("By part of the lane", "Is it live traffic that waits, history, retries, or events parked behind an ordered key?",
               {"{{part}}": "sum by (part) (pombo_backlog{NODE})"}, stack=True),
        series("Backlog and its bound", "How far is the backlog from being refused?",
               {"backlog": "sum by (job) (pombo_backlog{NODE})", "limit": "max by (job) (pombo_backlog_limit{NODE})"}),
        series("In and out", "Which is quicker, what comes or what goes? (Events times their webhooks come; ends go.)",
               {"events accepted": 'sum(rate(pombo_events_total{NODE, result="accepted"}[RATE]))', "deliveries ended": "sum(rate(pombo_deliveries_total{NODE}[RATE]))"}, "cps"),
    ),
    (
        "Age and lag",
        series("Oldest by state", "Since when does the oldest delivery wait, for each cause?",
               {"{{state}}": "max by (state) (pombo_oldest_due_seconds{NODE})"}, "s"),
        series("Lag by reason, p99", "Of what started late, what held it? `none` and `window` are ours to answer for, the others are the webhook's settings or its receiver.",
               quantiles("pombo_lag_seconds", 99, by="reason"), "s"),
        heat("Lag without a hold", "How are starts spread that nothing but their turn held back?",
             'sum by (le) (increase(pombo_lag_seconds_bucket{NODE, reason=~"none|window"}[RATE]))'),
        series("Starts by reason", "How many deliveries start at once, and how many were held?",
               {"{{reason}}": "sum by (reason) (rate(pombo_lag_seconds_count{NODE}[RATE]))"}, "cps", stack=True),
    ),
    (
        "Who is held",
        series("Webhooks with work", "How many webhooks deliver, and how many are held?",
               {"{{state}}": "sum by (state) (pombo_active_webhooks{NODE})"}, stack=True),
        bars("Oldest, by node", "Which node has the oldest ready delivery?",
             {"{{instance}}": 'max by (instance) (pombo_oldest_due_seconds{NODE, state="ready"})'}, "s", thresholds(GREEN, (30, YELLOW), (300, RED))),
    ),
)
