#!/usr/bin/env bash
# fuzz.sh SECONDS: every fuzz target for that long, from the corpus in the tree; what it finds stays below build/fuzz.
set -euo pipefail
cd "$(dirname "$0")/.."

seconds=${1:-120}
build=build/fuzz
# Otherwise undefined behaviour would be a line that scrolls by.
export UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1

if [ ! -f $build/build.ninja ]; then
    log=$(CC=clang meson setup $build -Dfuzz=true -Dtests=disabled -Db_sanitize=address,undefined -Db_lundef=false \
        -Dc_args=-fsanitize=fuzzer-no-link 2>&1) || { echo "$log"; exit 1; }
fi
# A target that is new since the last time would not be listed.
ninja -C $build build.ninja >/dev/null
targets=$(meson introspect --targets $build |
    python3 -c 'import json, sys; print(*(t["name"] for t in json.load(sys.stdin) if t["name"].startswith("fuzz-")))')
# Through ninja, whose names are paths.
log=$(ninja -C $build $(printf 'fuzz/%s ' $targets) 2>&1) || { echo "$log"; exit 1; }

for target in $targets; do
    name=${target#fuzz-}
    found=$build/found/$name
    mkdir -p "$found"
    echo "== $name, $seconds s"
    if ! "$build/fuzz/$target" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 \
        -artifact_prefix="$build/$name-" "$found" "fuzz/corpus/$name" >"$build/$name.log" 2>&1; then
        tail -n 60 "$build/$name.log"
        exit 1
    fi
    grep -E '^stat::(number_of_executed_units|average_exec_per_sec)' "$build/$name.log"
done
