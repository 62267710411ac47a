#!/usr/bin/env bash
# Makes the certificates of the TLS tests: an authority, and a server `hooks.example` signed by it. They hold for a hundred years, guard nothing, and are
# trusted by nobody but the tests. The authority's key is thrown away.
set -euo pipefail
cd "$(dirname "$0")"
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout authority.key -out authority.pem -days 36500 \
    -subj "/CN=drawdown test authority" -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign
openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout server.key -out server.csr -subj "/CN=hooks.example"
openssl x509 -req -in server.csr -CA authority.pem -CAkey authority.key -out server.pem -days 36500 -sha256 \
    -extfile <(printf 'subjectAltName=DNS:hooks.example\nbasicConstraints=CA:FALSE\n')
rm authority.key server.csr authority.srl 2>/dev/null || true
