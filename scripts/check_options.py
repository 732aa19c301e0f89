#!/usr/bin/env python3
"""Every option stands everywhere: settings = table = --help = manual page = sample file.

    scripts/check_options.py PATH-TO-HANDCLASP

The program makes help, manual and sample from its table; this reads the table's source and the committed files, so that
a slip in that machinery, a stale file or a setting without an option shows.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TABLE = ROOT / "src/server/options_table.c"
SETTINGS = ROOT / "src/server/settings.h"
REFERENCE = ROOT / "docs/reference"

# Members that another one's option fills in, or that are the number of entries of another.
NO_OPTION_OF_THEIR_OWN = {"proxy_allow_from_count"}
# Set by functions, so that the table does not name the member.
CUSTOM = {"env", "proxy_allow_from", "policy", "registry", "remote_user"}


def table_entries() -> list[tuple[str, str]]:
    """(name, source text) of each entry of the table."""
    text = TABLE.read_text()
    starts = [m.start() for m in re.finditer(r"\{\.name = ", text)] + [len(text)]
    entries = [text[a:b] for a, b in zip(starts, starts[1:], strict=False)]
    return [(re.match(r'\{\.name = "([^"]+)"', entry)[1], entry) for entry in entries]


def settings_members() -> set[str]:
    """Members of hc_settings and, for nested ones, of what the table names as parent.child."""
    text = SETTINGS.read_text()
    body = re.search(r"typedef struct hc_settings \{(.*?)\n\} hc_settings;", text, re.S)[1]
    body = re.sub(r"/\*.*?\*/", "", body, flags=re.S)
    members: set[str] = set()
    for declaration in body.split(";"):
        match = re.match(r"\s*\w+\s+(.*)$", declaration.strip(), re.S)
        if match:
            members |= {name.strip().lstrip("*").strip() for name in match[1].split(",")}
    return members


def program(*args: str) -> str:
    return subprocess.run([sys.argv[1], *args], check=True, capture_output=True, text=True).stdout


def problems() -> list[str]:
    found = []
    entries = table_entries()
    named = {m for _, entry in entries for m in re.findall(r"IN\((\w+)", entry)} | CUSTOM
    for member in sorted(settings_members() - named - NO_OPTION_OF_THEIR_OWN):
        found.append(f"hc_settings.{member} has no option")

    help_text, sample = program("help", "serve"), (REFERENCE / "handclasp.yaml").read_text()
    manual = (REFERENCE / "handclasp-serve.1").read_text().replace("\\-", "-")
    for name, entry in entries:
        flag = re.compile(rf"--{re.escape(name)}\b(?!-)")
        positional = "HC_OPTION_POSITIONAL" in entry
        hidden, others = "HIDDEN" in entry, "OTHERS" in entry
        in_help = positional or bool(flag.search(help_text))
        in_manual = positional or bool(re.search(rf"^\.B .*--{re.escape(name)}(?![\w-])", manual, re.M))
        in_sample = bool(re.search(rf"^#{re.escape(name)}: ", sample, re.M))
        file_able = "FLAG_ONLY" not in entry and "NOT_IN_FILE" not in entry
        if in_help != (not hidden and not others):
            found.append(f"--{name}: {'in' if in_help else 'not in'} `handclasp help serve`")
        if in_manual == hidden:
            found.append(f"--{name}: {'in' if in_manual else 'not in'} handclasp-serve.1")
        if in_sample != (file_able and not hidden and not others):
            found.append(f"{name}: {'in' if in_sample else 'not in'} the sample handclasp.yaml")
    names = [name for name, _ in entries]
    found += [f"--{name} stands in the table twice" for name in sorted(set(names)) if names.count(name) > 1]
    return found


def main() -> int:
    if len(sys.argv) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    found = problems()
    for line in found:
        print(line)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
