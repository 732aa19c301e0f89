#!/usr/bin/env python3
"""Fails on an #include that the table of modules does not allow (ARCHITECTURE.md has it for people)."""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"', re.M)

BELOW_SERVER = ["base", "x509", "net", "tls", "identity", "http", "handler", "registry", "authority", "enrollment",
                "gateway", "lane", "app"]
# Module: what it may include; "module/file.h" allows that header alone.
ALLOWED: dict[str, list[str]] = {
    "base": [],
    "x509": ["base"],
    "net": ["base"],
    "http": ["base"],
    "lane": ["base"],
    "tls": ["base", "x509", "net/io.h"],
    "identity": ["base", "x509"],
    "handler": ["base", "http", "identity"],
    "registry": ["base", "x509", "identity/lookup.h"],
    "authority": ["base", "x509", "registry", "handler"],
    "app": ["base", "http", "identity", "handler", "lane", "net"],
    "gateway": ["base", "http", "identity", "handler", "net", "tls"],
    "enrollment": ["base", "http", "x509", "identity", "handler", "authority"],
    "server": BELOW_SERVER,
    "cli": [*BELOW_SERVER, "server"],
    "python/src": ["base", "lane", "x509", "identity", "registry"],
}


def allowed(module: str, header: str) -> bool:
    folder = header.split("/")[0]
    # Without a folder it is a neighbour's; python/src names its own so.
    if "/" not in header or folder == module:
        return True
    return folder in ALLOWED[module] or header in ALLOWED[module]


def sources() -> list[tuple[str, Path]]:
    found = [(path.parts[len(ROOT.parts) + 1], path) for path in sorted((ROOT / "src").rglob("*.[ch]"))]
    return found + [("python/src", path) for path in sorted((ROOT / "python/src").rglob("*.[ch]"))]


def main() -> int:
    bad = 0
    for module, path in sources():
        text = path.read_text()
        if module not in ALLOWED:
            print(f"{path.relative_to(ROOT)}: the module {module} is not in the table")
            bad += 1
            continue
        if module != "python/src" and re.search(r"#\s*include\s+<Python\.h>", text):
            print(f"{path.relative_to(ROOT)}: only python/src includes Python.h")
            bad += 1
        for header in INCLUDE.findall(text):
            if not allowed(module, header):
                line = text[: text.index(f'"{header}"')].count("\n") + 1
                print(f"{path.relative_to(ROOT)}:{line}: {module} may not include {header}")
                bad += 1
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
