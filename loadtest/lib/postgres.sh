# shellcheck shell=bash
# A PostgreSQL of our own: a cluster in a temporary directory, loaded by pgbench, audited, stopped.
#
# Amounts are 5 throughout. Wallets hold so much that none empties, as drawdown's do.

readonly POSTGRES_SQL=$LIB/../peers/postgres
readonly POSTGRES_BALANCE=1000000000000 POSTGRES_AMOUNT=5
POSTGRES_PID=
AS_POSTGRES=()

# need_postgres: finds the programs, and a user to run the server as, for it refuses root.
need_postgres() {
    find_postgres || {
        # Debian's package would make and start a cluster that nobody asked for.
        local settings=/etc/postgresql-common/createcluster.conf ours=
        if ((EUID == 0)) && [[ ! -e $settings ]]; then
            mkdir -p "${settings%/*}"
            echo 'create_main_cluster = false' >"$settings"
            ours=yes
        fi
        install_packages PostgreSQL postgresql postgresql-contrib
        if [[ -n $ours ]]; then rm -f "$settings"; fi
        find_postgres || die "PostgreSQL's initdb and pgbench are missing even after installing postgresql"
    }
    if ((EUID == 0)); then
        id postgres >/dev/null 2>&1 || die "PostgreSQL refuses to run as root, and there is no user postgres to run it as"
        need setpriv util-linux
        AS_POSTGRES=(setpriv --reuid postgres --regid postgres --init-groups)
    fi
}

# find_postgres: sets PG to the directory of the newest version's programs.
find_postgres() {
    local directory
    for directory in $(printf '%s\n' /usr/lib/postgresql/*/bin | sort -rV) "$(dirname "$(command -v initdb || echo /none/initdb)")"; do
        if [[ -x $directory/initdb && -x $directory/postgres && -x $directory/pgbench && -x $directory/psql ]]; then
            PG=$directory
            return 0
        fi
    done
    return 1
}

# as_postgres COMMAND...: in the cluster's directory, for the user may not be allowed to see ours.
as_postgres() { (cd "$WORK/postgres" && HOME=$WORK/postgres exec "${AS_POSTGRES[@]}" "$@"); }

# start_postgres: a new cluster, tuned for writing, with everything that makes a commit durable left on.
start_postgres() {
    local memory_mib=$(($(awk '/^MemTotal/ { print $2 }' /proc/meminfo) / 1024)) disk_mib buffers_mib wal_mib
    disk_mib=$(($(disk_free_kib "$WORK") / 1024))
    buffers_mib=$((memory_mib / 4))
    wal_mib=$((disk_mib / 4 < 8192 ? disk_mib / 4 : 8192))
    mkdir "$WORK/postgres"
    if ((EUID == 0)); then chown postgres: "$WORK/postgres"; fi
    as_postgres "$PG/initdb" --pgdata data --username postgres --auth trust --encoding UTF8 --locale C --no-sync >"$WORK/initdb.log" 2>&1 ||
        die "initdb failed: $(tail -n 3 "$WORK/initdb.log")"
    POSTGRES_PORT=$(free_port)
    cat >>"$WORK/postgres/data/postgresql.conf" <<SETTINGS
listen_addresses = '127.0.0.1'
port = $POSTGRES_PORT
unix_socket_directories = ''
max_connections = 100
fsync = on
synchronous_commit = on
full_page_writes = on
shared_buffers = ${buffers_mib}MB
effective_cache_size = $((memory_mib / 2))MB
work_mem = 32MB
maintenance_work_mem = 512MB
wal_level = minimal
max_wal_senders = 0
wal_buffers = 64MB
wal_compression = lz4
max_wal_size = ${wal_mib}MB
min_wal_size = $((wal_mib / 2))MB
checkpoint_timeout = 1h
checkpoint_completion_target = 0.9
random_page_cost = 1.1
autovacuum = off
# Plans are made while the tables are small and stay when they have grown: never by reading a table from end to end.
enable_seqscan = off
enable_hashjoin = off
enable_mergejoin = off
plan_cache_mode = force_generic_plan
jit = off
track_activities = off
logging_collector = off
SETTINGS
    # One process, so that its id is the server's. SIGINT is the fast shutdown, which ends sessions rather than wait for them.
    (cd "$WORK/postgres" && exec "${AS_POSTGRES[@]}" "$PG/postgres" -D data) >"$WORK/postgres.log" 2>&1 &
    POSTGRES_PID=$!
    track_pid "$POSTGRES_PID" INT
    local ticks=300
    until postgres -c 'SELECT 1' >/dev/null 2>&1; do
        if ((ticks-- == 0)) || ! is_alive "$POSTGRES_PID"; then
            cat "$WORK/postgres.log" >&2
            die "PostgreSQL did not start"
        fi
        sleep 0.1
    done
    postgres -f "$POSTGRES_SQL/schema.sql" >/dev/null
    postgres -f "$POSTGRES_SQL/check.sql" >/dev/null || die "PostgreSQL's functions do not do the same work"
    note "PostgreSQL's functions apply, repeat, reject and fire once, one by one and in a batch, by a loop and by sets"
}

# postgres ARGUMENT...: psql as superuser.
postgres() { "$PG/psql" -X -q -A -t -v ON_ERROR_STOP=1 -h 127.0.0.1 -p "$POSTGRES_PORT" -U postgres -d postgres "$@"; }

stop_postgres() {
    stop_pid "$POSTGRES_PID"
    POSTGRES_PID=
    rm -rf "$WORK/postgres"
}

# fill_postgres: forgets the run before and makes wallets anew. The checkpoint takes earlier writes out of the run that follows, and
# comes first, so that the wallets' pages need not be logged in full again: the best that PostgreSQL can have.
fill_postgres() {
    postgres >/dev/null <<SQL
CHECKPOINT;
TRUNCATE event, wallet;
INSERT INTO wallet SELECT 'w' || (100000000 + i), $POSTGRES_BALANCE, 0, 100 FROM generate_series(1, $WALLETS) i;
VACUUM (FREEZE, ANALYZE) wallet;
SQL
}

# load_postgres SCRIPT SIZE CLIENTS SECONDS: sets POSTGRES_RATE (events a second), POSTGRES_EVENTS, POSTGRES_P50 and POSTGRES_P99.
load_postgres() {
    local out=$WORK/pgbench.out logs=$WORK/pgbench-log transactions
    rm -rf "$logs"
    mkdir "$logs"
    # A deadlock or a failed serialisation would be tried again; any other error ends pgbench.
    run_child "$PG/pgbench" -h 127.0.0.1 -p "$POSTGRES_PORT" -U postgres -n -M prepared -f "$POSTGRES_SQL/$1.sql" -c "$3" -j 1 -T "$4" \
        -D n=0 -D size="$2" -D wallets="$WALLETS" --max-tries=10 --log --log-prefix="$logs/log" postgres >"$out" 2>&1 ||
        die "pgbench failed: $(tail -n 5 "$out")"
    transactions=$(sed -n 's/^number of transactions actually processed: \([0-9]*\).*/\1/p' "$out")
    [[ -n $transactions ]] || die "pgbench said something else than expected: $(tail -n 5 "$out")"
    POSTGRES_RATE=$(sed -n "s/^tps = \([0-9.]*\).*/\1/p" "$out")
    POSTGRES_RATE=$(calc "$POSTGRES_RATE * $2") POSTGRES_EVENTS=$((transactions * $2))
    # The third column is the time of a transaction in microseconds.
    sort -n -k3,3 <(cut -d' ' -f1-3 "$logs"/log*) | awk '{ print $3 }' >"$logs/sorted"
    # shellcheck disable=SC2034 # for the scripts that source this
    POSTGRES_P50=$(at_rank "$logs/sorted" 50) POSTGRES_P99=$(at_rank "$logs/sorted" 99)
}

# at_rank FILE PERCENT: of sorted microseconds, in milliseconds.
at_rank() { awk -v n="$(wc -l <"$1")" -v percent="$2" 'NR >= n * percent / 100 { printf "%.3f", $1 / 1000; exit }' "$1"; }

# audit_postgres: every event is stored, and the wallets lost what the stored events say.
audit_postgres() {
    local stored lost
    stored=$(postgres -c 'SELECT count(*) FROM event')
    lost=$(postgres -c "SELECT sum($POSTGRES_BALANCE - balance) FROM wallet")
    ((stored == POSTGRES_EVENTS)) || die "PostgreSQL stores $stored of $POSTGRES_EVENTS events"
    ((lost == stored * POSTGRES_AMOUNT)) || die "PostgreSQL's wallets lost $lost, its events stand for $((stored * POSTGRES_AMOUNT))"
}
