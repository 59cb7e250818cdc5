#!/usr/bin/env bash
# The running binary against its own /openapi.json: no 5xx, no status, header or body that the document does not know.
#
# Usage: tests/schemathesis/run.sh [more arguments of `schemathesis run`]
#   POMBO=path of the binary (target/debug/pombo)   SECONDS_MAX=bound of the whole run (150)   SEED=1
set -euo pipefail
cd "$(dirname "$0")/../.."
POMBO=${POMBO:-target/debug/pombo}
VENV=target/schemathesis

if ! [ -x "$VENV/bin/schemathesis" ]; then
    python3 -m venv "$VENV"
    "$VENV/bin/pip" install --quiet --disable-pip-version-check -r tests/schemathesis/requirements.txt
fi

work=$(mktemp -d)
server=
cleanup() {
    if [ -n "$server" ]; then
        kill "$server" 2>/dev/null || true
        wait "$server" 2>/dev/null || true
    fi
    rm -rf "$work"
}
trap cleanup EXIT

# Receivers have plain names that lead nowhere: what is under test is the API, not the delivery.
export POMBO_ADMIN_TOKEN=schemathesis-admin-token
POMBO_LISTEN=127.0.0.1:0 POMBO_DATA_DIR="$work/data" POMBO_DURABILITY=os POMBO_LOG_FORMAT=json POMBO_LOG_LEVEL=warn,pombo::app=info \
    "$POMBO" serve >"$work/log" 2>&1 &
server=$!
for _ in $(seq 100); do
    base=$(sed -n 's/.*"addr":"\([0-9.:]*\)".*/http:\/\/\1/p' "$work/log" | head -n 1)
    [ -n "$base" ] && curl -fsS "$base/readyz" >/dev/null 2>&1 && break
    kill -0 "$server" || { cat "$work/log"; exit 1; }
    sleep 0.1
done
export POMBO_BASE=$base

status=0
SCHEMATHESIS_HOOKS=tests/schemathesis/hooks.py "$VENV/bin/schemathesis" --config-file tests/schemathesis/schemathesis.toml \
    run "$base/openapi.json" --seed "${SEED:-1}" --max-time "${SECONDS_MAX:-150}" "$@" || status=$?

kill -0 "$server" || { echo "the server died:"; tail -n 50 "$work/log"; exit 1; }
# A head that is no HTTP is the caller's error, although actix logs it as one of the server.
if grep -E '"level":"ERROR"|panicked' "$work/log" | grep -v 'request parse error'; then
    echo "the server logged errors"
    status=1
fi
exit "$status"
