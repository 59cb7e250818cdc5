"""Attempts and what becomes of deliveries."""

from .frame import GREEN, RED, YELLOW, bars, board, heat, quantiles, series, stat, thresholds

SHARE = thresholds(RED, (0.9, YELLOW), (0.99, GREEN))

BOARD = board(
    "pombo-deliveries", "Deliveries", "What do receivers do with what they are sent, how long does it take, and what ends badly?",
    (
        "Outcome",
        stat("First attempts that succeed", "What share of deliveries needs one attempt only?",
             {"share": 'sum(rate(pombo_attempts_total{NODE, origin="first", outcome="success"}[RATE])) / sum(rate(pombo_attempts_total{NODE, origin="first"}[RATE]))'},
             "percentunit", SHARE, width=6, decimals=2),
        stat("Dead in 24 hours", "How many deliveries ended without their receiver in a day? Each is listed and can be replayed.",
             {"dead": 'sum(increase(pombo_deliveries_total{NODE, result=~"exhausted|gave_up|gone|undeliverable"}[24h]))'},
             limits=thresholds(GREEN, (1, YELLOW), (1000, RED)), width=6, decimals=0),
        stat("Dead letters kept", "How many dead letters wait for somebody to replay them or for their retention to end?",
             {"kept": 'sum(max by (job) (pombo_depth{NODE, state="dead"}))'}, width=6),
        stat("Connections reused", "Are connections kept, or is every delivery a new handshake?",
             {"share": 'sum(rate(pombo_connections_total{NODE, how="reused"}[RATE])) / sum(rate(pombo_connections_total{NODE}[RATE]))'},
             "percentunit", thresholds(YELLOW, (0.5, GREEN)), width=6, decimals=1),
    ),
    (
        "Attempts",
        series("Attempts by origin", "How much of the work is first attempts, and how much is repetition?",
               {"{{origin}}": "sum by (origin) (rate(pombo_attempts_total{NODE}[RATE]))"}, "cps", stack=True, width=8),
        series("Failures by cause", "Why do attempts fail: the receiver's answer, its network, or ours?",
               {"{{outcome}}": 'sum by (outcome) (rate(pombo_attempts_total{NODE, outcome!="success"}[RATE])) > 0'}, "cps", stack=True, width=8),
        series("Answers", "What statuses do receivers answer?",
               {"{{class}}": "sum by (class) (rate(pombo_answers_total{NODE}[RATE]))"}, "cps", stack=True, width=8),
    ),
    (
        "Time",
        series("Phases of an attempt, p99", "Where does the time of slow attempts go: names, connection, TLS, or the receiver's thinking?",
               quantiles("pombo_attempt_seconds", 99, by="phase"), "s", width=8),
        series("Whole attempt", "How long do receivers take?",
               quantiles("pombo_attempt_seconds", 50, 90, 99, matchers='{NODE, phase="total"}'), "s", width=8),
        heat("From acceptance to delivery", "How are end-to-end times spread, and does a second cloud (retries) show?",
             "sum by (le) (increase(pombo_delivery_seconds_bucket{NODE}[RATE]))", width=8),
    ),
    (
        "Ends",
        series("Dead letters", "Which deliveries end dead, and by which rule?",
               {"{{result}}": 'sum by (result) (increase(pombo_deliveries_total{NODE, result=~"exhausted|gave_up|gone|undeliverable"}[RATE]))'}, width=8, stack=True),
        series("Superseded", "How many states were not sent because a newer one took their place?",
               {"{{reason}}": "sum by (reason) (rate(pombo_superseded_total{NODE}[RATE]))"}, "cps", width=8),
        series("Webhooks switched off", "Does the engine switch webhooks off, and why?",
               {"{{reason}}": "sum by (reason) (increase(pombo_webhooks_disabled_total{NODE}[RATE]))"}, width=8, stack=True),
    ),
    (
        "Receivers",
        series("Breakers that changed", "Do receivers come and go?",
               {"to {{to}}": "sum by (to) (rate(pombo_breaker_transitions_total{NODE}[RATE]))"}, "cps", width=8),
        bars("Breakers now", "How many receivers are taken for dead?", {"{{state}}": "sum by (state) (pombo_circuits{NODE})"}, width=8),
        series("Connections", "How many connections are opened, reused, and fail to open?",
               {"{{how}}": "sum by (how) (rate(pombo_connections_total{NODE}[RATE]))"}, "cps", width=8),
    ),
    (
        "Own bounds",
        series("Sockets to receivers", "Are sockets near their bound, so that attempts wait for one?",
               {"{{instance}} open": "pombo_open_sockets{NODE}", "{{instance}} limit": "pombo_open_sockets_limit{NODE}"}),
        series("Attempts in flight", "How many requests are under way at once?", {"{{instance}}": "pombo_attempts_in_flight{NODE}"}),
    ),
)
