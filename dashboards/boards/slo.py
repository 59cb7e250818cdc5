"""Three objectives, how they stand, and how fast their budgets burn."""

from .frame import GREEN, RED, YELLOW, board, series, stat, thresholds

# What may go wrong of each: the budgets that the alerts of prometheus/rules/slo.yml know too.
OBJECTIVES = [
    ("Taken", "pombo:ingest_refused:ratio_rate", 0.001, "requests answered 202 and not refused by a bound, a stop or the store: 99.9 %"),
    ("On time", "pombo:starts_late:ratio_rate", 0.01, "attempts started within a second of being due, of those that no setting and no broken receiver held: 99 %"),
    ("Delivered at once", "pombo:first_attempts_failed:ratio_rate", 0.01, "first attempts that succeed: 99 %"),
]
WINDOWS = ["5m", "1h", "6h", "3d"]


def left(rule, budget):
    return f'1 - {rule}3d{{job=~"$job"}} / {budget:g}'


def row(name, rule, budget, meaning):
    share = stat(f"{name}: 3 days", f"Is the objective met? {meaning}.", {"{{job}}": f'1 - {rule}3d{{job=~"$job"}}'}, "percentunit",
                 thresholds(RED, (1 - budget, GREEN)), width=4, height=8, decimals=3)
    budget_left = stat("Budget left", f"How much may still go wrong within three days? {meaning}.", {"{{job}}": left(rule, budget)}, "percentunit",
                       thresholds(RED, (0, YELLOW), (0.5, GREEN)), width=4, height=8, decimals=1)
    burn = series("Burn", "How many times faster than allowed does the budget burn? Somebody is woken at 14.4 over an hour or 6 over six hours.",
                  {f"{{{{job}}}} {window}": f'{rule}{window}{{job=~"$job"}} / {budget:g}' for window in WINDOWS}, "none", width=16,
                  limits=thresholds(GREEN, (1, YELLOW), (14.4, RED)), decimals=2)
    return (name, share, budget_left, burn)


BOARD = board(
    "pombo-slo", "Objectives", "Are the objectives met, how much of their budgets is left, and how fast do they burn?",
    *(row(*objective) for objective in OBJECTIVES),
    (
        "The fourth: nothing is lost",
        stat("Dead share, 3 days", "What share of the deliveries that ended reached nobody?", {"{{job}}": 'pombo:dead:ratio_rate3d{job=~"$job"}'}, "percentunit",
             thresholds(GREEN, (0.001, YELLOW), (0.01, RED)), width=8, decimals=3),
        series("Dead share", "When did deliveries die?", {"{{job}} 1h": 'pombo:dead:ratio_rate1h{job=~"$job"}'}, "percentunit", width=16),
    ),
)
