# shellcheck shell=bash
# The frame of a comparison: results of several rounds, a table of them, and ratios.
#
# The machine drifts (neighbours, thermal limits, caches), so sides take turns within a round and a ratio is made of two figures of one
# round only. What is printed of the ratios is least, middle and most, never the best alone.

# open_results: forgets what was recorded before.
open_results() {
    RESULTS=$WORK/results.tsv
    : >"$RESULTS"
}

# record ROUND CASE EVENTS_PER_SECOND SERVER_CPU_US_PER_EVENT P50_MS P99_MS
record() {
    printf '%s\t%s\t%.0f\t%s\t%s\t%s\n' "$1" "$2" "$3" "$4" "$5" "$6" >>"$RESULTS"
    say "$(printf 'round %-5s %-37s %10.0f events/s' "$1" "$2" "$3")"
}

# print_results: each case with its rounds.
print_results() {
    printf '%-28s %10s %10s %10s %7s %10s %9s %9s\n' '' 'events/s' '' '' '' 'server CPU' 'p50' 'p99'
    printf '%-28s %10s %10s %10s %7s %10s %9s %9s\n' case least middle most spread us/event ms ms
    local name
    while IFS= read -r name; do
        awk -F'\t' -v name="$name" "$MIDDLE"'
            $2 == name { n++; rate[n] = $3; cpu[n] = $4; p50[n] = $5; p99[n] = $6 }
            END {
                m = middle(rate, n)
                printf "%-28s %10.0f %10.0f %10.0f %6.0f%% %10.2f %9.2f %9.2f\n", name, least, m, most, (most - least) / m * 100,
                    middle(cpu, n), middle(p50, n), middle(p99, n)
            }' "$RESULTS"
    done < <(awk -F'\t' '!seen[$2]++ { print $2 }' "$RESULTS")
}

# print_ratio LABEL ABOVE BELOW: the ratio of two cases, by round.
print_ratio() {
    awk -F'\t' -v label="$1" -v above="$2" -v below="$3" "$MIDDLE"'
        $2 == above { a[$1] = $3 }
        $2 == below { b[$1] = $3 }
        END {
            for (round in a) if (round in b && b[round] > 0) ratio[++n] = a[round] / b[round]
            if (!n) { printf "%-52s no round has both\n", label; exit }
            m = middle(ratio, n)
            printf "%-52s %8.2fx %8.2fx %8.2fx   (%d rounds)\n", label, least, m, most, n
        }' "$RESULTS"
}

print_ratio_heading() { printf '%-52s %9s %9s %9s\n' 'drawdown / peer' least middle most; }

# An awk function: the middle of values 1..n, and by the way the globals least and most.
# shellcheck disable=SC2016 # awk's variables, not the shell's
MIDDLE='
    function middle(values, n,   i, j, v, sorted) {
        for (i = 1; i <= n; i++) {
            v = values[i] + 0
            for (j = i - 1; j >= 1 && sorted[j] > v; j--) sorted[j + 1] = sorted[j]
            sorted[j + 1] = v
        }
        least = sorted[1]; most = sorted[n]
        return n % 2 ? sorted[(n + 1) / 2] : (sorted[n / 2] + sorted[n / 2 + 1]) / 2
    }'

# best_of FILE: the line with the largest first column.
best_of() { sort -t$'\t' -k1,1nr "$1" | head -n 1; }

# drawdown_round ROUND CASE BATCH CONNECTIONS: drawdown on an empty ledger, loaded for RUN_SECONDS and audited. Identities are all new
# and wallets are chosen evenly, since that is what the peers' generators do.
drawdown_round() {
    local report=$WORK/drawdown.json notes=$WORK/drawdown.cpu watcher
    start_server
    watch_cpu "$notes" &
    watcher=$!
    track_pid "$watcher"
    load "$report" --wallets "$WALLETS" --batch "$3" --connections "$4" --seconds "$RUN_SECONDS" --format msgpack \
        --distribution uniform --duplicates 0
    stop_pid "$watcher"
    stop_server
    DRAWDOWN_RATE=$(field "$report" events_per_second)
    if [[ -n $2 ]]; then
        record "$1" "$2" "$DRAWDOWN_RATE" "$(cpu_per_event "$notes")" "$(report_ms "$report" p50)" "$(report_ms "$report" p99)"
    fi
}

report_ms() { calc "$(field "$1" "latency_us.$2") / 1000" %.3f; }

# find_drawdown_connections: sets DRAWDOWN_CONNECTIONS to the best for batches, from runs of PILOT_SECONDS.
find_drawdown_connections() {
    local connections RUN_SECONDS=$PILOT_SECONDS
    : >"$WORK/pilot-drawdown.tsv"
    for connections in 2 4 8; do
        drawdown_round pilot '' 1000 "$connections"
        say "$(printf 'pilot       %-37s %10.0f events/s' "drawdown, $connections connections" "$DRAWDOWN_RATE")"
        printf '%.0f\t%s\n' "$DRAWDOWN_RATE" "$connections" >>"$WORK/pilot-drawdown.tsv"
    done
    # shellcheck disable=SC2034 # for the scripts that source this
    DRAWDOWN_CONNECTIONS=$(best_of "$WORK/pilot-drawdown.tsv" | cut -f2)
}
