#!/usr/bin/env bash
# The same events through Redis with a Lua script, and through drawdown, in turns on one machine.
#
# Usage: loadtest/compare-redis.sh [--rounds 3] [--seconds 10] [--wallets 1000000] [--pilot-seconds 3]
#
# About a quarter of an hour and 4 GB of memory with the defaults. Installs Debian's redis-server and redis-tools if they are missing and the
# user is root. Both servers are started here, on the loopback, on free ports, below /var/tmp (or where LOADTEST_DIR says), and removed.
#
# The same work. For an event (id of 26 characters, wallet, amount) both sides, as one atomic step:
#   - look the id up; a known one answers what it answered first, and changes nothing;
#   - read balance, floor, alert level and state of the wallet; reject what would fall below the floor, without using up the id;
#   - debit, note whether this event crossed the level (once), remember the id with its answer for 24 hours;
#   - answer when it is as durable as configured. Wallets are chosen evenly among --wallets; ids are new (collisions are counted).
# The Lua is in loadtest/peers/redis and is checked for all of this before anything is measured; after each run the balances are summed up
# and must agree with the ids that Redis keeps. drawdown's balances are read back one by one by the load generator.
#
# Durable. drawdown answers after fdatasync of its log. Redis with appendfsync always answers after fdatasync of its append-only file: the
# same promise. With everysec it answers before: a power cut takes up to a second (or two) of answered debits; shown because many run it so.
#
# At their best. Redis gets one event a call over 50 connections (as applications usually call it), then pipelines of 16 to 256 over 10 and
# 50 connections, then calls with 100 and 1000 events in a Lua script that reads and writes wallets by MGET and MSET; short runs, two of each,
# choose the best for each policy, and the rounds measure that. drawdown gets one event a request over 50 connections, and MessagePack batches of
# 1000 over 2, 4 or 8 connections, whichever is best.
#
# Where it favours Redis: no HTTP, no names of currencies, no grants with expiry and priority, no history and no feed (drawdown keeps a
# record of every debit that can be read back); wallets packed into strings; no snapshot and no rewriting of the append-only file during
# the run; redis-benchmark hardly costs anything, while drawdown's generator keeps books of every wallet; collisions of ids are duplicates,
# which cost less. Where it favours drawdown: it may use all cores, Redis runs its scripts on one; amounts are 5 in Redis and 1 to 1000 in
# drawdown (no difference found); the generator sets no alert levels in drawdown, so its check finds an empty list (docs/performance.md
# has the cost of levels: below the noise); Redis needs no more memory than given here, but had it to share, its forks would.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib/base.sh"
source "$LIB/machine.sh"
source "$LIB/drawdown.sh"
source "$LIB/compare.sh"
source "$LIB/redis.sh"

ROUNDS=3 RUN_SECONDS=10 WALLETS=1000000 PILOT_SECONDS=3
parse_options ROUNDS RUN_SECONDS WALLETS PILOT_SECONDS -- "$@"
((ROUNDS >= 2)) || die "--rounds must be 2 at least: one says nothing of the spread"

# Kind, events a call or in flight, connections; the first is the usual one-by-one.
readonly VARIANTS=(
    'pipeline 1 50'
    'pipeline 16 50' 'pipeline 64 50' 'pipeline 256 50' 'pipeline 128 10' 'pipeline 256 10'
    'batch 100 4' 'batch 100 16' 'batch 1000 1' 'batch 1000 2' 'batch 1000 4'
)
readonly POLICIES=(always everysec)
# A stored event takes about 200 bytes of Redis' memory: half of what is available may go into a run.
EVENTS_MAX=

# events_for RATE SECONDS: how many events make a run of that time.
events_for() { calc "($1 * $2 < $EVENTS_MAX) ? $1 * $2 : $EVENTS_MAX"; }

# find_best POLICY: sets BEST[POLICY] to the fastest variant and RATES["POLICY VARIANT"] to what each did. All take two turns, and the better
# one counts, so that a busy moment of the machine does not decide.
declare -A BEST=() RATES=()
find_best() {
    local policy=$1 turn variant kind size connections rate
    : >"$WORK/pilot-redis.tsv"
    for turn in 1 2; do
        start_redis "$policy"
        fill_redis
        for variant in "${VARIANTS[@]}"; do
            read -r kind size connections <<<"$variant"
            # The first, short run says how many events the second needs.
            load_redis "$kind" "$size" "$connections" 30000
            load_redis "$kind" "$size" "$connections" "$(events_for "$REDIS_RATE" "$PILOT_SECONDS")"
            rate=$(calc "$REDIS_RATE")
            if ((rate > ${RATES["$policy $variant"]:-0})); then RATES["$policy $variant"]=$rate; fi
            say "$(printf 'pilot %s     %-37s %10.0f events/s' "$turn" "Redis $policy, $(describe_variant "$variant")" "$rate")"
            printf '%s\t%s\n' "$rate" "$variant" >>"$WORK/pilot-redis.tsv"
        done
        stop_redis
    done
    BEST[$policy]=$(best_of "$WORK/pilot-redis.tsv" | cut -f2)
}

describe_variant() {
    local kind size connections
    read -r kind size connections <<<"$1"
    case $kind in
        pipeline) echo "pipeline $size x $connections" ;;
        batch) echo "Lua batch $size x $connections" ;;
    esac
}

# redis_round ROUND POLICY CASE VARIANT
redis_round() {
    local kind size connections before
    read -r kind size connections <<<"$4"
    start_redis "$2"
    fill_redis
    before=$(cpu_ms "$REDIS_PID")
    load_redis "$kind" "$size" "$connections" "$(events_for "${RATES["$2 $4"]}" "$RUN_SECONDS")"
    record "$1" "$3" "$REDIS_RATE" "$(calc "($(cpu_ms "$REDIS_PID") - $before) * 1000 / $REDIS_EVENTS" %.2f)" "$REDIS_P50" "$REDIS_P99"
    audit_redis
    DUPLICATES=$((DUPLICATES + REDIS_DUPLICATES)) EVENTS=$((EVENTS + REDIS_EVENTS))
    stop_redis
}

need_redis
build_drawdown
open_work
mkdir -p "$REPORTS"
EVENTS_MAX=$(calc "$(memory_available_kib) * 1024 / 2 / 200")
describe_machine
say "redis      $(redis-server --version | sed 's/Redis server //; s/ sha.*//'), appendonly, no snapshots"

heading "looking for the best of each ($PILOT_SECONDS s)"
start_redis always
check_redis
stop_redis
for policy in "${POLICIES[@]}"; do find_best "$policy"; done
find_drawdown_connections

heading "$ROUNDS rounds of $RUN_SECONDS s over $WALLETS wallets"
DUPLICATES=0 EVENTS=0
open_results
for ((round = 1; round <= ROUNDS; round++)); do
    for policy in "${POLICIES[@]}"; do
        redis_round "$round" "$policy" "Redis $policy, best" "${BEST[$policy]}"
        [[ $policy != always ]] || drawdown_round "$round" "drawdown, batches" 1000 "$DRAWDOWN_CONNECTIONS"
        redis_round "$round" "$policy" "Redis $policy, one by one" 'pipeline 1 50'
        [[ $policy != always ]] || drawdown_round "$round" "drawdown, one by one" 1 50
    done
done

summary() {
    describe_machine
    say "run        $ROUNDS rounds of $RUN_SECONDS s in turns, $WALLETS wallets, ids of 26 characters, Redis $(redis-server --version | sed 's/.* v=\([^ ]*\).*/\1/')"
    for policy in "${POLICIES[@]}"; do say "best       Redis $policy: $(describe_variant "${BEST[$policy]}")"; done
    say "           drawdown: MessagePack batches of 1000 x $DRAWDOWN_CONNECTIONS"
    say "           'a x b' is a events in flight or in a call, over b connections; latencies are of a call, so of a whole batch"
    say
    print_results
    say
    print_ratio_heading
    print_ratio "both at their best, both durable (always)" "drawdown, batches" "Redis always, best"
    print_ratio "both at their best, drawdown durable, Redis not" "drawdown, batches" "Redis everysec, best"
    print_ratio "one by one, both durable (always)" "drawdown, one by one" "Redis always, one by one"
    print_ratio "one by one, drawdown durable, Redis not" "drawdown, one by one" "Redis everysec, one by one"
    say
    say "all runs audited; $DUPLICATES of $EVENTS events to Redis repeated an id by chance"
}
heading "drawdown and Redis"
SUMMARY=$REPORTS/$(date -u +%Y%m%dT%H%M%SZ)-redis.txt
summary >"$SUMMARY"
cat "$SUMMARY"
note "kept in ${SUMMARY#"$ROOT/"}"
