#!/usr/bin/env bash
# `pip install .` into an empty virtual environment gives a working handclasp: what a newcomer does first.
set -euo pipefail
cd "$(dirname "$0")/.."

work=$(mktemp -d)
pid=
stop() {
    if [ -n "$pid" ]; then kill "$pid" 2>/dev/null || true; wait "$pid" 2>/dev/null || true; fi
    rm -rf "$work"
}
trap stop EXIT

python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q . 'flask>=2.2'
"$work/venv/bin/handclasp" --version
"$work/venv/bin/python" -c 'import handclasp.flask, handclasp.testing, handclasp._core'
"$work/venv/bin/handclasp" init --state "$work/state" --client alice >/dev/null
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
(cd examples/hello && exec "$work/venv/bin/handclasp" serve --state "$work/state" -b "127.0.0.1:$port" app:app) 2>"$work/log" &
pid=$!
for _ in $(seq 300); do
    if grep -q listening "$work/log" || ! kill -0 "$pid" 2>/dev/null; then break; fi
    sleep 0.1
done
if ! curl -sS --fail --max-time 20 --cacert "$work/state/ca/ca.pem" --cert "$work/state/clients/alice.pem" \
    --key "$work/state/clients/alice.key" "https://localhost:$port/"; then
    cat "$work/log" >&2
    exit 1
fi
printf '\nthe wheel works\n'
