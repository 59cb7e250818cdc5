#!/usr/bin/env bash
# What is in docker/ without a container engine: each file by its own linter or program, then what they must agree on.
#
# Usage: tests/containers/run.sh      POMBO=path of the binary (target/debug/pombo)
set -euo pipefail
cd "$(dirname "$0")/../.."
export POMBO=${POMBO:-target/debug/pombo}
VENV=target/containers
REQUIREMENTS=tests/containers/requirements.txt
PATH=$PATH:/usr/sbin

if ! cmp -s "$REQUIREMENTS" "$VENV/installed"; then
    python3 -m venv "$VENV"
    "$VENV/bin/pip" install --quiet --disable-pip-version-check -r "$REQUIREMENTS"
    cp "$REQUIREMENTS" "$VENV/installed"
fi

say() { echo "-- $1"; }

say 'Dockerfile'
"$VENV/bin/hadolint" docker/Dockerfile

say 'compose files'
"$VENV/bin/check-jsonschema" --quiet --builtin-schema vendor.compose-spec docker/compose.yml docker/compose.cluster.yml

say 'Kubernetes'
find docker/kubernetes -name '*.yaml' ! -name kustomization.yaml -print0 \
    | xargs -0 "$VENV/bin/kubernetes-validate" --strict --quiet

say 'balancer'
POMBO_LB_BIND=127.0.0.1:8080 POMBO_LB_ADMIN=127.0.0.1:8404 \
    POMBO_NODE_1=127.0.0.1:8081 POMBO_NODE_2=127.0.0.1:8082 POMBO_NODE_3=127.0.0.1:8083 \
    haproxy -c -dW -q -f docker/haproxy.cfg

if command -v promtool >/dev/null 2>&1; then
    say 'Prometheus'
    promtool check config --syntax-only docker/prometheus.yml >/dev/null
fi

say 'stubs for the layer of dependencies'
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/load"
cp Cargo.toml Cargo.lock "$work"
cp load/Cargo.toml "$work/load"
(cd "$work" && sh "$OLDPWD/docker/stubs.sh" && cargo metadata --locked --no-deps --format-version 1 >/dev/null)

say 'together'
"$VENV/bin/python" tests/containers/agree.py
echo 'containers: all is well'
