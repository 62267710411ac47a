#!/usr/bin/env bash
# Does it hold for long? Loads a server at half of what it can take, watches its memory and disk, and audits every balance at the end.
#
# Usage: loadtest/soak.sh [--minutes 20] [--wallets 1000000] [--rate EVENTS_PER_SECOND] [--window-seconds 60] [--snapshot-mib 1024] [--retain-mib 1024]
#
# Measures for ten seconds what the server can take (MessagePack batches of 1000, closed loop), then sends half of that in an open loop for
# --minutes, while the server makes a snapshot of every --snapshot-mib of log and lets go of log beyond --retain-mib, as far as nothing needs it.
# Every ten seconds a line goes to loadtest/reports/*-soak.csv: seconds, the server's resident memory, the part of it that is not the mapped
# log, its data directory, events applied. Identities are remembered for --window-seconds rather than for a day, and the log as long as them,
# so that memory and disk should level off; both are compared between the second and the last quarter of the run. The rate is lowered, and
# that is said, where the disk (below /var/tmp, or where LOADTEST_DIR says) or the memory would not last; the run ends early, as a failure,
# when less than a twentieth of either is left. The report tells the latency beside snapshots from that without.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib/base.sh"
source "$LIB/machine.sh"
source "$LIB/drawdown.sh"

MINUTES=${MINUTES:-20} WALLETS=1000000 RATE=0 WINDOW_SECONDS=60 SNAPSHOT_MIB=1024 RETAIN_MIB=1024
readonly PILOT_SECONDS=10 SAMPLE_SECONDS=10
parse_options MINUTES WALLETS RATE= WINDOW_SECONDS SNAPSHOT_MIB RETAIN_MIB -- "$@"
[[ $RATE =~ ^[0-9]{1,9}$ ]] || die "--rate must be a whole number"

# find_rate: sets RATE to half of what the server takes, or to what disk and memory allow if that is less.
find_rate() {
    local report=$WORK/pilot.json events rss_idle rss disk seconds=$((MINUTES * 60)) most remembered
    note "measuring what it can take for $PILOT_SECONDS s ..."
    start_server
    load "$report" --wallets "$WALLETS" --events 1000
    rss_idle=$(rss_own_kib "$SERVER_PID")
    stop_server
    start_server
    load "$report" --wallets "$WALLETS" --seconds "$PILOT_SECONDS"
    rss=$(rss_own_kib "$SERVER_PID") disk=$(disk_used_kib "$SERVER_DATA") events=$(field "$report" tally.applied)
    stop_server
    say "closed loop: $(calc "$(field "$report" events_per_second)") events/s"
    ((RATE > 0)) || RATE=$(calc "$(field "$report" events_per_second) / 2")
    # Half of what is free, at what an event took. Twice the window: identities are forgotten in whole generations. Log is kept as long as
    # them, and behind two snapshots, while a third is made.
    remembered=$((seconds < 2 * WINDOW_SECONDS ? seconds : 2 * WINDOW_SECONDS))
    most=$(calc "($(disk_free_kib "$WORK") / 2 - 1024 * (3 * $SNAPSHOT_MIB + $RETAIN_MIB)) / ($disk / $events) / $remembered")
    lower_rate "$most" disk
    most=$(calc "$(memory_available_kib) / 2 / (($rss - $rss_idle + 1) / $events) / $remembered")
    lower_rate "$most" memory
}

lower_rate() {
    ((RATE > $1)) || return 0
    warn "the $2 would not last $MINUTES minutes at $RATE events/s: lowered to $1"
    RATE=$1
    ((RATE >= 1000)) || die "too little $2 for a soak of $MINUTES minutes: choose fewer minutes, or another disk by LOADTEST_DIR"
}

# sample SECONDS: a line of the CSV.
sample() { echo "$1,$(rss_kib "$SERVER_PID"),$(rss_own_kib "$SERVER_PID"),$(disk_used_kib "$SERVER_DATA"),$(server_events)" >>"$CSV"; }

# watch_server GENERATOR_PID: samples until the generator is done, or ends it when disk or memory runs out.
watch_server() {
    local begin=$SECONDS next=$SAMPLE_SECONDS
    local memory_floor=$(($(awk '/^MemTotal/ { print $2 }' /proc/meminfo) / 20))
    local disk_floor=$(($(df -Pk "$WORK" | awk 'NR == 2 { print $2 }') / 20))
    while is_alive "$1"; do
        is_alive "$SERVER_PID" || die "the server ended during the soak: $(tail -n 3 "$WORK/server.err")"
        if (($(memory_available_kib) < memory_floor)); then die "memory runs out; the samples are in $CSV"; fi
        if (($(disk_free_kib "$WORK") < disk_floor)); then die "the disk fills up; the samples are in $CSV"; fi
        if ((SECONDS - begin >= next)); then
            sample $((SECONDS - begin))
            next=$((next + SAMPLE_SECONDS))
            [[ ! -t 1 ]] || printf '\r%4d s, %s MiB resident, %s MiB on disk ' $((SECONDS - begin)) \
                $(($(rss_kib "$SERVER_PID") / 1024)) $(($(disk_used_kib "$SERVER_DATA") / 1024))
        fi
        sleep 1
    done
    [[ ! -t 1 ]] || printf '\n'
}

# of_column NUMBER NAME: a column of kibibytes: first, last and peak, and the highest of the second quarter and of the last.
of_column() {
    awk -F, -v column="$1" -v name="$2" '
        NR > 1 { value[++count] = $column; if ($column > peak) { peak = $column; at = $1 } }
        END {
            for (i = int(count / 4) + 1; i <= count / 2; i++) if (value[i] > second) second = value[i]
            for (i = int(count * 3 / 4) + 1; i <= count; i++) if (value[i] > fourth) fourth = value[i]
            printf "%-10s first %.0f MiB, last %.0f MiB, peak %.0f MiB after %d s; peak of the second quarter %.0f MiB, of the last %.0f MiB (%.2f of that)\n", \
                name, value[1] / 1024, value[count] / 1024, peak / 1024, at, second / 1024, fourth / 1024, second ? fourth / second : 0
        }' "$CSV"
}

build_drawdown
open_work
mkdir -p "$REPORTS"
REPORT=$REPORTS/$(date -u +%Y%m%dT%H%M%SZ)-soak.json
CSV=${REPORT%.json}.csv
describe_machine
find_rate

heading "$RATE events/s for $MINUTES minutes over $WALLETS wallets"
echo "seconds,rss_kib,rss_own_kib,data_kib,events" >"$CSV"
start_server --idempotency-window "${WINDOW_SECONDS}s" --snapshot-log-bytes "${SNAPSHOT_MIB}MiB" --retain-bytes "${RETAIN_MIB}MiB"
in_checkout "$LOADTEST" --url "$SERVER_URL" --report "$REPORT" --wallets "$WALLETS" --rate "$RATE" --seconds $((MINUTES * 60)) \
    >"${REPORT%.json}.txt" 2>"$WORK/soak.err" &
generator=$!
track_pid "$generator"
sample 0
watch_server "$generator"
status=0
wait "$generator" || status=$?
forget_pid "$generator"
cat "${REPORT%.json}.txt" "$WORK/soak.err"
stop_server

of_column 2 memory
of_column 3 "own memory"
of_column 4 disk
note "samples: ${CSV#"$ROOT/"}"
((status == 0)) || die "the load generator ended with status $status (1: books and server differ, 2: no run)"
