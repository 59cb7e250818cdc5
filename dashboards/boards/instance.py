"""From a symptom to the webhooks behind it. Metrics have no label for instances or webhooks, so the API names them."""

from .frame import board, series, stat, table, textbox, thresholds, GREEN, RED, YELLOW, column, words, bars

NAMES = """\
No metric has a label for an instance or a webhook: with thousands of them that would be millions of series. **Who** is late is told by the engine
itself, exact and now; `admin/top` knows the webhooks of the node that answers, so ask each node:

| question | ask |
|---|---|
| whose deliveries are latest, whose queue is longest, who fails most, who is slowest? | `curl -H "Authorization: Bearer $POMBO_TOKEN" "${api}/api/v2/admin/top?k=10"` |
| what does one webhook do right now: queue, window, pace, breaker? | `curl -H … ${api}/api/v2/instance/{instanceId}/webhook/{webhookId}/stats` |
| what became of its deliveries? | `curl -H … "${api}/api/v2/instance/{instanceId}/webhook/{webhookId}/deliveries?status=dead"` |
| why did this one take so long? (every decision and attempt) | `curl -H … ${api}/api/v2/instance/{instanceId}/webhook/{webhookId}/deliveries/{deliveryId}` |
| does the receiver answer at all? | `curl -X POST -H … ${api}/api/v2/instance/{instanceId}/webhook/{webhookId}/test` |

The [reference of the API](${api}/docs/) tells their parameters. The panels below say *how many* webhooks are concerned, and by what; the routes say *which*.
"""

BOARD = board(
    "pombo-instance", "Instances and webhooks", "How many instances and webhooks are there, how many are in trouble, and how to find which.",
    ("Which?", words("Who is late?", "How do I get from a symptom to the webhook behind it?", NAMES, height=9)),
    (
        "How many?",
        stat("Instances", "How many instances are there?", {"instances": "sum(max by (job) (pombo_instances{NODE}))"}, width=6),
        stat("Webhooks", "How many webhooks are enabled?", {"enabled": 'sum(max by (job) (pombo_webhooks{NODE, state="enabled"}))'}, width=6),
        stat("Disabled by the engine", "How many webhooks did the engine give up on, and nobody switched on again?",
             {"disabled": 'sum(max by (job) (pombo_webhooks{NODE, state="disabled"}))'}, limits=thresholds(GREEN, (1, YELLOW)), width=6),
        stat("Breakers open", "How many receivers are taken for dead at the moment?",
             {"open": 'sum(pombo_circuits{NODE, state=~"open|probing"})'}, limits=thresholds(GREEN, (1, YELLOW), (20, RED)), width=6),
    ),
    (
        "What holds them?",
        column(
            table("Held webhooks", "How many webhooks are in each state, how much waits behind them, and how old is the oldest?",
                  {
                      "webhooks": "sum by (state) (pombo_active_webhooks{NODE})",
                      "deliveries": 'sum by (state) (pombo_depth{NODE, state=~"ready|throttled|circuit_open|order|paused"})',
                      "oldest": 'max by (state) (pombo_oldest_due_seconds{NODE, state=~"ready|throttled|circuit_open|order|paused"})',
                  }, width=12),
            "oldest", "s", thresholds(GREEN, (60, YELLOW), (3600, RED))),
        series("Webhooks with work", "When did webhooks begin to be held?",
               {"{{state}}": "sum by (state) (pombo_active_webhooks{NODE})"}, stack=True),
        bars("Webhooks by state", "How are webhooks set?", {"{{state}}": "max by (state) (pombo_webhooks{NODE})"}),
        series("Unknown or unreadable", "Does a gateway hand in events for instances that do not exist, or that cannot be read?",
               {"{{reason}}": 'sum by (reason) (rate(pombo_ingest_refused_total{NODE, reason=~"unknown_instance|invalid|too_large|unsupported"}[RATE]))'}, "reqps"),
    ),
    variables=[textbox("api", "API", "http://127.0.0.1:8080")],
)
