"""Writes the migrations as C strings: embed.py OUT.c 0001.sql [0002.sql ...], in the order of their numbers."""

import sys
from pathlib import Path

out, inputs = Path(sys.argv[1]), [Path(name) for name in sys.argv[2:]]
for number, path in enumerate(inputs, 1):
    if path.name != f"{number:04}.sql":
        sys.exit(f"{path}: expected {number:04}.sql here: migrations are numbered without gaps")

lines = ['#include "registry/sqlite_private.h"', "", "const char *const hc_sqlite_schema[] = {"]
for path in inputs:
    for line in path.read_text(encoding="ascii").splitlines():
        escaped = line.replace("\\", "\\\\").replace('"', '\\"')
        lines.append(f'    "{escaped}\\n"')
    lines.append("    ,")
lines += ["};", f"const size_t hc_sqlite_schema_count = {len(inputs)};", ""]
out.write_text("\n".join(lines))
