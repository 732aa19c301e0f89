#!/usr/bin/env bash
# The whole road on real input: a CA, a server, curl as good and as bad clients, the log that says why.
# ONESHOT=1 ends instead of serving on, non-zero if anything was not as said.
set -euo pipefail
cd "$(dirname "$0")/.."

bin=$PWD/.venv/bin/handclasp
work=$PWD/demo-state
state=$work/handclasp
hello_port=${HELLO_PORT:-8443}
readings_port=${READINGS_PORT:-8444}
pids=()
failures=0

stop() {
    for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
    for pid in "${pids[@]}"; do wait "$pid" 2>/dev/null || true; done
    pids=()
}
trap stop EXIT

step() { printf '\n\033[1m== %s\033[0m\n' "$1"; }

# expect WHAT PATTERN TEXT: the demo goes on, so that all that is wrong is seen.
expect() {
    if grep -Eq -- "$2" <<<"$3"; then
        printf '   as said: %s\n' "$1"
    else
        printf '   NOT AS SAID: %s (wanted %s)\n' "$1" "$2"
        failures=$((failures + 1))
    fi
}

# Certificates that must not be let in: of another CA, and expired (by our own CA, as OpenSSL's command makes it).
make_strangers() {
    "$bin" init --state "$work/other" --host localhost --client mallory >"$work/other.log"
    mkdir -p "$work/expired"
    touch "$work/expired/index.txt"
    cat >"$work/expired/ca.cnf" <<EOF
[ca]
default_ca = demo
[demo]
dir = $work/expired
database = \$dir/index.txt
new_certs_dir = \$dir
rand_serial = yes
certificate = $state/ca/ca.pem
private_key = $state/ca/ca.key
default_md = sha256
policy = any
x509_extensions = client
[any]
commonName = supplied
[client]
basicConstraints = CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = clientAuth
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
EOF
    openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc -subj /CN=yesterday \
        -keyout "$work/expired/key.pem" -out "$work/expired/request.pem" 2>/dev/null
    openssl ca -batch -notext -config "$work/expired/ca.cnf" -startdate 20240101000000Z \
        -enddate 20250101000000Z -in "$work/expired/request.pem" -out "$work/expired/cert.pem" 2>/dev/null
}

# serve NAME PORT APP: examples/NAME in the background, its log in $work/NAME.log; back when it listens.
serve() {
    "$bin" serve --state "$state" -b "127.0.0.1:$2" --chdir "examples/$1" --access-logfile "$work/$1.access" "$3" \
        2>"$work/$1.log" &
    local pid=$!
    pids+=("$pid")
    for _ in $(seq 300); do
        if grep -q 'listening' "$work/$1.log"; then return 0; fi
        if ! kill -0 "$pid" 2>/dev/null; then break; fi
        sleep 0.1
    done
    echo "the server did not start:" >&2
    cat "$work/$1.log" >&2
    exit 1
}

# fetch CERT KEY ARGS…: what curl says, headers and errors included.
fetch() {
    local cert=$1 key=$2
    shift 2
    curl -sS -i --max-time 20 --cacert "$state/ca/ca.pem" ${cert:+--cert "$cert" --key "$key"} "$@" 2>&1 || true
}

# The newest line of the log that tells of a refusal, once there are N of them.
refusal() {
    for _ in $(seq 100); do
        if [ "$(grep -c 'client refused' "$work/hello.log")" -ge "$1" ]; then break; fi
        sleep 0.1
    done
    grep 'client refused' "$work/hello.log" | tail -n 1
}

rm -rf "$work"
mkdir -p "$work"

step "handclasp init --host localhost --client alice --client meter-7"
"$bin" init --state "$state" --host localhost --client alice --client meter-7
make_strangers

step "handclasp serve app:app   (examples/hello)"
serve hello "$hello_port" app:app
tail -n 2 "$work/hello.log"
alice=("$state/clients/alice.pem" "$state/clients/alice.key")
url=https://localhost:$hello_port/

step "alice, with her certificate"
out=$(fetch "${alice[@]}" "$url")
echo "$out"
serial=$(openssl x509 -in "${alice[0]}" -noout -serial | cut -d= -f2)
hex=$(sed 's/^0*//' <<<"${serial,,}")
decimal=$(python3 -c 'import sys; print(int(sys.argv[1], 16))' "$serial")
expect "200" '^HTTP/1.1 200' "$out"
expect "her name" 'alice' "$out"
expect "her serial in hex" "$hex" "$out"
expect "her serial in decimal" "$decimal" "$out"

step "nobody: no certificate"
out=$(fetch "" "" "$url"); echo "$out"
expect "refused by a TLS alert" 'alert|curl: \(' "$out"
line=$(refusal 1); echo "   log: $line"
expect "the log says why" 'verdict=no-certificate' "$line"

step "mallory, with a certificate of another CA"
out=$(fetch "$work/other/clients/mallory.pem" "$work/other/clients/mallory.key" "$url"); echo "$out"
expect "refused by a TLS alert" 'alert unknown ca|unknown CA|curl: \(' "$out"
line=$(refusal 2); echo "   log: $line"
expect "the log says why" 'verdict=untrusted-issuer.*mallory' "$line"

step "yesterday, with a certificate that has expired"
out=$(fetch "$work/expired/cert.pem" "$work/expired/key.pem" "$url"); echo "$out"
expect "refused by a TLS alert" 'certificate expired|curl: \(' "$out"
line=$(refusal 3); echo "   log: $line"
expect "the log says why" 'verdict=expired.*yesterday' "$line"

step "handclasp serve 'app:create_app()'   (examples/readings: a meter posts, a person reads)"
"$bin" client role --state "$state" meter-7 +meter
"$bin" client role --state "$state" alice +reader
export READINGS_DATABASE=$work/readings.db
serve readings "$readings_port" 'app:create_app()'
meter=("$state/clients/meter-7.pem" "$state/clients/meter-7.key")
url=https://localhost:$readings_port
reading='{"at": "2026-01-31T12:00:00Z", "value": 1234.5, "unit": "kWh"}'
post=(-H 'Content-Type: application/json' --data "$reading")
out=$(fetch "${meter[@]}" "${post[@]}" "$url/readings"); echo "$out"
expect "the meter's reading is kept" '^HTTP/1.1 201' "$out"
out=$(fetch "${alice[@]}" "$url/readings.json"); echo "$out"
expect "alice reads it, with the meter's name" 'meter-7' "$out"
expect "and its value" '1234.5' "$out"
out=$(fetch "${meter[@]}" "$url/readings.json"); echo "$out"
expect "a meter may not read" '^HTTP/1.1 403' "$out"
expect "and is told why" 'refused-by-app' "$out"
out=$(fetch "" "" "$url/readings.json"); echo "$out"
expect "nobody else comes in" 'curl: \(' "$out"

step "summary"
if [ "$failures" -ne 0 ]; then
    echo "$failures of the above were not as said"
    exit 1
fi
echo "all as said"
if [ "${ONESHOT:-0}" != 0 ]; then exit 0; fi
cat <<EOF

Both servers keep running; stop them with Ctrl-C. To try oneself:

  curl --cacert demo-state/handclasp/ca/ca.pem \\
       --cert demo-state/handclasp/clients/alice.pem --key demo-state/handclasp/clients/alice.key \\
       https://localhost:$hello_port/

  curl --cacert demo-state/handclasp/ca/ca.pem \\
       --cert demo-state/handclasp/clients/alice.pem --key demo-state/handclasp/clients/alice.key \\
       https://localhost:$readings_port/readings.json

  curl --cacert demo-state/handclasp/ca/ca.pem https://localhost:$hello_port/     # refused

The logs: demo-state/hello.log, demo-state/readings.log
EOF
wait
