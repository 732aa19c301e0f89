#!/usr/bin/env bash
# fuzz.sh SECONDS: every fuzz target for that long, from the corpus in the tree; new inputs stay out of the tree.
set -euo pipefail
cd "$(dirname "$0")/.."

seconds=${1:-60}
build=build/fuzz
if [ ! -f $build/build.ninja ]; then
    CC=clang meson setup $build -Dfuzz=true -Dtests=disabled -Db_sanitize=address,undefined -Db_lundef=false \
        -Dc_args=-fsanitize=fuzzer-no-link >/dev/null
fi
targets=$(meson introspect --targets $build |
    python3 -c 'import json, sys; print(*(t["name"] for t in json.load(sys.stdin) if t["name"].startswith("fuzz-")))')
for target in $targets; do
    # Through ninja, whose names are paths.
    ninja -C $build "fuzz/$target" >/dev/null
    found=$build/found/${target#fuzz-}
    mkdir -p "$found"
    echo "== $target, $seconds s"
    "$build/fuzz/$target" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 \
        "$found" "fuzz/corpus/${target#fuzz-}" 2>&1 | grep -E '^(stat::number_of_executed|stat::average|==|SUMMARY|.*ERROR)' || true
    if [ "${PIPESTATUS[0]}" -ne 0 ]; then exit 1; fi
done
