#!/bin/sh
# The portal of a real server in a real, headless Chromium (tests/portal.py). Needs python3 (its standard library is enough), chromium and
# chromedriver; CHROMIUM and CHROMEDRIVER name others than those on the path.
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
cargo build --bin drawdown
directory=$(mktemp -d)
server=
: >"$directory/out"
end() {
    [ -z "$server" ] || kill "$server" 2>/dev/null || true
    rm -rf "$directory"
}
trap end EXIT
"${CARGO_TARGET_DIR:-target}"/debug/drawdown serve --dev --merchant "Example Cloud" --data "$directory/data" --listen 127.0.0.1:0 \
    --segment-bytes 16MiB >"$directory/out" 2>"$directory/log" &
server=$!
address=
while [ -z "$address" ]; do
    kill -0 "$server" || { cat "$directory/log"; exit 1; }
    address=$(sed -n 's/^drawdown listens on //p' "$directory/out")
done
PYTHONDONTWRITEBYTECODE=1 python3 tests/portal.py "$address" "$chromium" "$chromedriver" "$directory/profile" $shots ||
    { cat "$directory/log"; exit 1; }
echo "portal: as it should be"
