"""What no linter knows: the files of docker/ fit each other, and the binary they start.

Each function is a rule and yields what breaks it.
"""

import fnmatch
import os
import re
import subprocess
import sys
from pathlib import Path

import yaml

ROOT = Path.cwd()
DOCKER = ROOT / "docker"
COMPOSE = {name: yaml.safe_load((DOCKER / name).read_text()) for name in ("compose.yml", "compose.cluster.yml")}
DOCKERFILE = (DOCKER / "Dockerfile").read_text().replace("\\\n", " ")
HAPROXY = (DOCKER / "haproxy.cfg").read_text()
MANIFESTS = [
    (path, manifest)
    for path in sorted((DOCKER / "kubernetes").rglob("*.yaml"))
    for manifest in yaml.safe_load_all(path.read_text())
]
# Seconds from the end of the grace period to the end of the process: answers under way, the last settlements, the hand-over.
REST = 8
DEFAULT_GRACE = 30


def pombo(*args):
    clean = {name: value for name, value in os.environ.items() if not name.startswith("POMBO")}
    return subprocess.run([os.environ["POMBO"], *args], env=clean, text=True, capture_output=True, timeout=30)


SETTINGS = set(re.findall(r"Environment: (POMBO_\w+)\.", pombo("config", "--toml").stdout))


def services():
    for name, compose in COMPOSE.items():
        for service, body in compose["services"].items():
            yield f"{name}: {service}", body


def engines():
    """Place, environment, and the seconds it has to stop, of everything that serves."""
    for place, service in services():
        if "POMBO_ADMIN_TOKEN" in service.get("environment", {}):
            yield place, service["environment"], int(service["stop_grace_period"].removesuffix("s"))
    for path, manifest in MANIFESTS:
        if manifest["kind"] in ("Deployment", "StatefulSet"):
            pod = manifest["spec"]["template"]["spec"]
            container = pod["containers"][0]
            before = container["lifecycle"]["preStop"]["sleep"]["seconds"]
            environment = {entry["name"]: entry.get("value") for entry in container["env"]}
            yield path.name, environment, pod["terminationGracePeriodSeconds"] - before


def every_variable_of_an_engine_is_a_setting():
    if len(SETTINGS) < 20:
        yield f"`pombo config --toml` tells only {sorted(SETTINGS)}"
    image = dict(re.findall(r"(POMBO_\w+)=(\S+)", re.search(r"^ENV (POMBO_.*)$", DOCKERFILE, re.M).group(1)))
    places = [("Dockerfile", image)] + [(place, environment) for place, environment, _ in engines()]
    for place, environment in places:
        for name in environment.keys() - SETTINGS:
            yield f"{place}: {name} is no setting"


def every_engine_has_the_time_that_its_shutdown_may_take():
    for place, environment, seconds in engines():
        delay = int(environment.get("POMBO_SHUTDOWN_DELAY_S", 0))
        grace = int(environment.get("POMBO_SHUTDOWN_GRACE_S", DEFAULT_GRACE))
        if delay + grace + REST > seconds:
            yield f"{place}: {seconds} s to stop, which may take {delay} + {grace} + {REST}"


def replicas_say_no_before_they_refuse():
    for place, environment, _ in engines():
        if "POMBO_REDIS_URL" in environment and int(environment.get("POMBO_SHUTDOWN_DELAY_S", 0)) < 2:
            yield f"{place}: POMBO_SHUTDOWN_DELAY_S leaves the balancer no time to look away"


def every_variable_of_compose_is_in_the_example_and_no_other():
    told = set(re.findall(r"^(\w+)=", (DOCKER / ".env.example").read_text(), re.M))
    used = {name for file in COMPOSE for name in re.findall(r"\$\{(\w+)", (DOCKER / file).read_text())}
    for name in told ^ used:
        yield f".env.example: {name} is {'not used' if name in told else 'missing'}"


def every_mounted_file_is_there():
    for place, service in services():
        for mount in service.get("volumes", []):
            source = mount.split(":")[0]
            path = DOCKER / source
            # The boards are a part of their own.
            if source.startswith("../dashboards") and not (ROOT / "dashboards").exists():
                continue
            if source.startswith(".") and not path.exists():
                yield f"{place}: {source} is not there"


def the_balancer_has_all_its_variables():
    wanted = set(re.findall(r'"\$\{(\w+)\}"', HAPROXY))
    given = set(COMPOSE["compose.cluster.yml"]["services"]["balancer"]["environment"])
    for name in wanted ^ given:
        yield f"compose.cluster.yml: balancer: {name} is {'missing' if name in wanted else 'not used'}"


def every_named_host_is_a_service():
    cluster = COMPOSE["compose.cluster.yml"]["services"]
    scraped = yaml.safe_load((DOCKER / "prometheus.yml").read_text())["scrape_configs"]
    named = [target for job in scraped for static in job["static_configs"] for target in static["targets"]]
    named += [value for name, value in cluster["balancer"]["environment"].items() if name.startswith("POMBO_NODE_")]
    for host in {address.split(":")[0] for address in named} - set(cluster) - {"127.0.0.1"}:
        yield f"{host} is no service of compose.cluster.yml"
    replicas = {name for name, service in cluster.items() if "POMBO_ADMIN_TOKEN" in service.get("environment", {})}
    for name in replicas:
        if sum(address == f"{name}:8080" for address in named) != 2:
            yield f"{name} is not both balanced and scraped"


def everything_in_compose_is_confined():
    for place, service in services():
        if not service.get("read_only") or service.get("cap_drop") != ["ALL"] or "restart" not in service:
            yield f"{place}: read_only, cap_drop and restart are not all set"
        for port in service.get("ports", []):
            if not re.match(r"\$\{\w+:-127\.0\.0\.1:", port):
                yield f"{place}: {port} is published beyond this machine by default"


def redis_keeps_what_it_has_accepted():
    command = COMPOSE["compose.cluster.yml"]["services"]["redis"]["command"]
    options = dict(zip(command[1::2], command[2::2]))
    for option, value in {"--appendonly": "yes", "--maxmemory-policy": "noeviction"}.items():
        if options.get(option) != value:
            yield f"compose.cluster.yml: redis: {option} is {options.get(option)}"


def what_the_image_copies_is_let_through():
    rules = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and line[0] != "#"]
    for sources in re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE, re.M):
        for source in sources.split():
            parents = [source, *map(str, Path(source).parents)]
            ignored = False
            for rule in rules:
                pattern = rule.removeprefix("!").rstrip("/")
                if any(fnmatch.fnmatchcase(part, pattern) for part in parents if part != "."):
                    ignored = not rule.startswith("!")
            if ignored or not (ROOT / source).exists():
                yield f"Dockerfile: COPY {source}: {'ignored' if ignored else 'not there'}"


def the_image_is_not_root_and_its_commands_exist():
    users = re.findall(r"^USER (\S+)$", DOCKERFILE, re.M)
    if users[-1:] != ["65532:65532"]:
        yield f"Dockerfile: USER {users}"
    words = re.search(r"^HEALTHCHECK .*CMD (\[.*\])$", DOCKERFILE, re.M).group(1)
    commands = [yaml.safe_load(words)[1:]]
    commands += [service["command"] for _, service in services() if service["image"].startswith("${POMBO_IMAGE")
                 and "command" in service]
    for command in commands:
        words = [re.sub(r"^\$\{\w+:-(.*)\}$", r"\1", word) for word in command]
        # Read to the end, then help instead of work: unknown flags and bad values are told first.
        result = pombo(*words, "--help")
        known = set(re.findall(r"(--[\w-]+)", result.stdout))
        for flag in [word for word in words if word.startswith("--")]:
            if result.returncode or flag not in known:
                yield f"pombo {' '.join(words)}: {flag} is not known: {result.stderr}"


def every_manifest_is_used_and_every_image_is_the_version():
    version = re.search(r'^version = "(.*)"$', (ROOT / "Cargo.toml").read_text(), re.M).group(1)
    used = {DOCKER / "kubernetes/secret.example.yaml"}
    for path, manifest in MANIFESTS:
        if manifest["kind"] == "Kustomization":
            used.add(path)
            for resource in manifest["resources"]:
                used.add((path.parent / resource).resolve())
            for image in manifest.get("images", []):
                if image["newTag"] != version:
                    yield f"{path}: newTag is not {version}"
    for path, manifest in MANIFESTS:
        if path not in used:
            yield f"{path.name} is in no kustomization"
    for path in used:
        if not path.exists():
            yield f"{path} is not there"


def pods_are_confined_and_probed():
    for path, manifest in MANIFESTS:
        if manifest["kind"] not in ("Deployment", "StatefulSet"):
            continue
        pod = manifest["spec"]["template"]["spec"]
        container = pod["containers"][0]
        probes = {name: container[name]["httpGet"]["path"] for name in ("startupProbe", "livenessProbe", "readinessProbe")}
        if probes != {"startupProbe": "/livez", "livenessProbe": "/livez", "readinessProbe": "/readyz"}:
            yield f"{path.name}: {probes}"
        context = container["securityContext"]
        confined = context["readOnlyRootFilesystem"] and not context["allowPrivilegeEscalation"]
        if not (confined and pod["securityContext"]["runAsNonRoot"] and context["capabilities"]["drop"] == ["ALL"]):
            yield f"{path.name}: not confined"
        # The service `pombo` would be told as POMBO_PORT, which is no setting.
        if pod["enableServiceLinks"]:
            yield f"{path.name}: enableServiceLinks"


RULES = [rule for name, rule in list(globals().items()) if callable(rule) and getattr(rule, "__module__", "") == "__main__"
         and rule.__code__.co_flags & 0x20 and name not in ("services", "engines")]
broken = [(rule.__name__, problem) for rule in RULES for problem in rule()]
for rule, problem in broken:
    print(f"{rule.replace('_', ' ')}: {problem}", file=sys.stderr)
print(f"{len(RULES)} rules, {len(broken)} broken")
sys.exit(1 if broken else 0)
