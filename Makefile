# What people and machines run. `make` alone lists it.

CARGO ?= cargo
TARGET = $(or $(CARGO_TARGET_DIR),target)
LOAD_RUNS ?= 5
LOAD_SCENARIOS ?= fanout-1 fanout-10 fanout-100 one-dead-in-100

.NOTPARALLEL:
.PHONY: help run demo test needs unit benches schemathesis containers dashboards load load-build load-smoke chaos fmt lint doc

help:
	@echo 'make run    serve on 127.0.0.1:8080; receivers on this machine are allowed'
	@echo 'make demo   engine, receivers and traffic in one process, for 20 seconds'
	@echo 'make test   everything: installs what tests need, then runs them all'
	@echo 'make load   speed: the floor of this machine, then LOAD_SCENARIOS, each LOAD_RUNS times; reports in load/results'
	@echo 'make chaos  three replicas on Redis behind a balancer, rolled, then under faults; CHAOS_ARGS="--seed 7"; reports in load/results'
	@echo 'make fmt    format'
	@echo 'make lint   format check and clippy, warnings are errors'
	@echo 'make doc    documentation of the code, in target/doc'

run:
	$(CARGO) run --release -- --allow-http --allow-targets 127.0.0.0/8

demo:
	$(CARGO) run --release -- demo

# In this order: the quick and telling ones first, the tests of the whole last, so that the output closes with their result.
test: needs benches schemathesis containers dashboards unit

# redis-server, haproxy: stores and the roll of nodes are tested against real ones. faketime: nodes whose clocks differ. prometheus:
# boards and alerts are asked of a real one. python3-venv: receivers' libraries, the API's fuzzer, linters.
needs:
	@missing=''; \
	command -v redis-server >/dev/null 2>&1 || missing="$$missing redis-server"; \
	command -v haproxy >/dev/null 2>&1 || [ -x /usr/sbin/haproxy ] || missing="$$missing haproxy"; \
	command -v prometheus >/dev/null 2>&1 && command -v promtool >/dev/null 2>&1 || missing="$$missing prometheus"; \
	ls /usr/lib/*/faketime/libfaketime.so.1 >/dev/null 2>&1 || missing="$$missing faketime"; \
	python3 -c 'import ensurepip, venv' >/dev/null 2>&1 || missing="$$missing python3-venv"; \
	[ -z "$$missing" ] && exit 0; \
	if ! command -v apt-get >/dev/null 2>&1; then \
		echo "make test needs:$$missing. There is no apt-get here: install them with this system's package manager, then run it again." >&2; \
		exit 1; \
	fi; \
	sudo=''; \
	if [ "$$(id -u)" -ne 0 ]; then \
		sudo=sudo; \
		command -v sudo >/dev/null 2>&1 || { echo "make test needs:$$missing. Run as root: apt-get install$$missing" >&2; exit 1; }; \
	fi; \
	echo "installing what tests need:$$missing"; \
	export DEBIAN_FRONTEND=noninteractive RUNLEVEL=1; \
	$$sudo apt-get update -qq && $$sudo env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get install -y -qq --no-install-recommends $$missing

# Unit tests, the integration binaries, the load tool with its smoke scenario, the doc tests.
unit:
	$(CARGO) test --workspace --no-fail-fast

# Every bench runs once, in the tests' build: it must work, nothing is measured. (`cargo bench -- --test` would build all anew,
# optimised, and run the unit tests a second time.)
benches:
	POMBO_BENCH_ENTRIES=5000 $(CARGO) test --workspace --bench '*'

schemathesis:
	@POMBO=$(TARGET)/debug/pombo tests/schemathesis/run.sh

# What is in docker/, by linters and by the programs that read it; no container engine is needed.
containers:
	@POMBO=$(TARGET)/debug/pombo tests/containers/run.sh

# Boards, rules and runbook agree, stories of alerts go as told, and every query has data from running engines.
dashboards:
	@[ -x $(TARGET)/debug/pombo ] || $(CARGO) build --bin pombo
	@PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=dashboards python3 -m check $(TARGET)/debug/pombo

# Each alone: built together they would share features, and the engine that is measured would not be the one that is shipped.
load-build:
	$(CARGO) build --release -p pombo
	$(CARGO) build --release -p pombo-load

load: load-build
	$(TARGET)/release/pombo-load floor
	@status=0; for scenario in $(LOAD_SCENARIOS); do \
		$(TARGET)/release/pombo-load run load/scenarios/$$scenario.toml --runs $(LOAD_RUNS) || status=1; \
	done; exit $$status

# A few seconds of everything small: counts, not times. `make unit` runs it too, on the tests' build.
load-smoke: load-build
	$(TARGET)/release/pombo-load run load/scenarios/smoke.toml --out $(TARGET)/load

# What several replicas promise, counted while they are rolled, killed and stopped, and while Redis goes and comes.
chaos: needs load-build
	@status=0; for run in roll 'chaos $(CHAOS_ARGS)' 'chaos --appendfsync always $(CHAOS_ARGS)'; do \
		$(TARGET)/release/pombo-load $$run || status=1; \
	done; exit $$status

fmt:
	$(CARGO) fmt --all

lint:
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets -- -D warnings

doc:
	RUSTDOCFLAGS='-D warnings' $(CARGO) doc --workspace --no-deps
