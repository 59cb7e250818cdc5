"""What can be known without running anything."""

import os
import re
import subprocess
import sys

from . import texts


def generated():
    environment = {**os.environ, "PYTHONPATH": str(texts.DASHBOARDS)}
    done = subprocess.run([sys.executable, "-m", "boards", "--check"], env=environment, capture_output=True, text=True, timeout=60)
    return [] if done.returncode == 0 else [done.stderr.strip()]


def problems():
    return [*boards(), *alerts(), *names()]


def boards():
    all_boards = texts.boards()
    if len(all_boards) != 7:
        yield f"{len(all_boards)} boards"
    for key in ("uid", "title"):
        values = [board[key] for board in all_boards.values()]
        if len(set(values)) != len(values):
            yield f"boards share a {key}"
    if len({board["schemaVersion"] for board in all_boards.values()}) != 1:
        yield "boards differ in their schemaVersion"
    for path, board in all_boards.items():
        where = path.name
        if path.stem != board["uid"]:
            yield f"{where}: the uid is {board['uid']}"
        variables = {variable["name"] for variable in board["templating"]["list"]}
        if not {"datasource", "job", "node"} <= variables:
            yield f"{where}: variables {variables}"
        used = set(re.findall(r"\$\{?(\w+)", path.read_text())) - {"__rate_interval", "__all", "POMBO_TOKEN"}
        if used != variables:
            yield f"{where}: variables used and defined differ: {used ^ variables}"
        if not any("pombo" in link["tags"] for link in board["links"]) or "pombo" not in board["tags"]:
            yield f"{where}: no links to the other boards"
        places = set()
        for panel in texts.panels(board):
            if "?" not in panel["description"]:
                yield f"{where}: {panel['title']}: the description asks no question"
            if panel["type"] != "text" and not panel["targets"]:
                yield f"{where}: {panel['title']}: no query"
            grid = panel["gridPos"]
            cells = {(x, y) for x in range(grid["x"], grid["x"] + grid["w"]) for y in range(grid["y"], grid["y"] + grid["h"])}
            if cells & places or grid["x"] + grid["w"] > 24:
                yield f"{where}: {panel['title']}: overlaps another, or the edge"
            places |= cells
        for name, query in texts.board_queries(board):
            if "NODE" in query or "RATE" in query:
                yield f"{name}: a placeholder is left"


def alerts():
    all_alerts = texts.alerts()
    headings = {texts.anchor(heading) for heading in re.findall(r"^#+ (.*)$", texts.RUNBOOK.read_text(), re.MULTILINE)}
    uids = {board["uid"] for board in texts.boards().values()}
    if len(all_alerts) < 30:
        yield f"only {len(all_alerts)} alerts were found"
    for name, block in all_alerts.items():
        fields = dict(re.findall(r"^\s+(summary|description|runbook_url|dashboard): (.*)$", block, re.MULTILINE))
        if missing := {"summary", "description", "runbook_url", "dashboard"} - fields.keys():
            yield f"{name}: no {', '.join(missing)}"
            continue
        if not re.search(r"severity: (critical|warning|none)\b", block):
            yield f"{name}: no severity that is known"
        if fields["runbook_url"] != f"docs/operations.md#{name.lower()}":
            yield f"{name}: runbook_url {fields['runbook_url']}"
        if name.lower() not in headings:
            yield f"{name}: docs/operations.md has no entry"
        if fields["dashboard"].removeprefix("/d/") not in uids:
            yield f"{name}: there is no board {fields['dashboard']}"
    told = {heading for heading in headings if heading.startswith("pombo") and re.fullmatch(r"pombo\w+", heading)}
    if extra := told - {name.lower() for name in all_alerts}:
        yield f"docs/operations.md has entries of no alert: {extra}"
    fires, quiet = set(), set()
    for _, checks in texts.stories():
        firing = set().union(*checks)
        fires |= firing
        # Quiet in the very story in which it fires: a near miss, not another subject.
        quiet |= {name for name in firing if any(name not in check for check in checks)}
    always = {"PomboWatchdog"}
    if missing := all_alerts.keys() - fires:
        yield f"no story in which these fire: {sorted(missing)}"
    if missing := all_alerts.keys() - quiet - always:
        yield f"no story in which these stay quiet until they fire: {sorted(missing)}"
    if unknown := fires - all_alerts.keys():
        yield f"stories name alerts that do not exist: {sorted(unknown)}"


def names():
    metrics = texts.engine_metrics()
    if len(metrics) < 40:
        yield f"only {len(metrics)} metrics were found in {texts.NAMES.name}"
    on_panels = "\n".join(query for board in texts.boards().values() for _, query in texts.board_queries(board))
    used = {texts.metric_of(series, metrics) for series in texts.METRIC.findall(on_panels + texts.rules_text())}
    if unknown := used - metrics.keys():
        yield f"the engine has no metric of these names: {sorted(unknown)}"
    shown = {texts.metric_of(series, metrics) for series in texts.METRIC.findall(on_panels)}
    excused = texts.allowed("unshown.json")
    if unshown := metrics.keys() - shown - excused.keys():
        yield f"on no panel, and not in unshown.json with a reason: {sorted(unshown)}"
    if stale := excused.keys() & shown or excused.keys() - metrics.keys():
        yield f"unshown.json excuses what is shown or does not exist: {sorted(stale)}"
    if unknown := set(texts.RECORDED.findall(on_panels + texts.rules_text())) - texts.recorded():
        yield f"recorded by no rule: {sorted(unknown)}"
