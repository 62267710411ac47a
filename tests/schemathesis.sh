#!/usr/bin/env bash
# Sends what the OpenAPI document allows, and what it does not, to a server of its own, and fails on any 5xx and on any answer that the
# document does not declare. Schemathesis comes from the Python registry into a virtual environment.
#   MINUTES=2        how long at most
#   EXAMPLES=50      requests of each kind for each operation
#   SEED=1           the same requests again
#   VENV=...         where the virtual environment is, or is made (default: target/schemathesis)
#   DRAWDOWN=...     the server (default: built in release mode)
set -euo pipefail
cd "$(dirname "$0")/.."
MINUTES=${MINUTES:-2} EXAMPLES=${EXAMPLES:-50} SEED=${SEED:-1} VENV=${VENV:-target/schemathesis}
if [ -z "${DRAWDOWN:-}" ]; then
    cargo build --release --bin drawdown
    DRAWDOWN=${CARGO_TARGET_DIR:-target}/release/drawdown
fi
if ! "$VENV/bin/schemathesis" --version > /dev/null 2>&1; then
    python3 -m venv "$VENV"
    "$VENV/bin/pip" install --quiet "schemathesis>=4,<5"
fi
data=$(mktemp -d)
"$DRAWDOWN" serve --dev --data "$data" --listen 127.0.0.1:0 > "$data.log" 2>&1 &
server=$!
trap 'kill "$server" 2> /dev/null || true; wait "$server" 2> /dev/null || true; rm -rf "$data" "$data.log" "$data.toml"' EXIT
address=""
for _ in $(seq 300); do
    address=$(sed -nE 's|^drawdown listens on http://||p' "$data.log" | head -1)
    [ -n "$address" ] && curl -fs "http://$address/readyz" > /dev/null && break
    kill -0 "$server" || { cat "$data.log" >&2; exit 1; }
    sleep 0.1
done
[ -n "$address" ] || { cat "$data.log" >&2; exit 1; }
# What there is, and a configuration that has requests name it.
python3 tests/schemathesis_seed.py "http://$address" > "$data.toml"
# A request for the feed may wait as long as it says; the snapshots that are asked for are of nothing.
timeout --preserve-status "$((MINUTES * 60 + 60))" "$VENV/bin/schemathesis" --config-file "$data.toml" run "http://$address/openapi.json" \
    --checks not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,response_schema_conformance,ignored_auth \
    --phases examples,coverage,fuzzing --max-examples "$EXAMPLES" --seed "$SEED" --request-timeout 30 --max-time "$((MINUTES * 60))" \
    --no-color
curl -fs "http://$address/readyz" > /dev/null
