#!/usr/bin/env bash
# pytest_twice.sh PYTHON ARGUMENTS…: pytest, and once more the few tests that failed: the machine may be one that others
# keep busy. A sanitizer's report gets no second try, since races come and go, nor does what fails in numbers.
set -uo pipefail

python=$1
shift
log=$(mktemp)
trap 'rm -f "$log"' EXIT

"$python" -m pytest "$@" 2>&1 | tee "$log"
code=${PIPESTATUS[0]}
# A skipped test may name the sanitizer that it is for.
if [ "$code" -ne 1 ] || grep -v '^SKIPPED' "$log" | grep -qE 'Sanitizer|runtime error:'; then exit "$code"; fi
if [ "$(grep -cE '^(FAILED|ERROR) ' "$log")" -gt 3 ]; then exit 1; fi
printf '== once more, what failed\n'
"$python" -m pytest --last-failed --last-failed-no-failures none "$@"
