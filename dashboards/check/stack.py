"""Starts the processes of the live check on free ports of the loopback interface, and ends those it started, whatever happens."""

import contextlib
import json
import os
import pathlib
import re
import socket
import subprocess
import tempfile
import time
import urllib.request

from . import texts

TOKEN = "dashboards-check-admin-token"
START = 30


def free_port():
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        return bound.getsockname()[1]


def until(what, ready, process=None, seconds=START):
    """Waits for something to be true, failing when it is not in time or its process has ended."""
    deadline = time.monotonic() + seconds
    while True:
        with contextlib.suppress(OSError):
            if value := ready():
                return value
        if process and process.poll() is not None:
            raise RuntimeError(f"{what} ended with {process.returncode}")
        if time.monotonic() > deadline:
            raise RuntimeError(f"{what} was not there within {seconds} s")
        time.sleep(0.1)


def fetch(url):
    with urllib.request.urlopen(url, timeout=5) as answer:
        return answer.read().decode()


class Stack:
    """An engine on a folder (job pombo), an engine on a Redis (job pombo-redis), and a Prometheus that scrapes both every second."""

    def __init__(self, binary):
        self.binary = binary.resolve()
        self.running = []

    def __enter__(self):
        self.folder = tempfile.TemporaryDirectory(prefix="pombo-dashboards-")
        self.path = pathlib.Path(self.folder.name)
        try:
            self.redis = self.start_redis()
            self.engines = {
                "pombo": self.start_engine("pombo", {"POMBO_DATA_DIR": str(self.path / "data")}),
                "pombo-redis": self.start_engine("pombo-redis", {"POMBO_REDIS_URL": f"redis://127.0.0.1:{self.redis}/"}),
            }
            self.prometheus = self.start_prometheus()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for process in reversed(self.running):
            process.terminate()
        for process in reversed(self.running):
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.folder.cleanup()

    def start(self, name, command, **options):
        log = (self.path / f"{name}.log").open("w")
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, cwd=self.path, **options)
        self.running.append(process)
        return process

    def log(self, name):
        return (self.path / f"{name}.log").read_text()

    def start_redis(self):
        port = free_port()
        process = self.start("redis", [
            "redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "yes", "--dir", str(self.path),
            "--maxmemory", "256mb", "--maxmemory-policy", "noeviction",
        ])
        until("redis-server", lambda: socket.create_connection(("127.0.0.1", port), 1).close() or True, process)
        return port

    def start_engine(self, name, more):
        clean = {key: value for key, value in os.environ.items() if not key.startswith("POMBO_")}
        environment = clean | {
            "POMBO_ADMIN_TOKEN": TOKEN, "POMBO_LISTEN": "127.0.0.1:0", "POMBO_LOG_FORMAT": "json", "POMBO_ALLOW_HTTP": "true",
            "POMBO_ALLOW_TARGETS": "127.0.0.0/8", "POMBO_BREAKER_FAILURES": "5", "POMBO_LIMITS_MAX_BODY_BYTES": "128KiB",
            "POMBO_SHUTDOWN_GRACE_S": "1",
        } | more
        process = self.start(name, [str(self.binary), "serve"], env=environment)
        address = until(name, lambda: (found := re.search(r'"addr":"([0-9.:]+)"', self.log(name))) and found[1], process)
        until(name, lambda: fetch(f"http://{address}/readyz"), process)
        return address

    def start_prometheus(self):
        rules = self.path / "rules"
        rules.mkdir()
        for path in texts.rule_files():
            # Groups of slow windows have an interval of their own: nobody waits for it here.
            (rules / path.name).write_text(re.sub(r"^ *interval: .*\n", "", path.read_text(), flags=re.MULTILINE))
        jobs = [
            {"job_name": job, "static_configs": [{"targets": [address]}]} for job, address in self.engines.items()
        ]
        # JSON is YAML.
        (self.path / "prometheus.yml").write_text(json.dumps({
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"}, "rule_files": ["rules/*.yml"], "scrape_configs": jobs,
        }))
        port = free_port()
        process = self.start("prometheus", [
            "prometheus", f"--config.file={self.path / 'prometheus.yml'}", f"--storage.tsdb.path={self.path / 'tsdb'}",
            f"--web.listen-address=127.0.0.1:{port}",
        ])
        until("prometheus", lambda: fetch(f"http://127.0.0.1:{port}/-/ready"), process)
        return f"http://127.0.0.1:{port}"

    def tail(self):
        """The last lines of what every process said, for whoever must find out why."""
        return "\n".join(f"--- {log.name}\n" + "\n".join(log.read_text().splitlines()[-8:]) for log in sorted(self.path.glob("*.log")))
