#!/usr/bin/env bash
# Every test, the quick ones first, up to the first suite that fails: the unit tests by Meson, then pytest against the
# program in .venv. Arguments, where there are any, go to pytest instead.
set -euo pipefail
cd "$(dirname "$0")/.."

python=$PWD/.venv/bin/python
twice=$PWD/scripts/pytest_twice.sh
scripts/extras.sh test
if [ $# -gt 0 ]; then exec "$python" -m pytest -q "$@"; fi

scripts/unit.sh
for suite in tests/python examples/{hello,readings} tests/server tests/interop; do
    printf '== %s\n' "$suite"
    # Servers are mostly waited for: four files at a time.
    case $suite in tests/server | tests/interop) beside=(-n 4 --dist loadfile) ;; *) beside=() ;; esac
    # Each in a process and a folder of its own: every example has an app.py, as Flask projects have.
    (cd "$suite" && exec "$twice" "$python" -q -rfs "${beside[@]}" .)
done
