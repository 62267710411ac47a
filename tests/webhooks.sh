#!/bin/sh
# A real server against a receiver in Python that verifies with the Standard Webhooks project's own library (tests/webhooks.py).
# Needs python3 and its registry, from which the library is fetched once.
set -eu
cd "$(dirname "$0")/.."
library=target/tmp/standardwebhooks-1.1.0
if [ ! -d "$library/standardwebhooks" ]; then
    python3 -m pip install --quiet --disable-pip-version-check --upgrade --target "$library" standardwebhooks==1.1.0
fi
cargo build --bin drawdown
directory=$(mktemp -d)
server=
: >"$directory/out"
end() {
    [ -z "$server" ] || kill "$server" 2>/dev/null || true
    rm -rf "$directory"
}
trap end EXIT
target/debug/drawdown serve --dev --webhook-allow-private --webhook-time 2s --webhook-secret-overlap 10s \
    --data "$directory/data" --listen 127.0.0.1:0 --segment-bytes 16MiB >"$directory/out" 2>"$directory/log" &
server=$!
address=
while [ -z "$address" ]; do
    kill -0 "$server" || { cat "$directory/log"; exit 1; }
    address=$(sed -n 's/^drawdown listens on //p' "$directory/out")
done
PYTHONPATH=$library PYTHONDONTWRITEBYTECODE=1 python3 tests/webhooks.py "$address" || { cat "$directory/log"; exit 1; }
echo "webhooks: verified"
