"""The registry at a million certificates: start-up, memory, lookup, and a revocation's way into the index."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
SRC = HERE.parent / "src"
LIBRARIES = ["-lsqlite3", "-lcrypto", "-ljansson", "-pthread"]

# figure, text, limit
PROMISES = [
    ("bytes_each", "memory of a certificate with its client, in bytes", 200),
    ("hit_ns", "lookup of a certificate on record, in ns", 1000),
    ("miss_ns", "lookup of one that is not, in ns", 1000),
    ("change_ms_p99", "a revocation's way into the index, 99 of 100, in ms", 1000),
]
OTHERS = [
    ("create_s", "written, 10 000 clients in a transaction, in s"),
    ("file_bytes_each", "database, in bytes a certificate"),
    ("start_s", "from the start to the first answer, in s"),
    ("change_ms_p50", "a revocation's way into the index, median, in ms"),
]


def run_or_exit(command: list[str]) -> str:
    ran = subprocess.run(command, capture_output=True, text=True)
    if ran.returncode:
        raise SystemExit(f"{' '.join(command[:2])}…: {ran.stderr.strip()[-2000:]}")
    return ran.stdout


def build(cc: str, flags: list[str], folder: Path) -> Path:
    """The program, of the sources themselves."""
    schema, program = folder / "sqlite_schema.c", folder / "registry"
    migrations = sorted(map(str, (SRC / "registry/schema").glob("*.sql")))
    run_or_exit([sys.executable, str(SRC / "registry/schema/embed.py"), str(schema), *migrations])
    sources = [str(path) for module in ("base", "x509", "registry") for path in sorted((SRC / module).glob("*.c"))]
    sources += [str(SRC / "identity" / name) for name in ("record.c", "describe.c", "verdict.c")]
    command = [cc, *flags, f"-I{SRC}", "-o", str(program), str(HERE / "registry.c"), str(schema)]
    run_or_exit([*command, *sources, *LIBRARIES])
    return program


def measure(program: Path, count: int) -> dict:
    with tempfile.TemporaryDirectory(prefix="handclasp-registry-") as folder:
        return json.loads(run_or_exit([str(program), "--folder", folder, "--count", str(count)]))


def text(figures: dict) -> str:
    lines = [f"\nregistry of {figures['certificates']:,} certificates"]
    lines += [f"  {label:62}{figures[name]:>11,.1f}" for name, label in OTHERS]
    return "\n".join(lines)
