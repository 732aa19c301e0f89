#!/usr/bin/env bash
# The unit tests. They need no network and no privileges; neither does building them.
set -euo pipefail
cd "$(dirname "$0")/.."

if [ ! -f build/unit/build.ninja ]; then
    log=$(meson setup build/unit -Dtests=enabled 2>&1) || { echo "$log"; exit 1; }
fi
log=$(ninja -C build/unit 2>&1) || { echo "$log"; exit 1; }
meson test -C build/unit --no-rebuild --suite unit --print-errorlogs
# Meson says no more than that it was skipped.
pkits=${PKITS_DATA:-/usr/lib/python3/dist-packages/cryptography_vectors/x509/PKITS_data}
if [ ! -d "$pkits/smime" ]; then
    echo "NIST's PKITS was NOT run; as root: apt-get install python3-cryptography-vectors" >&2
fi
