#!/usr/bin/env bash
# extras.sh EXTRA...: installs into .venv what pyproject.toml lists for these; at once done where that was done before.
set -euo pipefail
cd "$(dirname "$0")/.."

wanted=$(.venv/bin/python - "$@" <<'PY'
import sys, tomllib
with open("pyproject.toml", "rb") as file:
    extras = tomllib.load(file)["project"]["optional-dependencies"]
# "handclasp[test]" in an extra is a way to say "and those": here they are asked for by name.
print(*(need for extra in sys.argv[1:] for need in extras[extra] if not need.startswith("handclasp[")), sep="\n")
PY
)
mark=.venv/extras-$(tr ' ' '-' <<<"$*")
if [ "$wanted" = "$(cat "$mark" 2>/dev/null)" ]; then exit 0; fi
mapfile -t needs <<<"$wanted"
.venv/bin/python -m pip install -q --disable-pip-version-check "${needs[@]}"
printf '%s\n' "$wanted" >"$mark"
