#!/usr/bin/env bash
# What a change has to pass besides the tests. check.sh [STEP]...: these alone. All steps run; the failed are named.
set -uo pipefail
cd "$(dirname "$0")/.."

handclasp=.venv/bin/handclasp
failed=()

c_files() { find src python/src tests fuzz -name '*.[ch]' 2>/dev/null | sort; }

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
    cppcheck --quiet --error-exitcode=1 --std=c11 --enable=warning,portability --inline-suppr \
        --suppress=missingInclude --suppress=missingIncludeSystem -Isrc -D__GNUC__ src
}
compile_commands() {
    if [ ! -f build/tidy/build.ninja ]; then CC=clang meson setup build/tidy -Dtests=enabled >/dev/null; fi
}
check_clang() { compile_commands && meson configure build/tidy -Dwerror=true && ninja -C build/tidy >/dev/null; }
check_tidy() {
    compile_commands || return 1
    find src -name '*.c' | sort | xargs -P "$(nproc)" -n 4 clang-tidy -p build/tidy --quiet --warnings-as-errors='*' \
        --checks='-*,clang-analyzer-*,bugprone-sizeof-*,bugprone-infinite-loop,bugprone-macro-parentheses,cert-err34-c,-clang-analyzer-security.insecureAPI.DeprecatedOrUnsafeBufferHandling' \
        2>/dev/null
}
python_tools() {
    if [ -x .venv/bin/ruff ] && .venv/bin/python -c 'import mypy, pytest, django' 2>/dev/null; then return; fi
    .venv/bin/pip install -q ruff mypy pyright pytest 'flask[async]' django cryptography
}
check_ruff() { python_tools && .venv/bin/ruff check python scripts tests examples; }
check_types() { python_tools && .venv/bin/mypy --strict python/handclasp && .venv/bin/pyright python/handclasp; }

# sanitizer NAME MESON-VALUE: the unit tests, then the whole program, under it. Python is not built with it, so the
# workers' extension is an ordinary one: an instrumented one could not be loaded.
sanitizer() {
    local folder=build/$1
    if [ ! -f build/unit/build.ninja ]; then meson setup build/unit -Dtests=enabled >/dev/null || return 1; fi
    if [ ! -f "$folder/build.ninja" ]; then
        CC=clang meson setup "$folder" -Dtests=enabled -Db_sanitize="$2" -Db_lundef=false >/dev/null || return 1
    fi
    ninja -C build/unit >/dev/null || ninja -C build/unit || return 1
    ninja -C "$folder" >/dev/null || ninja -C "$folder" || return 1
    cp build/unit/python/_core*.so "$folder/python/" || return 1
    meson test -C "$folder" --no-rebuild --suite unit --print-errorlogs -q || return 1
    HANDCLASP_BUILD=$folder .venv/bin/python -m pytest -q tests/server
}
check_asan() { ASAN_OPTIONS=detect_leaks=1 sanitizer asan address,undefined; }
check_tsan() { TSAN_OPTIONS=halt_on_error=1 sanitizer tsan thread; }

steps=(format includes lengths options manual clang cppcheck tidy ruff types asan tsan)
for step in "${@:-${steps[@]}}"; do
    printf '== %s\n' "$step"
    "check_$step" || failed+=("$step")
done
if [ ${#failed[@]} -gt 0 ]; then
    echo "failed: ${failed[*]}"
    exit 1
fi
echo "all checks passed"
