#!/usr/bin/env python3
"""Lengths: a function fits a screen, a file has one subject.

Functions over 60 lines are listed; over 100 fails, but for the named exceptions. Files over 800 lines fail. C functions
are found by layout, which clang-format keeps: a brace alone in the first column begins and ends one.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LISTED, MOST, FILE_MOST = 60, 100, 800

# "path:function" and why it may be longer than 100 lines.
EXCEPTIONS: dict[str, str] = {}


def c_functions(text: str) -> Iterator[tuple[str, int, int]]:
    """(name, first line, lines) of each function."""
    lines = text.splitlines()
    begin = None
    for number, line in enumerate(lines):
        if line == "{":
            begin = number
        elif line == "}" and begin is not None:
            head = number_of_head(lines, begin)
            name = re.search(r"(\w+)\(", " ".join(lines[head:begin]))
            yield (name[1] if name else "?"), head + 1, number - head + 1
            begin = None


def number_of_head(lines: list[str], brace: int) -> int:
    """The line in which the function's declaration begins."""
    head = brace
    while head > 0 and lines[head - 1] and lines[head - 1][0] not in "}#/* ":
        head -= 1
        if not lines[head].startswith((" ", "\t")) and "(" in lines[head]:
            break
    while head > 0 and lines[head].startswith((" ", "\t")):
        head -= 1
    return head


def python_functions(text: str) -> Iterator[tuple[str, int, int]]:
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name, node.lineno, (node.end_lineno or node.lineno) - node.lineno + 1


def sources() -> Iterator[Path]:
    for folder, patterns in (("src", ("*.c", "*.h")), ("python", ("*.c", "*.h", "*.py")), ("scripts", ("*.py",)),
                             ("tests", ("*.c", "*.h", "*.py")), ("fuzz", ("*.c",))):
        for pattern in patterns:
            yield from sorted((ROOT / folder).rglob(pattern))


def main() -> int:
    bad = False
    for path in sources():
        name, text = str(path.relative_to(ROOT)), path.read_text()
        count = text.count("\n")
        if count > FILE_MOST:
            print(f"{name}: {count} lines, at most {FILE_MOST}: split it")
            bad = True
        functions = python_functions(text) if path.suffix == ".py" else c_functions(text)
        for function, line, lines in functions:
            if lines > MOST and f"{name}:{function}" not in EXCEPTIONS:
                print(f"{name}:{line}: {function} has {lines} lines, at most {MOST}")
                bad = True
            elif lines > LISTED:
                print(f"{name}:{line}: note: {function} has {lines} lines")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
