# shellcheck shell=bash
# Building drawdown, starting and stopping its server, loading it, and reading what the load generator reports.

SERVER_PID=
SERVER_URL=
SERVER_DATA=

# build_drawdown: sets DRAWDOWN and LOADTEST to the binaries.
build_drawdown() {
    local target=${CARGO_TARGET_DIR:-$ROOT/target}
    [[ $target == /* ]] || target=$ROOT/$target
    command -v cargo >/dev/null 2>&1 || die "cargo is missing: install the Rust named by rust-version in Cargo.toml"
    note "building the server and the load generator ..."
    (cd "$ROOT" && run_child cargo build --release --quiet && run_child cargo build --release --quiet -p loadtest) ||
        die "the build failed"
    DRAWDOWN=$target/release/drawdown LOADTEST=$target/release/loadtest
    [[ -x $DRAWDOWN && -x $LOADTEST ]] || die "the build left no binaries in $target/release"
}

# start_server [SETTING...]: on an empty directory and a port of its own, durable, as it is by default.
start_server() {
    SERVER_DATA=$WORK/ledger
    # The address of the server before must not be taken for this one's.
    rm -rf "$SERVER_DATA" "$WORK/server.out"
    "$DRAWDOWN" serve --dev --data "$SERVER_DATA" --listen 127.0.0.1:0 --log warn "$@" \
        >"$WORK/server.out" 2>"$WORK/server.err" &
    SERVER_PID=$!
    track_pid "$SERVER_PID"
    local ticks=600
    until SERVER_URL=$(grep -o 'http://[0-9.:]*' "$WORK/server.out" 2>/dev/null) && [[ -n $SERVER_URL ]]; do
        if ! is_alive "$SERVER_PID" || ((ticks-- == 0)); then
            cat "$WORK/server.err" >&2
            die "the server did not start"
        fi
        sleep 0.1
    done
}

# stop_server: drains it, insists that it ended well, and removes its ledger.
stop_server() {
    local status=0
    kill -TERM "$SERVER_PID"
    wait "$SERVER_PID" || status=$?
    forget_pid "$SERVER_PID"
    SERVER_PID=
    if ((status != 0)); then
        cat "$WORK/server.err" >&2
        die "the server ended with status $status"
    fi
    rm -rf "$SERVER_DATA"
}

# in_checkout COMMAND...: the generator notes the commit of the directory that it runs in.
in_checkout() { cd "$ROOT" && exec "$@"; }

# load REPORT ARGUMENT...: runs the load generator against the server; the report is JSON, what people read goes to REPORT.txt. Every
# run is audited: balances that differ from the generator's own books end the script.
load() {
    local report=$1 status=0
    shift
    run_child in_checkout "$LOADTEST" --url "$SERVER_URL" --report "$report" "$@" >"$report.txt" 2>"$report.err" || status=$?
    if ((status != 0)); then
        cat "$report.txt" "$report.err" "$WORK/server.err" >&2
        die "the load generator ended with status $status (1: books and server differ, 2: no run)"
    fi
}

# field REPORT KEY[.KEY]: a value of the JSON report, which has one member a line and objects inside objects by indentation.
field() {
    local value
    value=$(awk -v outer="${2%.*}" -v inner="${2#*.}" -v nested="$([[ $2 == *.* ]] && echo 1 || echo 0)" '
        function member(line) { match(line, /"[^"]*"/); return substr(line, RSTART + 1, RLENGTH - 2) }
        /^  "/ { at = member($0) }
        nested ? (/^    "/ && at == outer && member($0) == inner) : (/^  "/ && at == outer) {
            sub(/^ *"[^"]*": */, ""); sub(/,$/, ""); gsub(/^"|"$/, ""); print; exit
        }' "$1")
    [[ -n $value ]] || die "the report $1 has no $2"
    echo "$value"
}

# server_events: how many events the server has applied, by its own metrics.
server_events() {
    local address=${SERVER_URL#http://} text
    exec 9<>"/dev/tcp/${address%:*}/${address##*:}" || return
    printf 'GET /metrics HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n' "$address" >&9
    text=$(cat <&9)
    exec 9>&-
    sed -n 's/^drawdown_events_total{outcome="applied"} //p' <<<"$text"
}

# watch_cpu FILE: notes the server's processor time beside its count of events twice a second, until it is ended.
watch_cpu() {
    local events
    while events=$(server_events 2>/dev/null) && [[ -n $events ]]; do
        echo "$(cpu_ms "$SERVER_PID") $events"
        sleep 0.5
    done >"$1"
}

# cpu_per_event FILE: the server's microseconds of processor an event, between the first and the last note while events flowed: what the
# generator asks of the server before and after (grants, reading every wallet) is left out.
cpu_per_event() {
    awk '
        $2 > 0 && $2 != last { if (!n++) { cpu = $1; events = $2 } cpu_last = $1; events_last = $2 }
        { last = $2 }
        END { if (events_last > events) printf "%.2f", (cpu_last - cpu) * 1000 / (events_last - events); else printf "nan" }' "$1"
}
