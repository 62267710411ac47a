# shellcheck shell=bash
# What the figures were taken on, and what processes use of it.

# describe_machine: a line or two for people. Run after `open_work`.
describe_machine() {
    local cpu memory
    cpu=$(awk -F': *' '/^model name/ { print $2; exit }' /proc/cpuinfo)
    memory=$(awk '/^MemTotal/ { printf "%.0f GiB", $2 / 1048576 }' /proc/meminfo)
    say "machine    ${cpu:-unknown CPU}, $(nproc) cores, $memory, Linux $(uname -r), $(filesystem_of "$WORK") at ${WORK%/*}"
    say "load       $(cut -d' ' -f1-3 /proc/loadavg) before; commit $(commit_here)"
    note "           clients and servers share these cores: what a client uses, its server lacks"
}

commit_here() { git -C "$ROOT" describe --always --dirty --abbrev=12 2>/dev/null || echo unknown; }

memory_available_kib() { awk '/^MemAvailable/ { print $2 }' /proc/meminfo; }
rss_kib() { awk '/^VmRSS/ { print $2 }' "/proc/$1/status" 2>/dev/null || true; }
# Without the pages of files that it maps: the log's, which the kernel takes back when it needs them.
rss_own_kib() { awk '/^RssAnon/ { print $2 }' "/proc/$1/status" 2>/dev/null || true; }
disk_free_kib() { df -Pk "$1" | awk 'NR == 2 { print $4 }'; }
disk_used_kib() { du -sk "$1" 2>/dev/null | cut -f1; }

# cpu_ms PID: processor time of a process, of its children, and of those that it had and reaped, in milliseconds.
cpu_ms() {
    local pid total=0 line fields hertz
    hertz=$(getconf CLK_TCK)
    for pid in "$1" $(children_of "$1"); do
        line=$(cat "/proc/$pid/stat" 2>/dev/null) || continue
        read -ra fields <<<"${line##*) }"
        total=$((total + fields[11] + fields[12]))
        # Times of reaped children count for the parent only: its living children are in the list themselves.
        total=$((total + fields[13] + fields[14]))
    done
    echo $((total * 1000 / hertz))
}

children_of() { cat "/proc/$1/task/$1/children" 2>/dev/null || true; }
