#!/usr/bin/env python3
"""Writes docs/reference from the program's own tables: a manual page per command, and the sample file.

    scripts/gen_man.py PATH-TO-HANDCLASP            write
    scripts/gen_man.py PATH-TO-HANDCLASP --check    exit 1 where what is committed differs
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[1] / "docs/reference"


def manual(binary: str, *page: str) -> str:
    return subprocess.run([binary, "manual", *page], check=True, capture_output=True, text=True).stdout


def file_name(page: str) -> str:
    """The name in docs/reference: "serve" is handclasp-serve.1."""
    if page == "handclasp.yaml":
        return page
    return f"{page}.1" if page == "handclasp" else f"handclasp-{page}.1"


def pages(binary: str) -> dict[str, str]:
    """File names and their texts."""
    return {file_name(page): manual(binary, page) for page in manual(binary).split()}


def stale(wanted: dict[str, str]) -> list[str]:
    """Files that differ, are missing, or that no page is made for."""
    there = {path.name for path in FOLDER.glob("*") if path.name != "meson.build"}
    gone = [name for name in there - wanted.keys() if name.endswith((".1", ".yaml"))]
    differing = [
        name for name, text in wanted.items() if name not in there or (FOLDER / name).read_text() != text
    ]
    return sorted(gone + differing)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("binary")
    parser.add_argument("--check", action="store_true", help="write nothing")
    args = parser.parse_args()
    wanted = pages(args.binary)
    if args.check:
        for name in stale(wanted):
            print(f"docs/reference/{name} is not what the program says: run scripts/gen_man.py {args.binary}")
        return 1 if stale(wanted) else 0
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, text in wanted.items():
        (FOLDER / name).write_text(text)
        print(f"wrote docs/reference/{name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
