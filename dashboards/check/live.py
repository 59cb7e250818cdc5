"""Every query of boards and rules, asked of a Prometheus that scrapes running engines in trouble: each has data, or a reason.

Asked again until all have data or the time is over: rates need samples, and trouble needs a moment to show.
"""

import itertools
import json
import math
import pathlib
import re
import time
import urllib.error
import urllib.parse
import urllib.request

from . import texts, traffic
from .stack import Stack, fetch

PATIENCE = 50
# Alerts that must be quiet while the engines run, whatever their receivers do.
CALM = {"pombo-presence", "pombo-cluster"}


def problems(binary: pathlib.Path):
    receiver = traffic.receiver()
    try:
        with Stack(binary) as stack:
            flows = [traffic.Traffic(address, receiver.server_port) for address in stack.engines.values()]
            try:
                found = list(examine(stack))
            finally:
                for flow in flows:
                    flow.stop()
            return found + ([stack.tail()] if found else [])
    finally:
        receiver.shutdown()


def ask(base, path, **parameters):
    url = f"{base}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
    try:
        with urllib.request.urlopen(url, timeout=20) as answer:
            return json.load(answer)["data"]
    except urllib.error.HTTPError as refused:
        raise RuntimeError(f"{path} {parameters}: {refused.read().decode()}") from refused


def has_data(base, query):
    """A number in at least one series; 0/0 is none."""
    return any(not math.isnan(float(series["value"][1])) for series in ask(base, "query", query=query)["result"])


def filled_in(query):
    """As Grafana would ask with `All` chosen."""
    return query.replace("$__rate_interval", "1m").replace("$job", "pombo.*").replace("$node", ".*")


def alternatives(selector):
    """The selectors of each word of its lists: {state=~"a|b"} is asked for a and for b, so that a slip in one word shows."""
    parts = re.split(r'(=~"(?:[\w-]+\|)+[\w-]+")', selector)
    choices = [[f'="{word}"' for word in part[3:-1].split("|")] if part.startswith('=~"') and "|" in part else [part] for part in parts]
    return ["".join(choice) for choice in itertools.product(*choices)]


def selectors(query):
    for name, matchers in texts.SELECTOR.findall(query):
        yield from alternatives(name + matchers)


def unknown_routes(stack):
    """Routes that boards and runbook send people to, and the engine does not have."""
    known = json.loads(fetch(f"http://{stack.engines['pombo']}/openapi.json"))["paths"].keys()
    told = "\n".join(path.read_text() for path in (texts.RUNBOOK, *texts.boards()))
    return {route.rstrip("/") for route in re.findall(r"/api/v2/[\w{}/]+", told)} - known


def unwell(base):
    """Rules that cannot be evaluated, and alerts that an engine at work must not raise."""
    for group in ask(base, "rules")["groups"]:
        for rule in group["rules"]:
            if rule["health"] != "ok":
                yield f"{rule['name']}: {rule.get('lastError', rule['health'])}"
            if group["name"] in CALM and rule["name"] != "PomboWatchdog" and rule.get("state", "inactive") != "inactive":
                yield f"{rule['name']} is {rule['state']} while both engines run: {rule['alerts']}"


def examine(stack):
    yield from (f"there is no route {route}" for route in unknown_routes(stack))
    base, rules = stack.prometheus, []
    for group in ask(stack.prometheus, "rules")["groups"]:
        rules += [{**rule, "group": group["name"]} for rule in group["rules"]]
    if {rule["name"] for rule in rules if rule["type"] == "alerting"} != texts.alerts().keys():
        yield "Prometheus and the check read different alerts from the rules"
    asked = {}
    for board in texts.boards().values():
        for name, query in texts.board_queries(board):
            asked[name] = filled_in(query)
    asked |= {f"record {rule['name']}": rule["name"] for rule in rules if rule["type"] == "recording"}
    for query in [*asked.values(), *(rule["query"] for rule in rules)]:
        asked |= {selector: selector for selector in selectors(query)}
    excused = texts.allowed("empty.json")
    yield from (f"empty.json excuses what nobody asks: {name}" for name in excused.keys() - asked.keys())
    empty, deadline = [name for name in asked if name not in excused], time.monotonic() + PATIENCE
    while empty and time.monotonic() < deadline:
        empty = [name for name in empty if not has_data(base, asked[name])]
        time.sleep(0.5)
    yield from (f"no data: {name}" + ("" if name == asked[name] else f": {asked[name]}") for name in empty)
    yield from (f"it has data, empty.json excuses it: {name}" for name in excused if name in asked and has_data(base, asked[name]))
    # A first look with two scrapes of one observation may call an alert that the next one takes back.
    deadline = time.monotonic() + PATIENCE
    while (wrong := list(unwell(base))) and time.monotonic() < deadline:
        time.sleep(0.5)
    yield from wrong
