"""How boards and panels look: what all of them share is said here once.

In queries `NODE` stands for the matchers of the board's variables, and `RATE` for the window of rates.
"""

SCHEMA = 38
SOURCE = {"type": "prometheus", "uid": "${datasource}"}
MATCHERS = 'job=~"$job", instance=~"$node"'
WIDTH = 24

# Traffic lights: what is good, what wants a look, what is bad, in the same colours everywhere.
GREEN, YELLOW, RED, BLUE = "green", "#EAB839", "red", "blue"


def board(uid, title, description, *rows, variables=()):
    """A row is its title and its panels; they are laid out from left to right and wrap at the edge."""
    return {
        "uid": uid,
        "title": f"Pombo / {title}",
        "description": description,
        "tags": ["pombo"],
        "schemaVersion": SCHEMA,
        "version": 1,
        "editable": True,
        "graphTooltip": 1,
        "timezone": "",
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "links": [links()],
        "annotations": {"list": [restarts()]},
        "templating": {"list": [datasource(), *variables_of_nodes(), *variables]},
        "panels": laid_out(rows),
    }


def links():
    return {
        "type": "dashboards", "title": "Pombo", "tags": ["pombo"], "asDropdown": False, "includeVars": True, "keepTime": True,
        "targetBlank": False, "icon": "external link", "tooltip": "", "url": "",
    }


def restarts():
    return {
        "name": "Starts", "enable": True, "hide": False, "iconColor": BLUE, "datasource": SOURCE,
        "expr": query("changes(process_start_time_seconds{NODE}[2m]) > 0"), "titleFormat": "{{instance}} started", "step": "60s",
    }


def datasource():
    return {"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus", "hide": 0, "refresh": 1}


def variables_of_nodes():
    def labels(name, label, text, everything=".*"):
        return {
            "name": name, "label": label, "type": "query", "datasource": SOURCE, "definition": text,
            "query": {"query": text, "refId": name}, "refresh": 2, "sort": 1, "multi": True, "includeAll": True, "allValue": everything,
            "current": {"selected": True, "text": ["All"], "value": ["$__all"]}, "hide": 0,
        }
    return [
        # Other jobs have processes too: all means all of ours.
        labels("job", "Job", "label_values(pombo_build_info, job)", "pombo.*"),
        labels("node", "Node", 'label_values(pombo_build_info{job=~"$job"}, instance)'),
    ]


def textbox(name, label, value):
    return {
        "name": name, "label": label, "type": "textbox", "query": value, "hide": 0,
        "current": {"text": value, "value": value}, "options": [{"text": value, "value": value, "selected": True}],
    }


def query(text):
    return text.replace("{NODE", "{" + MATCHERS).replace("RATE", "$__rate_interval")


def laid_out(rows):
    panels, y = [], 0
    for title, *members in rows:
        panels.append({"type": "row", "title": title, "collapsed": False, "panels": [], "gridPos": {"x": 0, "y": y, "w": WIDTH, "h": 1}})
        y, x, height = y + 1, 0, 0
        for panel in members:
            width, tall = panel.pop("size")
            if x + width > WIDTH:
                y, x, height = y + height, 0, 0
            panels.append({**panel, "gridPos": {"x": x, "y": y, "w": width, "h": tall}})
            x, height = x + width, max(height, tall)
        y += height
    return [{"id": place + 1, **panel} for place, panel in enumerate(panels)]


def targets(queries):
    """Queries by their legend."""
    return [
        {"refId": chr(ord("A") + place), "datasource": SOURCE, "expr": query(text), "legendFormat": legend, "range": True}
        for place, (legend, text) in enumerate(queries.items())
    ]


def quantiles(histogram, *quantiles, matchers="{NODE}", by=""):
    """Quantiles of a histogram, by legend."""
    label = f"{{{{{by}}}}} " if by else ""
    return {
        f"{label}p{quantile:g}": f"histogram_quantile({quantile / 100:g}, sum by (le{', ' + by if by else ''}) (rate({histogram}_bucket{matchers}[RATE])))"
        for quantile in quantiles
    }


def thresholds(*steps):
    """The colour from the start, then (value, colour)."""
    first, *later = steps
    return {
        "mode": "absolute",
        "steps": [{"color": first, "value": None}, *({"color": colour, "value": value} for value, colour in later)],
    }


def series(title, question, queries, unit="short", *, width=12, height=8, stack=False, limits=None, decimals=None, top=None):
    """Lines over time. `limits` are drawn as lines; `top` is the axis's end."""
    custom = {
        "drawStyle": "line", "lineWidth": 1, "fillOpacity": 30 if stack else 8, "showPoints": "never", "spanNulls": False,
        "stacking": {"mode": "normal" if stack else "none", "group": "A"},
        "thresholdsStyle": {"mode": "dashed" if limits else "off"},
    }
    return {
        "type": "timeseries", "title": title, "description": question, "datasource": SOURCE, "size": (width, height),
        "targets": targets(queries),
        "fieldConfig": {
            "defaults": {
                "unit": unit, "min": 0, **({"max": top} if top is not None else {}), **({"decimals": decimals} if decimals is not None else {}),
                "custom": custom, "thresholds": limits or thresholds(GREEN), "color": {"mode": "palette-classic"},
            },
            "overrides": [],
        },
        "options": {
            "legend": {"displayMode": "table", "placement": "bottom", "showLegend": True, "calcs": ["lastNotNull", "max"]},
            "tooltip": {"mode": "multi", "sort": "desc"},
        },
    }


def stat(title, question, queries, unit="short", limits=None, *, width=4, height=4, decimals=None, text=None, words=None):
    """One figure, coloured. `words` name values; `text` shows the series' names instead of values."""
    mappings = [{"type": "value", "options": {value: {"text": word, "color": colour} for value, (word, colour) in (words or {}).items()}}]
    return {
        "type": "stat", "title": title, "description": question, "datasource": SOURCE, "size": (width, height),
        "targets": [{**target, "instant": True, "range": False} for target in targets(queries)],
        "fieldConfig": {
            "defaults": {
                "unit": unit, **({"decimals": decimals} if decimals is not None else {}), "noValue": "–",
                "thresholds": limits or thresholds(BLUE), "color": {"mode": "thresholds"}, "mappings": mappings if words else [],
            },
            "overrides": [],
        },
        "options": {
            "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False}, "orientation": "auto",
            "textMode": text or "auto", "colorMode": "background", "graphMode": "none", "justifyMode": "auto",
        },
    }


def bars(title, question, queries, unit="short", limits=None, *, width=12, height=8, top=None):
    """Figures side by side, as bars."""
    panel = stat(title, question, queries, unit, limits, width=width, height=height)
    panel["type"] = "bargauge"
    panel["options"] = {
        "reduceOptions": panel["options"]["reduceOptions"], "orientation": "horizontal", "displayMode": "basic", "showUnfilled": True,
        "valueMode": "color", "namePlacement": "left",
    }
    panel["fieldConfig"]["defaults"] |= {"min": 0, **({"max": top} if top is not None else {})}
    return panel


def table(title, question, queries, unit="short", *, width=24, height=8, hidden=("Time", "__name__"), names=None):
    """The newest value of each series as a row; several queries are joined by their labels."""
    panel = {
        "type": "table", "title": title, "description": question, "datasource": SOURCE, "size": (width, height),
        "targets": [{**target, "instant": True, "range": False, "format": "table"} for target in targets(queries)],
        "fieldConfig": {"defaults": {"unit": unit, "custom": {"align": "auto"}, "thresholds": thresholds(GREEN), "color": {"mode": "thresholds"}}, "overrides": []},
        "options": {"showHeader": True, "cellHeight": "sm"},
        "transformations": [],
    }
    if len(queries) > 1:
        panel["transformations"].append({"id": "merge", "options": {}})
    renamed = {f"Value #{chr(ord('A') + place)}" if len(queries) > 1 else "Value": legend for place, legend in enumerate(queries)}
    panel["transformations"].append(
        {"id": "organize", "options": {"excludeByName": {name: True for name in hidden}, "renameByName": renamed | (names or {}), "indexByName": {}}}
    )
    return panel


def column(panel, name, unit, limits=None):
    """Gives a column of a table its unit and colours."""
    properties = [{"id": "unit", "value": unit}]
    if limits:
        properties += [{"id": "thresholds", "value": limits}, {"id": "custom.cellOptions", "value": {"type": "color-text"}}]
    panel["fieldConfig"]["overrides"].append({"matcher": {"id": "byName", "options": name}, "properties": properties})
    return panel


def heat(title, question, text, unit="s", *, width=12, height=8):
    """How a histogram's buckets fill over time."""
    return {
        "type": "heatmap", "title": title, "description": question, "datasource": SOURCE, "size": (width, height),
        "targets": [{**target, "format": "heatmap"} for target in targets({"{{le}}": text})],
        "fieldConfig": {"defaults": {"custom": {"scaleDistribution": {"type": "linear"}}}, "overrides": []},
        "options": {
            "calculate": False, "yAxis": {"unit": unit, "axisPlacement": "left"}, "rowsFrame": {"layout": "auto"}, "cellGap": 1,
            "color": {"mode": "scheme", "scheme": "Oranges", "steps": 64, "exponent": 0.5, "reverse": False},
            "tooltip": {"show": True, "yHistogram": False}, "legend": {"show": True}, "filterValues": {"le": 1e-9},
        },
    }


def words(title, question, markdown, *, width=24, height=8):
    return {
        "type": "text", "title": title, "description": question, "size": (width, height),
        "options": {"mode": "markdown", "content": markdown},
    }
