"""Reads the texts: boards, rules, stories, the runbook, the engine's table of names. Only what Python brings along is used, so
YAML is read by its lines, as our own files are written."""

import json
import pathlib
import re

ROOT = pathlib.Path(__file__).resolve().parents[2]
DASHBOARDS = ROOT / "dashboards"
GRAFANA = DASHBOARDS / "grafana"
PROMETHEUS = DASHBOARDS / "prometheus"
RUNBOOK = ROOT / "docs" / "operations.md"
NAMES = ROOT / "src" / "telemetry" / "names.rs"

METRIC = re.compile(r"\b(?:pombo|process)_[a-z0-9_]+\b")
RECORDED = re.compile(r"\bpombo:[a-z0-9_:]+\b")
SELECTOR = re.compile(r"\b((?:pombo|process)[_:][a-z0-9_:]+|up)\b(\{[^}]*\})?(?!\s*\()")


def boards():
    """Each board by its file."""
    return {path: json.loads(path.read_text()) for path in sorted(GRAFANA.glob("*.json"))}


def panels(board):
    return [panel for panel in board["panels"] if panel["type"] != "row"]


def board_queries(board):
    """(name, query) of every query of a board, its annotations and variables among them."""
    for panel in panels(board):
        for target in panel.get("targets", []):
            yield f"{board['uid']}/{panel['title']}/{target['legendFormat']}", target["expr"]
    for annotation in board["annotations"]["list"]:
        yield f"annotation {annotation['name']}", annotation["expr"]


def rule_files():
    return sorted((PROMETHEUS / "rules").glob("*.yml"))


def rules_text():
    """All rules without comments and annotations: what is left of metrics is used."""
    lines = [line for path in rule_files() for line in path.read_text().splitlines()]
    told = ("#", "summary:", "description:", "runbook_url:", "dashboard:")
    return "\n".join(line for line in lines if not line.strip().startswith(told))


def alerts():
    """Each alert by its name: the text from its name to the next rule."""
    found = {}
    for path in rule_files():
        for block in re.split(r"\n(?=\s*- (?:alert|record|name): )", path.read_text()):
            if name := re.match(r"\s*- alert: (\w+)\n", block):
                found[name[1]] = block
    return found


def recorded():
    return set(re.findall(r"- record: (\S+)", rules_text()))


def stories():
    """The stories of the rules' tests: for each, a list of the sets of alerts that fire at its checks."""
    for path in sorted((PROMETHEUS / "tests").glob("*.yml")):
        for story in re.split(r"\n  - name: ", path.read_text())[1:]:
            checks = story.split("- expr: ")[1:]
            yield path.name, [set(re.findall(r'alertname="(\w+)"', check.split("exp_samples")[1])) for check in checks]


def engine_metrics():
    """Every metric that the engine names, with its type."""
    text = NAMES.read_text()
    return {name: kind for kind, name in re.findall(r'^\s*(counter|gauge|histogram) \w+ \w+ = "([a-z0-9_]+)"', text, re.MULTILINE)}


def metric_of(series, metrics):
    """The metric a series belongs to: a histogram's name has an ending."""
    for ending in ("_bucket", "_sum", "_count"):
        base = series.removesuffix(ending)
        if base != series and metrics.get(base) == "histogram":
            return base
    return series


def allowed(name):
    """What may be otherwise, by what it is about, with the reason."""
    return json.loads((DASHBOARDS / "check" / name).read_text())


def anchor(heading):
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")
