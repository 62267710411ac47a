#!/usr/bin/env bash
# Does it work here, and about how fast is it? Loads a server of its own for a few seconds and audits every balance.
#
# Usage: loadtest/quick.sh [--seconds 10] [--wallets 100000]
#
# MessagePack batches of 1000 events, closed loop, durable; about half a minute in all once built. The server runs on a temporary
# directory (below /var/tmp, or where LOADTEST_DIR says) and on a free port of the loopback; nothing of it is left behind. Exit code 0:
# the generator's books and the server agree.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib/base.sh"
source "$LIB/machine.sh"
source "$LIB/drawdown.sh"

RUN_SECONDS=10 WALLETS=100000
parse_options RUN_SECONDS WALLETS -- "$@"

build_drawdown
open_work
start_server
heading "batches of 1000 for $RUN_SECONDS s over $WALLETS wallets"
load "$WORK/quick.json" --wallets "$WALLETS" --seconds "$RUN_SECONDS"
cat "$WORK/quick.json.txt"
say "memory     $(($(rss_kib "$SERVER_PID") / 1024)) MiB resident, $(($(disk_used_kib "$SERVER_DATA") / 1024)) MiB on disk"
stop_server
