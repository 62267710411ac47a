#!/usr/bin/env bash
# The same events through functions in PostgreSQL, and through drawdown, in turns on one machine.
#
# Usage: loadtest/compare-postgres.sh [--rounds 3] [--seconds 10] [--wallets 1000000] [--pilot-seconds 5]
#
# About a quarter of an hour and 10 GB of disk with the defaults. Installs Debian's postgresql if it is missing and the user is root (no cluster
# is made by that); as root, the server runs as the user postgres. Both servers are started here, on the loopback, on free ports, below
# /var/tmp (or where LOADTEST_DIR says), and removed.
#
# The same work. For an event (id of 26 characters, wallet, amount) both sides, as one atomic step:
#   - look the id up; a known one answers what it answered first, and changes nothing;
#   - read balance, floor, alert level and state of the wallet; reject what would fall below the floor, without using up the id;
#   - debit, note whether this event crossed the level (once), remember the id with its answer;
#   - answer when it is durable. Wallets are chosen evenly among --wallets; ids are new and go up within a client.
# The functions are in loadtest/peers/postgres and are checked for all of this before anything is measured; after each run the balances
# are summed up and must agree with the stored events. drawdown's balances are read back one by one by the load generator.
#
# Durable. drawdown answers after fdatasync of its log; PostgreSQL, with fsync, full_page_writes and synchronous_commit on, after fdatasync
# of its own: the same promise. Both make one sync do for all who wait.
#
# At their best. PostgreSQL gets one event a transaction over 16, 32 and 64 clients (prepared, one round trip), and 1000 events a statement
# over 1 to 8 clients, by a loop and by sets; short runs, two of each, choose the best, and the rounds measure that. It has a quarter of the memory as
# shared buffers, room to go without a checkpoint during a run, segments of its log recycled from earlier runs, wallets whose pages need no
# full image, and no autovacuum. drawdown gets one event a request over 50 connections, and MessagePack batches of 1000 over 2, 4 or 8
# connections, whichever is best.
#
# Where it favours PostgreSQL: no HTTP, no names of currencies, no grants with expiry and priority, no feed; nothing forgets old ids; the
# tuning above, which no server could keep up for long; arrays for batches are made in the server, which is cheaper than to send and
# read them (what that takes is measured and printed); pgbench hardly costs anything, while drawdown's generator keeps books of every
# wallet. Where it favours drawdown: PostgreSQL keeps both tables on disk and in order, and takes any query; drawdown keeps wallets and ids in
# memory. Amounts are 5 in PostgreSQL and 1 to 1000 in drawdown (no difference found). The generator sets no alert levels in drawdown, so its
# check finds an empty list (docs/performance.md has the cost of levels: below the noise).
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib/base.sh"
source "$LIB/machine.sh"
source "$LIB/drawdown.sh"
source "$LIB/compare.sh"
source "$LIB/postgres.sh"

ROUNDS=3 RUN_SECONDS=10 WALLETS=1000000 PILOT_SECONDS=5
parse_options ROUNDS RUN_SECONDS WALLETS PILOT_SECONDS -- "$@"
((ROUNDS >= 2)) || die "--rounds must be 2 at least: one says nothing of the spread"

# Script, events a transaction, clients.
readonly SINGLES=('single 1 16' 'single 1 32' 'single 1 64')
readonly BATCHES=('batch_loop 1000 1' 'batch_loop 1000 2' 'batch_loop 1000 4' 'batch_set 1000 1' 'batch_set 1000 2' 'batch_set 1000 4' 'batch_set 1000 8')

describe_variant() {
    local script size clients
    read -r script size clients <<<"$1"
    echo "${script/_/ by } $size x $clients"
}

# find_best VARIANT...: sets BEST to the fastest. All take two turns, and the better one counts, so that a busy moment of the machine does
# not decide.
find_best() {
    local turn variant script size clients
    : >"$WORK/pilot-postgres.tsv"
    for turn in 1 2; do
        for variant in "$@"; do
            read -r script size clients <<<"$variant"
            fill_postgres
            load_postgres "$script" "$size" "$clients" "$PILOT_SECONDS"
            audit_postgres
            say "$(printf 'pilot %s     %-37s %10.0f events/s' "$turn" "PostgreSQL, $(describe_variant "$variant")" "$POSTGRES_RATE")"
            printf '%s\t%s\n' "$POSTGRES_RATE" "$variant" >>"$WORK/pilot-postgres.tsv"
        done
    done
    BEST=$(best_of "$WORK/pilot-postgres.tsv" | cut -f2)
}

# postgres_round ROUND CASE VARIANT
postgres_round() {
    local script size clients before
    read -r script size clients <<<"$3"
    fill_postgres
    before=$(cpu_ms "$POSTGRES_PID")
    load_postgres "$script" "$size" "$clients" "$RUN_SECONDS"
    record "$1" "$2" "$POSTGRES_RATE" "$(calc "($(cpu_ms "$POSTGRES_PID") - $before) * 1000 / $POSTGRES_EVENTS" %.2f)" \
        "$POSTGRES_P50" "$POSTGRES_P99"
    audit_postgres
}

need_postgres
build_drawdown
open_work
mkdir -p "$REPORTS"
describe_machine
start_postgres
VERSION=$(postgres -c 'SHOW server_version')
say "postgres   $VERSION, $(postgres -c 'SHOW shared_buffers') of shared buffers, log synced by $(postgres -c 'SHOW wal_sync_method')"

heading "looking for the best of each ($PILOT_SECONDS s)"
find_best "${SINGLES[@]}"
BEST_SINGLE=$BEST
find_best "${BATCHES[@]}"
BEST_BATCH=$BEST
load_postgres arrays 1000 2 "$PILOT_SECONDS"
ARRAYS_RATE=$POSTGRES_RATE
find_drawdown_connections

heading "$ROUNDS rounds of $RUN_SECONDS s over $WALLETS wallets"
open_results
for ((round = 1; round <= ROUNDS; round++)); do
    postgres_round "$round" "PostgreSQL, batches" "$BEST_BATCH"
    drawdown_round "$round" "drawdown, batches" 1000 "$DRAWDOWN_CONNECTIONS"
    postgres_round "$round" "PostgreSQL, one by one" "$BEST_SINGLE"
    drawdown_round "$round" "drawdown, one by one" 1 50
done
stop_postgres

summary() {
    describe_machine
    say "run        $ROUNDS rounds of $RUN_SECONDS s in turns, $WALLETS wallets, ids of 26 characters, PostgreSQL $VERSION, all durable"
    say "best       PostgreSQL: $(describe_variant "$BEST_BATCH"), $(describe_variant "$BEST_SINGLE")"
    say "           drawdown: MessagePack batches of 1000 x $DRAWDOWN_CONNECTIONS"
    say "           'a x b' is a events in a transaction, over b clients; latencies are of a transaction, so of a whole batch"
    say
    print_results
    say
    print_ratio_heading
    print_ratio "batches of 1000" "drawdown, batches" "PostgreSQL, batches"
    print_ratio "one by one" "drawdown, one by one" "PostgreSQL, one by one"
    say
    say "all runs audited; making the arrays of the batches, and nothing else, runs at $ARRAYS_RATE events/s in PostgreSQL"
}
heading "drawdown and PostgreSQL"
SUMMARY=$REPORTS/$(date -u +%Y%m%dT%H%M%SZ)-postgres.txt
summary >"$SUMMARY"
cat "$SUMMARY"
note "kept in ${SUMMARY#"$ROOT/"}"
