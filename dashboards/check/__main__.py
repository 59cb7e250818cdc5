"""Everything about dashboards/ in one run: quick checks on the texts first, then against a running engine.

Usage, from the repository's root: PYTHONPATH=dashboards python3 -m check [path of the pombo binary]
Without a path only the texts are checked.
"""

import concurrent.futures
import pathlib
import subprocess
import sys
import time

from . import lint, live, texts


def promtool(*arguments):
    done = subprocess.run(["promtool", *map(str, arguments)], capture_output=True, text=True, timeout=300)
    return [] if done.returncode == 0 else [f"promtool {arguments[0]} {arguments[1]}: {done.stdout}{done.stderr}"]


def stories():
    files = sorted((texts.PROMETHEUS / "tests").glob("*.yml"))
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        return [problem for problems in pool.map(lambda file: promtool("test", "rules", file), files) for problem in problems]


def stages(binary):
    yield "boards are what the generator writes", lint.generated
    yield "texts", lint.problems
    yield "promtool check", lambda: promtool("check", "config", texts.PROMETHEUS / "prometheus.yml")
    yield "promtool test rules", stories
    if binary:
        yield "every query against a running engine", lambda: live.problems(pathlib.Path(binary))


def main():
    failed = False
    for name, stage in stages(sys.argv[1] if len(sys.argv) > 1 else None):
        started = time.monotonic()
        problems = list(stage())
        print(f"dashboards: {name}: {'ok' if not problems else 'FAILED'} ({time.monotonic() - started:.1f} s)", flush=True)
        for problem in problems:
            print(f"  {problem}", file=sys.stderr, flush=True)
        failed |= bool(problems)
    sys.exit(failed)


main()
