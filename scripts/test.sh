#!/usr/bin/env bash
# Every test: the unit tests by Meson, then pytest against the program in .venv. Arguments go to pytest.
set -euo pipefail
cd "$(dirname "$0")/.."

python=.venv/bin/python
if ! "$python" -c 'import pytest, flask, django, cryptography, requests, httpx' 2>/dev/null; then
    .venv/bin/pip install -q 'pytest>=7' 'flask[async]>=2.2' 'django>=4.2' 'cryptography>=42' requests httpx
fi

if [ ! -f build/unit/build.ninja ]; then meson setup build/unit -Dtests=enabled >/dev/null; fi
ninja -C build/unit >/dev/null || ninja -C build/unit
meson test -C build/unit --no-rebuild --suite unit --print-errorlogs

exec "$python" -m pytest -q "${@:-tests}"
