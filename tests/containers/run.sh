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

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

say() { echo "-- $1"; }
# What it says matters when it fails.
quietly() {
    "$@" >"$work/said" 2>&1 || { cat "$work/said" >&2; return 1; }
}

say 'Dockerfile'
"$VENV/bin/hadolint" docker/Dockerfile

say 'compose files'
quietly "$VENV/bin/check-jsonschema" --builtin-schema vendor.compose-spec docker/compose.yml docker/compose.cluster.yml

say 'Kubernetes'
# The oldest that knows everything that is used, and the newest that is known.
for version in 1.30 1.37; do
    find docker/kubernetes -name '*.yaml' ! -name kustomization.yaml -print0 \
        | xargs -0 "$VENV/bin/kubernetes-validate" --strict --quiet -k "$version"
done

say 'balancer'
POMBO_LB_BIND=127.0.0.1:8080 POMBO_LB_ADMIN=127.0.0.1:8404 \
    POMBO_NODE_1=127.0.0.1:8081 POMBO_NODE_2=127.0.0.1:8082 POMBO_NODE_3=127.0.0.1:8083 \
    quietly haproxy -c -dW -f docker/haproxy.cfg

if command -v promtool >/dev/null 2>&1; then
    say 'Prometheus'
    quietly promtool check config --syntax-only docker/prometheus.yml
fi

say 'stubs for the layer of dependencies'
mkdir -p "$work/build/load"
cp -r Cargo.toml Cargo.lock .cargo "$work/build"
cp load/Cargo.toml "$work/build/load"
# A target that there is not: cargo gets as far as to know all others, and builds nothing.
(cd "$work/build" && sh "$OLDPWD/docker/stubs.sh" && ! cargo check --locked -p pombo --bin none 2>"$work/said")
grep -q 'no bin target named `none`' "$work/said" || { cat "$work/said" >&2; exit 1; }

say 'together'
"$VENV/bin/python" tests/containers/agree.py
echo 'containers: all is well'
