# shellcheck shell=bash
# A Redis of our own: started, filled, loaded by redis-benchmark, audited, stopped.
#
# Amounts are 5 throughout. Wallets hold so much that none empties, as drawdown's do.

readonly REDIS_LUA=$LIB/../peers/redis
readonly REDIS_BALANCE=1000000000000 REDIS_AMOUNT=5 REDIS_TTL=86400
REDIS_PID=

need_redis() {
    need redis-server redis-server
    need redis-cli redis-tools
    need redis-benchmark redis-tools
    local version
    version=$(redis-server --version | sed -n 's/.* v=\([0-9]*\)\..*/\1/p')
    ((${version:-0} >= 7)) || die "Redis 7 or newer is needed (SET with NX and GET); here is $(redis-server --version)"
}

# start_redis POLICY: an empty one in a directory of its own, with the append-only file synced as the policy says.
start_redis() {
    rm -rf "$WORK/redis"
    mkdir "$WORK/redis"
    REDIS_PORT=$(free_port)
    # No snapshot and no rewriting of the append-only file: neither takes time from the run.
    redis-server --bind 127.0.0.1 --port "$REDIS_PORT" --dir "$WORK/redis" --daemonize no --save '' --appendonly yes \
        --appendfsync "$1" --auto-aof-rewrite-percentage 0 --maxclients 1000 >"$WORK/redis.log" 2>&1 &
    REDIS_PID=$!
    track_pid "$REDIS_PID"
    local ticks=100
    until [[ $(redis ping 2>/dev/null) == PONG ]]; do
        if ! is_alive "$REDIS_PID" || ((ticks-- == 0)); then
            cat "$WORK/redis.log" >&2
            die "redis-server did not start"
        fi
        sleep 0.1
    done
    DEBIT=$(redis script load "$(<"$REDIS_LUA/debit.lua")")
    DEBIT_BATCH=$(redis script load "$(<"$REDIS_LUA/debit_batch.lua")")
}

stop_redis() {
    stop_pid "$REDIS_PID"
    REDIS_PID=
    rm -rf "$WORK/redis"
}

redis() { redis-cli -h 127.0.0.1 -p "$REDIS_PORT" "$@"; }

# over_wallets SCRIPT ARGUMENT...: runs a script over all wallets by parts, so that none runs for long, and prints the sum of its answers.
over_wallets() {
    local script first last part=50000 answer sum=0
    script=$(redis script load "$(<"$REDIS_LUA/$1")")
    shift
    for ((first = 0; first < WALLETS; first += part)); do
        last=$((first + part < WALLETS ? first + part - 1 : WALLETS - 1))
        answer=$(redis evalsha "$script" 0 "$first" "$last" "$@")
        [[ -z $answer || $answer =~ ^-?[0-9]+$ ]] || die "Redis: $answer"
        sum=$((sum + ${answer:-0}))
    done
    echo "$sum"
}

fill_redis() { over_wallets fill.lua "$REDIS_BALANCE" 0 100 >/dev/null; }

# check_redis: the scripts do what the comparison says they do, the two alike.
check_redis() {
    local small
    small=$(redis script load "$(<"$REDIS_LUA/fill.lua")")
    redis evalsha "$small" 0 1 2 20 0 10 >/dev/null
    local first=w000000000001 second=w000000000002
    expect_redis a14 "$DEBIT" 2 one $first 6 100
    expect_redis 'a9!' "$DEBIT" 2 two $first 5 100
    expect_redis 'da9!' "$DEBIT" 2 two $first 5 100
    expect_redis a8 "$DEBIT" 2 three $first 1 100
    expect_redis r8 "$DEBIT" 2 four $first 9 100
    expect_redis a0 "$DEBIT" 2 four $first 8 100
    expect_redis da14 "$DEBIT" 2 one $first 6 100
    expect_redis '4 1 a9! 2 da9! 4 r8 6 da0' "$DEBIT_BATCH" 14 \
        b1 $second b2 $second b2 $second b3 $second b4 $second b4 $second b4 $second 100 6 5 5 1 9 8 8
    expect_redis '0 0 da14' "$DEBIT_BATCH" 2 b1 $second 100 6
    redis flushall >/dev/null
    note "Redis' scripts apply, repeat, reject and fire once, one by one and in a batch"
}

expect_redis() {
    local expected=$1 answer
    shift
    answer=$(redis evalsha "$@" | paste -sd' ')
    [[ $answer == "$expected" ]] || die "a script of the comparison is wrong: expected '$expected', got '$answer'"
}

# load_redis KIND SIZE CONNECTIONS EVENTS: KIND is `pipeline` (SIZE events in flight a connection, each a call of its own) or `batch`
# (SIZE events in one call). Sets REDIS_RATE, REDIS_P50, REDIS_P99 and REDIS_EVENTS.
load_redis() {
    local kind=$1 size=$2 connections=$3 events=$4 requests pairs=() amounts=() number line command=() depth=1
    # An id is 26 characters: two letters and two random numbers of twelve digits.
    if [[ $kind == pipeline ]]; then
        command=(evalsha "$DEBIT" 2 id__rand_int____rand_int__ w__rand_int__ "$REDIS_AMOUNT" "$REDIS_TTL")
        # Whole pipelines only: of a last one cut short, redis-benchmark sends all but counts a part.
        depth=$size requests=$(((events + size - 1) / size * size))
    else
        for ((number = 0; number < size; number++)); do
            pairs+=(id__rand_int____rand_int__ w__rand_int__)
            amounts+=("$REDIS_AMOUNT")
        done
        command=(evalsha "$DEBIT_BATCH" $((2 * size)) "${pairs[@]}" "$REDIS_TTL" "${amounts[@]}")
        requests=$((events / size))
        ((requests >= connections)) || requests=$connections
    fi
    run_child redis-benchmark -h 127.0.0.1 -p "$REDIS_PORT" -c "$connections" -P "$depth" -n "$requests" -r "$WALLETS" --csv \
        "${command[@]}" >"$WORK/redis-benchmark.csv" 2>"$WORK/redis-benchmark.err" ||
        die "redis-benchmark failed: $(tail -n 3 "$WORK/redis-benchmark.err")"
    # name, requests a second, then latencies: average, least, p50, p95, p99, most. The name is the whole command.
    line=$(tail -n 1 "$WORK/redis-benchmark.csv" | sed 's/.*",\("[0-9.]*","[0-9.]*","[0-9.]*","[0-9.]*","[0-9.]*","[0-9.]*","[0-9.]*"\)$/\1/; s/"//g')
    [[ $line =~ ^[0-9.]+(,[0-9.]+){6}$ ]] || die "redis-benchmark said something else than expected: ${line:0:200}"
    # shellcheck disable=SC2034 # for the scripts that source this
    REDIS_RATE=$(cut -d, -f1 <<<"$line") REDIS_P50=$(cut -d, -f4 <<<"$line") REDIS_P99=$(cut -d, -f6 <<<"$line")
    REDIS_EVENTS=$requests
    if [[ $kind == batch ]]; then
        REDIS_RATE=$(calc "$REDIS_RATE * $size" %.0f)
        REDIS_EVENTS=$((requests * size))
    fi
}

# audit_redis: every event is an identity that is kept or a duplicate, and the wallets lost what the identities say.
audit_redis() {
    local applied gone
    applied=$(($(redis dbsize) - WALLETS))
    gone=$(over_wallets sum.lua "$REDIS_BALANCE")
    REDIS_DUPLICATES=$((REDIS_EVENTS - applied))
    ((gone == applied * REDIS_AMOUNT)) || die "Redis' wallets lost $gone, its $applied identities stand for $((applied * REDIS_AMOUNT))"
    ((REDIS_DUPLICATES >= 0 && REDIS_DUPLICATES * 1000 <= REDIS_EVENTS)) || die "$REDIS_DUPLICATES duplicates in $REDIS_EVENTS events"
}
