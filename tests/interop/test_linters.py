"""Every kind of certificate and revocation list that the authority makes, and what the commands make of them, before
the linters of others; and its files of keys, opened by other programs.

zlint runs its rules of the RFCs and of the community; those of the CA/Browser Forum and the root programs are for
public CAs. pkilint runs its PKIX rules. What is no error but worth a word is printed (pytest -rP). A linter is
installed below build/linters (HANDCLASP_LINTERS=DIR): zlint by Go, pkilint by pip into an environment of its own.
certlint and x509lint are in no package that these clients have: they run where they are on the PATH. One that cannot
be had is named as skipped; under CI=true it is an error if none is left.
"""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import pkcs12
from handclasp_server_tests import ROOT, Program

KEPT = Path(os.environ.get("HANDCLASP_LINTERS", ROOT / "build/linters"))
ZLINT = "github.com/zmap/zlint/v3/cmd/zlint@v3.7.3"
PKILINT = "pkilint==0.13.3"
ZLINT_SOURCES = "RFC3279,RFC5280,RFC5480,RFC5891,RFC8813,Community"
INSTALL_S = 600

# What a linter calls an error and is none: (rule, part of the value): the reason.
DIFFERENCES = {
    ("pkix.invalid_uri_syntax", '"spiffe://'): "it takes web addresses alone; RFC 5280 any absolute URI",
    ("pkix.invalid_uri_syntax", '"urn:'): "it takes web addresses alone; RFC 5280 any absolute URI",
    ("pkix.invalid_domain_name_syntax", '"*.'): "RFC 5280 leaves wildcards open, RFC 9525 section 6.3 has them",
    ("pkix.invalid_domain_name_syntax", '"localhost"'): "it wants a dot, RFC 5280 (RFC 1034 section 3.5) none",
}

Findings = Iterator[tuple[str, str, str]]  # severity, rule, text
Linter = Callable[[Path], Findings]


def run(*command: object, timeout: float = 120, **more: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(c) for c in command], capture_output=True, text=True, timeout=timeout, **more)


def zlint() -> Linter:
    program = KEPT / "zlint"
    if not program.exists():
        if not shutil.which("go"):
            raise LookupError("zlint: Go is not here to build it")
        done = run("go", "install", ZLINT, timeout=INSTALL_S, env=os.environ | {"GOBIN": str(KEPT)})
        if done.returncode != 0:
            raise LookupError(f"zlint cannot be built: {done.stderr[-500:]}")

    def lint(file: Path) -> Findings:
        done = run(program, "-includeSources", ZLINT_SOURCES, file)
        results = json.loads(done.stdout)
        assert sum(r["result"] == "pass" for r in results.values()) >= 5, done.stderr
        for rule, result in results.items():
            if result["result"] in ("info", "warn", "error", "fatal"):
                yield result["result"].upper(), rule, result.get("details", "")

    return lint


def pkilint() -> Linter:
    programs = KEPT / "pkilint/bin"
    if not (programs / "lint_crl").exists():
        run(sys.executable, "-m", "venv", KEPT / "pkilint", timeout=INSTALL_S, check=True)
        done = run(programs / "pip", "install", "-q", PKILINT, timeout=INSTALL_S)
        if done.returncode != 0:
            raise LookupError(f"pkilint cannot be installed: {done.stderr[-500:]}")

    def lint(file: Path) -> Findings:
        is_crl = file.name.startswith("crl-")
        kind = ["lint_crl", "lint", "-t", "CRL", "-p", "PKIX"] if is_crl else ["lint_pkix_cert", "lint"]
        done = run(programs / kind[0], *kind[1:], "-s", "INFO", "-f", "CSV", file)
        rows = csv.DictReader(io.StringIO(done.stdout))
        assert rows.fieldnames and "severity" in rows.fieldnames, done.stderr
        for row in rows:
            yield row["severity"], row["code"], row["message"] or ""

    return lint


def on_path(name: str) -> Callable[[], Linter]:
    def find() -> Linter:
        program = shutil.which(name)
        if not program:
            raise LookupError(f"{name} is in no package that can be had, and not on the PATH")

        def lint(file: Path) -> Findings:
            if file.name.startswith("crl-"):
                return
            for line in run(program, file).stdout.splitlines():
                severity, _, text = line.partition(": ")
                yield {"E": "ERROR", "F": "FATAL"}.get(severity[:1], "INFO"), text, ""

        return lint

    return find


LINTERS = {"zlint": zlint, "pkilint": pkilint, "certlint": on_path("certlint"), "x509lint": on_path("x509lint")}


@pytest.fixture(scope="session")
def linters() -> dict[str, Linter | str]:
    """By name; where it cannot be had, why."""
    KEPT.mkdir(parents=True, exist_ok=True)
    found: dict[str, Linter | str] = {}
    for name, find in LINTERS.items():
        try:
            found[name] = find()
        except (LookupError, subprocess.SubprocessError, OSError) as error:
            found[name] = str(error)
    return found


@pytest.fixture(scope="session")
def samples(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    build = Path(os.environ.get("HANDCLASP_BUILD", ROOT / "build/unit"))
    if not (build / "build.ninja").exists() or not (build / "tests/unit/authority").exists():
        build = ROOT / "build/unit"
    if not (build / "build.ninja").exists():
        run("meson", "setup", build, ROOT, "-Dtests=enabled", check=True)
    program = "tests/unit/authority/authority_samples"
    done = run("ninja", "-C", build, program, timeout=INSTALL_S)
    assert done.returncode == 0, done.stdout
    folder = tmp_path_factory.mktemp("samples")
    done = run(build / program, folder)
    assert done.returncode == 0, done.stderr
    return sorted(folder.iterdir())


PROFILES = """
profiles:
  meter:
    like: device
    keys: [ed25519]
    lifetime: 30d
    subject: CN={name}, OU=Meters, O=Example
    crl-url: http://pki.example.org/ca.crl
"""


@pytest.fixture(scope="session")
def made_by_commands(program: Program, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """By init, client issue and renew, ca sign, rotate and crl, one file each."""
    folder = tmp_path_factory.mktemp("commands")
    state, out = folder / "state", folder / "out"
    out.mkdir()

    def handclasp(*command: object) -> None:
        done = program.run(*command, "--state", state)
        assert done.returncode == 0, done.stderr

    def keep(what: str, *files: str) -> None:
        for name in files:
            shutil.copy(state / name, out / f"{what}-{Path(name).name}")

    handclasp("init", "--host", "localhost", "--host", "example.org", "--client", "alice")
    with (state / "handclasp.yaml").open("a") as config:
        config.write(PROFILES)
    handclasp("client", "issue", "bob")
    handclasp("client", "issue", "carol", "--san", "email:carol@example.org", "--days", "30")
    handclasp("client", "issue", "m17", "--profile", "device", "--san", "DNS:m17.example.org")
    handclasp("client", "issue", "m18", "--profile", "meter", "--san", "URI:https://example.org/m18")
    handclasp("client", "issue", "web", "--profile", "server", "--san", "DNS:web.example.org")
    for curve in ("P-256", "P-384"):
        csr = folder / f"{curve}.csr"
        key = ("-newkey", "ec", "-pkeyopt", f"ec_paramgen_curve:{curve}", "-nodes", "-keyout", os.devnull)
        # What a request asks for besides its key is not to show in the certificate.
        wish = ("-addext", "basicConstraints=CA:TRUE")
        run("openssl", "req", "-new", *key, "-subj", "/", *wish, "-out", csr, check=True)
        handclasp("ca", "sign", csr, "--name", f"signed-{curve}", "--create", "--out", out / f"leaf-signed-{curve}.pem")
    handclasp("ca", "crl", "--out", out / "crl-empty.pem", "--pem")
    handclasp("client", "revoke", "bob", "--reason", "keyCompromise")
    handclasp("client", "revoke", "carol")
    handclasp("ca", "crl", "--out", out / "crl-of-two.pem", "--pem", "--crl-days", "30")
    keep("ca", "ca/ca.pem")
    handclasp("ca", "rotate", "--name", "Next CA", "--key", "p-384")
    handclasp("client", "renew", "alice")
    handclasp("ca", "crl", "--out", out / "crl-rotated.pem", "--pem")
    handclasp("ca", "crl", "--ca", "old-1", "--out", out / "crl-old.pem", "--pem")
    shutil.copy(state / "ca/ca.pem", out / "ca-rotated.pem")
    keep("leaf", "server/server.pem", *(f"clients/{c.name}" for c in (state / "clients").glob("*.pem")))
    return sorted(out.iterdir())


def test_there_are_samples_of_every_kind(samples: list[Path]) -> None:
    names = {file.stem for file in samples}
    for key in ("p-256", "p-384", "ed25519", "rsa-2048", "rsa-3072", "rsa-4096"):
        assert {f"ca-{key}", f"leaf-{key}", f"crl-{key}"} <= names
    assert {"ca-intermediate", "crl-empty", "leaf-device", "leaf-own", "leaf-server"} <= names


def test_every_command_that_signs_made_something(made_by_commands: list[Path]) -> None:
    assert {file.stem for file in made_by_commands} == (
        {"ca-ca", "ca-rotated", "crl-empty", "crl-of-two", "crl-old", "crl-rotated"}
        | {f"leaf-{name}" for name in ("server", "alice", "alice-2", "bob", "carol", "m17", "m18", "web")}
        | {"leaf-signed-P-256", "leaf-signed-P-384"}
    )


def test_in_ci_there_is_a_linter(linters: dict[str, Linter | str]) -> None:
    absent = [why for why in linters.values() if isinstance(why, str)]
    for why in absent:
        print("ABSENT:", why)
    if os.environ.get("CI") == "true":
        assert len(absent) < len(linters), f"no linter can be had: {absent}"


@pytest.mark.parametrize("name", LINTERS)
def test_nothing_that_we_make_is_an_error_to(
    name: str, linters: dict[str, Linter | str], samples: list[Path], made_by_commands: list[Path]
) -> None:
    lint = linters[name]
    if isinstance(lint, str):
        pytest.skip(f"NOT LINTED: {lint}")
    errors, used = [], set()
    for file in [*samples, *made_by_commands]:
        if not file.name.startswith(("ca-", "leaf-", "crl-")):
            continue
        for severity, rule, text in lint(file):
            known = next((k for k in DIFFERENCES if k[0] == rule and k[1] in text), None)
            if known:
                used.add(known)
                print(f"{file.stem}: {rule}: not an error: {DIFFERENCES[known]}")
            elif severity in ("ERROR", "FATAL"):
                errors.append(f"{file.stem}: {rule}: {text}")
            else:
                print(f"{file.stem}: {severity} {rule} {text}")
    assert errors == []
    # A difference that is none any more goes from the list above.
    if name == "pkilint":
        assert used == set(DIFFERENCES)


def test_a_linter_finds_what_is_wrong(linters: dict[str, Linter | str], tmp_path: Path) -> None:
    """Or a linter that says nothing would pass for one that found nothing."""
    wrong = tmp_path / "leaf-wrong.pem"
    # A serial of 21 octets (RFC 5280 section 4.1.2.2), and a leaf that may sign certificates.
    done = run(
        *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"),
        *("-keyout", os.devnull, "-subj", "/CN=x", "-days", "9", "-set_serial", "0x" + "7f" * 21, "-out", wrong),
        *("-addext", "keyUsage=keyCertSign", "-addext", "basicConstraints=CA:FALSE"),
    )
    assert done.returncode == 0, done.stderr
    tried = 0
    for name in ("zlint", "pkilint"):
        lint = linters[name]
        if not isinstance(lint, str):
            tried += 1
            assert any(severity in ("ERROR", "FATAL") for severity, _, _ in lint(wrong)), name
    if tried == 0:
        pytest.skip("NOT LINTED: neither zlint nor pkilint can be had")


@pytest.mark.parametrize("kind", ["modern", "legacy"])
def test_others_open_our_pkcs12(kind: str, samples: list[Path]) -> None:
    by_name = {file.stem: file for file in samples}
    done = run("openssl", "pkcs12", "-in", by_name[f"p12-{kind}"], "-passin", "pass:secret", "-nodes", "-info")
    assert done.returncode == 0, done.stderr
    assert ("PBES2, PBKDF2, AES-256-CBC" in done.stderr) == (kind == "modern")
    bag = pkcs12.load_pkcs12(by_name[f"p12-{kind}"].read_bytes(), b"secret")
    assert bag.cert and bag.cert.friendly_name == b"alice"
    assert bag.key and bag.cert.certificate.public_key() == bag.key.public_key()
    assert len(bag.additional_certs) == 1


def test_others_open_our_encrypted_key(samples: list[Path]) -> None:
    by_name = {file.stem: file for file in samples}
    key = by_name["key-encrypted"]
    done = run("openssl", "pkey", "-in", key, "-passin", "pass:secret", "-pubout")
    public = run("openssl", "x509", "-in", by_name["alice-of-key"], "-noout", "-pubkey")
    assert done.stdout == public.stdout != ""
    assert run("openssl", "pkey", "-in", key, "-passin", "pass:Secret", "-pubout").returncode != 0
