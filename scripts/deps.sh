#!/usr/bin/env bash
# deps.sh PACKAGE...: installs the Debian packages that are missing; where it may not, says in one line what to do.
set -euo pipefail

if ! command -v dpkg-query >/dev/null; then
    if command -v meson >/dev/null && pkg-config --exists openssl libuv yaml-0.1 jansson; then exit 0; fi
    echo "not a Debian system: install a C compiler, pkg-config, Meson, Ninja, Python's headers, and the development" \
        "files of OpenSSL >= 3.0, libuv, libyaml, SQLite, jansson (cmocka and uthash for the tests)" >&2
    exit 1
fi

missing=()
for package in "$@"; do
    case $package in
    # Another Python than Debian's brings its own headers and venv.
    python3*-dev | python3*-venv | *python*-dev | *python*-venv)
        if python3 - <<'PY' 2>/dev/null; then continue; fi
import os, sysconfig, ensurepip, venv
raise SystemExit(not os.path.exists(os.path.join(sysconfig.get_path("include"), "Python.h")))
PY
        ;;
    esac
    if ! dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q '^install ok installed'; then
        missing+=("$package")
    fi
done
if [ ${#missing[@]} -eq 0 ]; then exit 0; fi

if [ "$(id -u)" = 0 ]; then
    run=()
elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
    run=(sudo)
else
    echo "missing packages; as root: apt-get install ${missing[*]}" >&2
    exit 1
fi
echo "installing ${missing[*]}"
"${run[@]}" apt-get update -qq
# RUNLEVEL: servers that tests start themselves are not to be started by their packages.
"${run[@]}" env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
