#!/bin/sh
# Compares drawdown with a bare server: single JSON events over 64 connections, made durable by drawdown and answered with an empty 200 by
# hyper alone, in turn, so that other work on the machine falls on both. Prints requests a second of each round, and their ratio.
#
# usage: loadtest/ratio.sh [ROUNDS [SECONDS]]      after: cargo build --release --workspace
# DATA=DIR puts the ledger on another disk; THREADS=N gives the bare server other than two threads; further arguments of the generator
# may stand in ARGUMENTS.
set -eu

rounds=${1:-3}
seconds=${2:-5}
bin=$(dirname "$0")/../target/release
data=$(mktemp -d "${DATA:-.}/ratio.XXXXXX")
pids=
cleanup() {
    for pid in $pids; do
        kill "$pid" 2>/dev/null || :
        wait "$pid" 2>/dev/null || :
    done
    rm -rf "$data"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

# The URL that a server prints when it listens.
url() {
    for _ in $(seq 100); do
        found=$(sed -n 's/.* listens on \(http:[^ ]*\).*/\1/p' "$1")
        if [ -n "$found" ]; then
            echo "$found"
            return
        fi
        sleep 0.1
    done
    cat "$1" >&2
    exit 1
}

"$bin/drawdown" serve --dev --data "$data/ledger" --listen 127.0.0.1:0 >"$data/drawdown.log" 2>&1 &
pids=$!
"$bin/empty200" --threads "${THREADS:-2}" --seconds $((rounds * (3 * seconds + 60))) >"$data/empty200.log" 2>&1 &
pids="$pids $!"
drawdown=$(url "$data/drawdown.log")
empty=$(url "$data/empty200.log")

# Requests a second of one run; a run that is not clean ends the script.
measure() {
    # ARGUMENTS are several words on purpose.
    # shellcheck disable=SC2086
    "$bin/loadtest" --url "$1" --batch 1 --format json --connections 64 --seconds "$seconds" --warmup 1s \
        --report "$data/report.json" ${ARGUMENTS:-} $2 >"$data/report.txt" || {
        cat "$data/report.txt" >&2
        exit 1
    }
    sed -n 's/^  "requests_per_second": \([0-9.]*\),*$/\1/p' "$data/report.json"
}

for round in $(seq "$rounds"); do
    durable=$(measure "$drawdown" "")
    bare=$(measure "$empty" --empty)
    echo "$round $durable $bare"
done | awk '
    { printf "round %d: %.0f durable, %.0f empty, ratio %.3f\n", $1, $2, $3, $2 / $3; durable += $2; empty += $3 }
    END { if (NR > 0) printf "all: %.0f durable, %.0f empty, ratio %.3f\n", durable / NR, empty / NR, durable / empty }'
