"""Writes dashboards/grafana/*.json; with --check it only says which of them differ.

What ships is the JSON. It is written from here so that units, colours, variables and links are the same on every board.
"""

import json
import pathlib
import sys

from . import actors, deliveries, instance, overview, queue, slo, store

BOARDS = [overview, deliveries, queue, instance, actors, store, slo]
FOLDER = pathlib.Path(__file__).parent.parent / "grafana"


def main():
    written = {f"{module.BOARD['uid']}.json": json.dumps(module.BOARD, indent=2, ensure_ascii=False) + "\n" for module in BOARDS}
    there = {path.name: path.read_text() for path in FOLDER.glob("*.json")}
    if "--check" in sys.argv:
        stale = sorted(name for name in written.keys() | there.keys() if written.get(name) != there.get(name))
        if stale:
            sys.exit(f"not what the generator writes: {', '.join(stale)}; run: PYTHONPATH=dashboards python3 -m boards")
        return
    for name in there.keys() - written.keys():
        (FOLDER / name).unlink()
    for name, text in written.items():
        (FOLDER / name).write_text(text)


main()
