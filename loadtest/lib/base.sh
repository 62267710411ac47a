# shellcheck shell=bash
# What every script here needs: messages, options, packages, child processes, and a cleanup that leaves nothing behind.
#
# Sourced, never run. Whatever is started goes through `start_child` or `track_pid` and whatever is made lies below `$WORK`; both are
# gone when the script ends, however it ends.

LIB=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
ROOT=$(cd "$LIB/../.." && pwd)
SCRIPT=$(realpath "$0")
# shellcheck disable=SC2034 # for the scripts that source this
REPORTS=$ROOT/loadtest/reports
WORK=
PIDS=()
declare -A SIGNALS=()
POLICY=/usr/sbin/policy-rc.d
POLICY_OURS=

if [[ -t 1 && -z ${NO_COLOR:-} && ${TERM:-dumb} != dumb ]]; then
    BOLD=$'\e[1m' DIM=$'\e[2m' RED=$'\e[31m' PLAIN=$'\e[0m'
else
    BOLD='' DIM='' RED='' PLAIN=''
fi

heading() { printf '\n%s%s%s\n' "$BOLD" "$*" "$PLAIN"; }
say() { printf '%s\n' "$*"; }
note() { printf '%s%s%s\n' "$DIM" "$*" "$PLAIN"; }
warn() { printf '%s%s: %s%s\n' "$RED" "${0##*/}" "$*" "$PLAIN" >&2; }
die() {
    warn "$*"
    exit 2
}

# help_from_header: prints the comment at the top of the script, which is its help.
help_from_header() {
    awk 'NR == 1 { next } /^#/ { sub(/^# ?/, ""); print; next } { exit }' "$SCRIPT"
}

# parse_options NAME... -- ARGUMENT...: reads `--name value` into the variable NAME, for the names that the script allows. The variable
# keeps its default otherwise. All values are whole numbers above zero, except those named with a trailing `=`.
parse_options() {
    local -A kinds=()
    local name
    while [[ $1 != -- ]]; do
        if [[ $1 == *= ]]; then kinds[${1%=}]=text; else kinds[$1]=number; fi
        shift
    done
    shift
    while (($#)); do
        case $1 in
            -h | --help)
                help_from_header
                exit 0
                ;;
            --*)
                name=${1#--}
                name=${name%%=*}
                name=${name//-/_}
                name=${name^^}
                # SECONDS is a variable of bash itself.
                [[ $name != SECONDS ]] || name=RUN_SECONDS
                [[ -n ${kinds[$name]:-} ]] || die "unknown option $1; --help lists them"
                if [[ $1 == *=* ]]; then
                    printf -v "$name" '%s' "${1#*=}"
                else
                    (($# > 1)) || die "$1 needs a value"
                    printf -v "$name" '%s' "$2"
                    shift
                fi
                ;;
            *) die "unexpected argument $1; --help lists the options" ;;
        esac
        shift
    done
    for name in "${!kinds[@]}"; do
        if [[ ${kinds[$name]} == number && ! ${!name} =~ ^[1-9][0-9]{0,8}$ ]]; then
            name=${name,,}
            name=${name#run_}
            die "--${name//_/-} must be a whole number above zero"
        fi
    done
}

# open_work: makes `$WORK`, a directory on a real disk. LOADTEST_DIR names another place for it.
open_work() {
    local base=${LOADTEST_DIR:-/var/tmp}
    [[ -d $base && -w $base ]] || die "cannot write to $base; LOADTEST_DIR names another directory"
    WORK=$(mktemp -d "$base/drawdown-load.XXXXXX")
    # Another user runs PostgreSQL and must get through; what lies inside is closed by itself.
    chmod 711 "$WORK"
    case $(filesystem_of "$WORK") in
        tmpfs | ramfs) warn "$base is in memory: syncs cost nothing there, so no figure is of durable writes" ;;
    esac
}

filesystem_of() { stat -f -c %T "$1"; }

# track_pid PID [SIGNAL]: ends this process when the script ends, by SIGTERM or another signal.
track_pid() {
    PIDS+=("$1")
    SIGNALS[$1]=${2:-TERM}
}

forget_pid() {
    local kept=() pid
    for pid in "${PIDS[@]}"; do [[ $pid == "$1" ]] || kept+=("$pid"); done
    PIDS=("${kept[@]}")
}

is_alive() { kill -0 "$1" 2>/dev/null; }

# run_child COMMAND...: runs a command that may take long so that a signal to the script ends both at once. (Bash runs no trap while it
# waits for a command in the foreground.)
run_child() {
    local pid status=0
    "$@" &
    pid=$!
    track_pid "$pid"
    wait "$pid" || status=$?
    forget_pid "$pid"
    return "$status"
}

# stop_pid PID: asks a tracked process to end, and makes it after 40 seconds.
stop_pid() {
    local pid=$1 signal=${SIGNALS[$1]} ticks=400
    kill -s "$signal" "$pid" 2>/dev/null || true
    while is_alive "$pid" && ((ticks-- > 0)); do sleep 0.1; done
    if is_alive "$pid"; then
        warn "process $pid did not end by SIG$signal and is killed"
        kill -KILL "$pid" 2>/dev/null || true
    fi
    wait "$pid" 2>/dev/null || true
    forget_pid "$pid"
}

clean_up() {
    local status=$? index
    trap - EXIT
    trap '' INT TERM HUP
    # What was started last leans on what was started first.
    for ((index = ${#PIDS[@]} - 1; index >= 0; index--)); do stop_pid "${PIDS[index]}"; done
    if [[ -n $POLICY_OURS ]]; then rm -f "$POLICY"; fi
    if [[ -n $WORK ]]; then rm -rf "$WORK"; fi
    exit "$status"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# need PROGRAM PACKAGE...: makes sure that a program is there, from Debian's or Ubuntu's packages if it is not.
need() {
    local program=$1
    shift
    command -v "$program" >/dev/null 2>&1 && return
    install_packages "$program" "$@"
    hash -r
    command -v "$program" >/dev/null 2>&1 || die "$program is missing even after installing $*"
}

# install_packages WHAT PACKAGE...: as root only. The services that these packages bring are not started: the scripts run their own.
install_packages() {
    local what=$1
    shift
    command -v apt-get >/dev/null 2>&1 || die "$what is missing, and there is no apt-get here: install it ($*) and try again"
    ((EUID == 0)) || die "$what is missing, and installing needs root: run 'apt-get install $*' and try again"
    say "$what is missing: installing $* by apt-get, without starting their services"
    if [[ ! -e $POLICY ]]; then
        POLICY_OURS=yes
        printf '#!/bin/sh\nexit 101\n' >"$POLICY"
        chmod 755 "$POLICY"
    fi
    local log
    log=$(mktemp)
    if ! { apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$@"; } >"$log" 2>&1; then
        tail -n 5 "$log" >&2
        rm -f "$log"
        die "apt-get could not install $*"
    fi
    rm -f "$log"
    if [[ -n $POLICY_OURS ]]; then
        rm -f "$POLICY"
        POLICY_OURS=
    fi
}

# free_port: a TCP port of the loopback that nothing listens on. The range lies below the one from which the kernel takes ports.
free_port() {
    local port tries
    for ((tries = 0; tries < 50; tries++)); do
        port=$((20000 + RANDOM % 10000))
        if ! (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
            echo "$port"
            return
        fi
    done
    die "found no free port"
}

# calc EXPRESSION [FORMAT]: arithmetic with fractions.
calc() { awk "BEGIN { printf \"${2:-%.0f}\", $1 }"; }
