"""The CA at work beside `openssl ca`: certificates a second, a list of 100 000 entries, deciding with it; and what
handshakes cost with it, beside nginx."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import authority_handshakes as handshakes
from servers import Setup

HERE = Path(__file__).resolve().parent
SRC = HERE.parent / "src"
LIBRARIES = ["-lsqlite3", "-lssl", "-lcrypto", "-ljansson", "-lyaml", "-pthread"]
CERTIFICATES = 40  # by a command each

# figure, text, limit
PROMISES = [
    ("crl_make_s", "a list made out of the registry, in s", 2),
    ("crl_load_s", "and loaded by a server, in s", 2),
    ("crl_cost_us", "the list's share of deciding about a client, in µs", 20),
    ("serve_crl_ratio", "a full handshake, CPU with the list by CPU without", 1.10),
]
OTHERS = [
    ("signed_per_s", "requests signed in memory, a second"),
    ("recorded_per_s", "and with row and audit on disk, a second"),
    ("command_per_s", "`handclasp ca sign`, a process each, a second"),
    ("openssl_per_s", "`openssl ca`, a process each, a second"),
    ("openssl_crl_make_s", "`openssl ca -gencrl` of as many, in s"),
    ("crl_bytes", "the list, in bytes"),
    ("decide_us", "a chain decided without a list, in µs"),
    ("openssl_crl_cost_us", "a list's share where OpenSSL checks it (nginx), in µs"),
    *handshakes.OTHERS,
]

CONFIG = """
[ca]
default_ca = bench
[bench]
dir = {folder}
database = {folder}/index.txt
serial = {folder}/serial
crlnumber = {folder}/crlnumber
new_certs_dir = {folder}
certificate = {ca}/ca.pem
private_key = {ca}/ca.key
default_md = sha256
default_days = 365
default_crl_days = 7
rand_serial = yes
unique_subject = no
policy = any
crl_extensions = list
[any]
commonName = supplied
[list]
authorityKeyIdentifier = keyid
"""


def run_or_exit(command: list[str], **more) -> str:
    ran = subprocess.run(command, capture_output=True, text=True, **more)
    if ran.returncode:
        raise SystemExit(f"{' '.join(map(str, command[:3]))}…: {ran.stderr.strip()[-2000:]}")
    return ran.stdout


def build(cc: str, flags: list[str], folder: Path) -> Path:
    """The program, of the sources themselves."""
    schema, program = folder / "sqlite_schema.c", folder / "authority"
    migrations = sorted(map(str, (SRC / "registry/schema").glob("*.sql")))
    run_or_exit([sys.executable, str(SRC / "registry/schema/embed.py"), str(schema), *migrations])
    modules = ("base", "x509", "identity", "registry", "authority")
    sources = [str(path) for module in modules for path in sorted((SRC / module).glob("*.c"))]
    command = [cc, *flags, f"-I{SRC}", "-o", str(program), str(HERE / "authority.c"), str(schema)]
    run_or_exit([*command, *sources, *LIBRARIES])
    return program


def request(folder: Path, number: int) -> Path:
    made = folder / f"{number}.csr"
    line = "openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc".split()
    run_or_exit([*line, "-subj", f"/CN=client-{number}", "-keyout", str(folder / "r.key"), "-out", str(made)])
    return made


def a_second(commands: list[list[str]], **more) -> float:
    began = time.perf_counter()
    for command in commands:
        run_or_exit(command, **more)
    return len(commands) / (time.perf_counter() - began)


def openssl_ca(folder: Path, ca: Path) -> list[str]:
    """The command, for the CA that is in the folder `ca`."""
    (folder / "openssl.cnf").write_text(CONFIG.format(folder=folder, ca=ca))
    (folder / "index.txt").write_text("")
    (folder / "crlnumber").write_text("01\n")
    return ["openssl", "ca", "-batch", "-config", str(folder / "openssl.cnf"), "-notext"]


def openssl_list(folder: Path, line: list[str], entries: int) -> Path:
    revoked = "R\t360101000000Z\t260101000000Z\t{:032X}\tunknown\t/CN=x\n"
    (folder / "index.txt").write_text("".join(revoked.format(2**124 + n) for n in range(entries)))
    run_or_exit([*line[:-1], "-gencrl", "-out", str(folder / "ca.crl")])
    return folder / "ca.crl"


def openssl(folder: Path, requests: list[Path], entries: int) -> dict:
    ca = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc -subj /CN=CA -days 3650".split()
    run_or_exit([*ca, "-keyout", str(folder / "ca.key"), "-out", str(folder / "ca.pem")])
    line = openssl_ca(folder, folder)
    signed = a_second([[*line, "-in", str(one), "-out", str(one) + ".pem"] for one in requests])
    began = time.perf_counter()
    openssl_list(folder, line, entries)
    return {"openssl_per_s": signed, "openssl_crl_make_s": time.perf_counter() - began}


def command_line(handclasp: Path, folder: Path, requests: list[Path]) -> dict:
    state = ["--state", str(folder / "state")]
    run_or_exit([str(handclasp), "init", *state])
    line = [str(handclasp), "ca", "sign", *state, "--create"]
    commands = [[*line, "--name", f"c{n}", "--out", f"{one}.h.pem", str(one)] for n, one in enumerate(requests)]
    return {"command_per_s": a_second(commands)}


def measure(program: Path, setup: Setup, entries: int) -> dict:
    with tempfile.TemporaryDirectory(prefix="handclasp-authority-") as name:
        folder = Path(name)
        figures = json.loads(run_or_exit([str(program), "--folder", name, "--entries", str(entries)]))
        requests = [request(folder, n) for n in range(CERTIFICATES)]
        figures |= openssl(folder, requests, entries)
        figures |= command_line(Path(setup.program("handclasp")), folder, requests)
    figures["crl_cost_us"] = figures["decide_crl_us"] - figures["decide_us"]
    figures["openssl_crl_cost_us"] = figures["openssl_crl_us"] - figures["openssl_us"]
    return figures


def measure_handshakes(
    load: Path, setup: Setup, entries: int, rounds: int, seconds: float, say: Callable[[str], None]
) -> dict:
    """With a list of the CA that the servers' clients come from."""
    folder = setup.work / "openssl"
    folder.mkdir()
    crl = openssl_list(folder, openssl_ca(folder, Path(setup.ca).parent), entries)
    return handshakes.run(setup, load, crl, rounds, seconds, say)


def text(figures: dict) -> str:
    lines = [f"\nthe CA, and a revocation list of {figures['entries']:,} entries"]
    for name, label in OTHERS:
        if name in figures:
            lines.append(f"  {label:62}{figures[name]:>11,.{2 if 'ratio' in name else 1}f}")
    return "\n".join(lines)
