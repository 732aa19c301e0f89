#!/usr/bin/env bash
# What a change has to pass besides the tests. check.sh [STEP]...: these alone. All steps run; the failed are named.
set -uo pipefail
cd "$(dirname "$0")/.."

handclasp=.venv/bin/handclasp
failed=()

c_files() { find src python/src tests fuzz bench -name '*.[ch]' 2>/dev/null | sort; }

check_format() { c_files | xargs clang-format --dry-run --Werror; }
check_includes() { python3 scripts/check_includes.py; }
check_lengths() { python3 scripts/check_lengths.py; }
check_options() { python3 scripts/gen_man.py $handclasp --check && python3 scripts/check_options.py $handclasp; }
check_manual() {
    local page complaints
    for page in docs/reference/*.1; do
        complaints=$(man --warnings -l -P cat "$page" 2>&1 >/dev/null)
        if [ -n "$complaints" ]; then echo "$page: $complaints"; return 1; fi
    done
}
check_cppcheck() {
    cppcheck --quiet --error-exitcode=1 -j "$(nproc)" --std=c11 --enable=warning,portability --inline-suppr \
        --suppress=missingInclude --suppress=missingIncludeSystem -Isrc -D__GNUC__ '-DPy_RETURN_NONE=return 0' \
        src python/src
}

# meson_setup FOLDER OPTION...: once; says nothing unless it fails.
meson_setup() {
    local folder=$1 log
    shift
    if [ -f "$folder/build.ninja" ]; then return 0; fi
    log=$(meson setup "$folder" "$@" 2>&1) || { echo "$log"; return 1; }
}
# build FOLDER: says nothing unless it fails.
build() {
    local log
    log=$(ninja -k 0 -C "$1" 2>&1) || { grep -v '^\[' <<<"$log"; return 1; }
}
# All there is, the tests, the extension and the fuzz targets too, without a warning.
check_gcc() { CC=gcc meson_setup build/gcc -Dtests=enabled -Dwerror=true && build build/gcc; }
check_clang() { CC=clang meson_setup build/clang -Dtests=enabled -Dfuzz=true -Dwerror=true && build build/clang; }
check_tidy() {
    # One file each time: with several, clang-tidy 14 takes every va_list but the first file's for uninitialized.
    CC=clang meson_setup build/clang -Dtests=enabled -Dfuzz=true -Dwerror=true || return 1
    find src python/src -name '*.c' | sort | xargs -P "$(nproc)" -n 1 clang-tidy -p build/clang --quiet 2>/dev/null
}

check_ruff() { scripts/extras.sh test dev && .venv/bin/ruff check python scripts tests examples; }
check_types() {
    # --project: or it looks for a pyrightconfig.json in the folders above.
    scripts/extras.sh test dev && .venv/bin/mypy --strict python/handclasp &&
        .venv/bin/pyright --project . python/handclasp
}

# sanitizer FOLDER MESON-VALUE: the unit tests, then the whole program, under it; what tests/server starts and that
# reports something fails the test. Python is not built with it, so the workers' extension is an ordinary one: an
# instrumented one could not be loaded.
sanitizer() {
    local folder=build/$1 value=$2
    scripts/extras.sh test dev && meson_setup build/gcc -Dtests=enabled -Dwerror=true && build build/gcc || return 1
    CC=clang meson_setup "$folder" -Dtests=enabled -Db_sanitize="$value" -Db_lundef=false && build "$folder" || return 1
    cp build/gcc/python/_*.so "$folder/python/" || return 1
    meson test -C "$folder" --no-rebuild --suite unit --print-errorlogs -q || return 1
    HANDCLASP_BUILD=$folder scripts/pytest_twice.sh .venv/bin/python -q -rf -n 4 --dist loadfile tests/server
}
check_asan() {
    export ASAN_OPTIONS=detect_leaks=1 UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1
    sanitizer asan address,undefined
}
check_tsan() {
    export TSAN_OPTIONS=halt_on_error=1
    sanitizer tsan thread
}

steps=(format includes lengths options manual gcc clang cppcheck tidy ruff types asan tsan)
for step in "${@:-${steps[@]}}"; do
    printf '== %s\n' "$step"
    begin=$SECONDS
    # In a shell of its own, so that what one step exports does not reach the next.
    ("check_$step") || failed+=("$step")
    printf '   %s: %s s\n' "$step" $((SECONDS - begin))
done
if [ ${#failed[@]} -gt 0 ]; then
    echo "failed: ${failed[*]}"
    exit 1
fi
echo "all checks passed"
