#!/bin/sh
# The portal of real servers in a real, headless Chromium (tests/portal/). Needs python3 (its standard library is enough), chromium and
# chromedriver; CHROMIUM and CHROMEDRIVER name others than those on the path.
#   DRAWDOWN=...                      the server (default: built)
#   tests/portal.sh [--shots DIR]     with a picture of every page in DIR: desktop, phone, and both in the dark
set -eu
shots=
if [ "${1:-}" = --shots ]; then
    shots=$(mkdir -p "$2" && cd "$2" && pwd)
fi
cd "$(dirname "$0")/.."
find_program() {
    for name in "$@"; do
        if command -v "$name"; then return 0; fi
    done
    echo "portal: none of these is installed: $*. Install Chromium and its driver (Debian: apt-get install chromium chromium-driver)." >&2
    return 1
}
chromium=$(find_program ${CHROMIUM:-chromium chromium-browser google-chrome chrome})
chromedriver=$(find_program ${CHROMEDRIVER:-chromedriver})
if [ -z "${DRAWDOWN:-}" ]; then
    cargo build --bin drawdown
    DRAWDOWN=${CARGO_TARGET_DIR:-target}/debug/drawdown
fi
directory=$(mktemp -d)
trap 'rm -rf "$directory"' EXIT
trap 'exit 143' INT TERM
PYTHONDONTWRITEBYTECODE=1 python3 tests/portal "$DRAWDOWN" "$chromium" "$chromedriver" "$directory" $shots
echo "portal: as it should be"
