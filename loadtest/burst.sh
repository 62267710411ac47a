#!/bin/sh
# A million usage events over a hundred wallets that all run low, with automatic rules and, in turns, without; then events at half that pace, of
# which some set charges off. Ledgers lie below DRAWDOWN_BENCH_DIR, or in the build's directory: a disk is wanted, not memory.
set -eu
cd "$(dirname "$0")/.."
exec cargo bench --bench burst "$@"
