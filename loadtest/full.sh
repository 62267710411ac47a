#!/usr/bin/env bash
# The figures end to end: from a client over HTTP to the disk and back, each run audited against the generator's own books.
#
# Usage: loadtest/full.sh [--seconds 30] [--wallets 1000000]
#
#   1. batches of 1000 events, closed loop, as MessagePack, JSON and CloudEvents
#   2. single events over 64 connections, closed loop
#   3. single events over 64 connections at half the rate of (2), open loop: latency counts from when a request should have started
#
# Each run has a server of its own on an empty ledger, durable as by default. Takes about --seconds and half a minute for each of the
# five. Reports (JSON, and as the generator prints them) and the table land in loadtest/reports/, named by the time of the run. Needs
# about 90 bytes of disk an event below /var/tmp, or where LOADTEST_DIR says.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib/base.sh"
source "$LIB/machine.sh"
source "$LIB/drawdown.sh"

RUN_SECONDS=30 WALLETS=1000000
parse_options RUN_SECONDS WALLETS -- "$@"

# one NAME ARGUMENT...: a run on a server of its own; adds a line to the table.
one() {
    local name=$1 report=$REPORTS/$STAMP-$1.json rss disk
    shift
    note "$name ..."
    start_server
    load "$report" --wallets "$WALLETS" --seconds "$RUN_SECONDS" "$@"
    rss=$(($(rss_kib "$SERVER_PID") / 1024)) disk=$(($(disk_used_kib "$SERVER_DATA") / 1024))
    stop_server
    rm -f "$report.err"
    mv "$report.txt" "${report%.json}.txt"
    printf '%-34s %10.0f %9.2f %9.2f %9.2f %9.2f %9s %9s %9s\n' "$name" "$(field "$report" events_per_second)" \
        "$(milliseconds p50)" "$(milliseconds p99)" "$(milliseconds p999)" "$(milliseconds max)" "$rss" "$disk" \
        "$(field "$report" missed_requests)" >>"$TABLE"
    RATE=$(field "$report" events_per_second)
}

# milliseconds POINT: of the latency in the report of `one`.
milliseconds() { calc "$(field "$report" "latency_us.$1") / 1000" %.3f; }

build_drawdown
open_work
mkdir -p "$REPORTS"
STAMP=$(date -u +%Y%m%dT%H%M%SZ)
TABLE=$REPORTS/$STAMP-full.txt
{
    describe_machine
    say "run        $RUN_SECONDS s each, $WALLETS wallets, durable, each on an empty ledger"
    say
    printf '%-34s %10s %9s %9s %9s %9s %9s %9s %9s\n' '' events/s 'p50 ms' 'p99 ms' 'p99.9 ms' 'max ms' 'RSS MiB' 'disk MiB' 'missed'
} >"$TABLE"

for format in msgpack json cloudevents; do one "$format-1000" --format "$format" --batch 1000; done
one single-64 --batch 1 --connections 64
half=$(calc "$RATE / 2")
one "single-64-open" --batch 1 --connections 64 --rate "$half"
say "single-64-open ran at $half/s; every run was clean: all balances agree with the books" >>"$TABLE"

say
cat "$TABLE"
note "reports: ${REPORTS#"$ROOT/"}/$STAMP-*"
