"""The guides about the CA, word for word: what their shell blocks say is run, and does what the guide says."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from conftest import ROOT, eventually
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from test_ca_commands import Authority, ca_certificate, name, number_of
from test_publish import fetch, is_there, published, serial

GUIDES = ROOT / "docs/guide"


def blocks(guide: str, kind: str = "sh") -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```$", (GUIDES / guide).read_text(), re.DOTALL | re.MULTILINE)


@pytest.fixture
def shell(program, tmp_path):
    """Runs a block in a folder with `handclasp` in the PATH; returns what it printed."""
    for tool in ("sqlite3", "openssl", "tar"):
        if not shutil.which(tool):
            pytest.skip(f"{tool} is not installed")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/handclasp").symlink_to(shutil.which(program.binary))
    env = program.environment()
    env["PATH"] = f"{tmp_path / 'bin'}:{env['PATH']}"

    def run(block: str, folder: Path = tmp_path) -> str:
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", block], cwd=folder, env=env, capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0, block + done.stdout + done.stderr
        return done.stdout

    return run


def test_your_own_ca_in_ten_minutes(program, shell, tmp_path):
    said = [shell(block) for block in blocks("your-own-ca-in-ten-minutes.md")]
    authority = Authority(program, tmp_path / ".handclasp")
    assert [(ca["role"], ca["key_file"]) for ca in authority.cas()] == [("active", "encrypted"), ("old", "encrypted")]
    assert "passphrase, shown this once" in "".join(said)
    statuses = {who: authority.show(who)["status"] for who in authority.names()}
    assert statuses == {"alice": "active", "bob": "revoked", "meter-17": "active"}
    authority.certificate("alice-2").verify_directly_issued_by(authority.issuer())


def test_under_the_companys_ca(program, shell, tmp_path):
    key = ec.generate_private_key(ec.SECP384R1())
    root = ca_certificate(key, name("Company root"), key, name("Company root"), None)
    (tmp_path / "root.pem").write_bytes(root.public_bytes(serialization.Encoding.PEM))
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (tmp_path / "root.key").write_bytes(pem)
    for block in blocks("under-the-companys-ca.md"):
        shell(block)
    authority = Authority(program, tmp_path / ".handclasp")
    assert authority.roles() == ["active"]
    assert authority.issuer().subject == name("Shop clients CA")
    authority.issuer().verify_directly_issued_by(root)
    assert authority.run(authority.state / "clients/alice-2.pem", command="explain").returncode == 0
    assert authority.run(authority.state / "clients/alice.pem", command="explain").returncode == 1


def test_backed_up_and_put_back_the_clients_come_in_and_the_revoked_do_not(server, program, shell, tmp_path):
    (backup,) = blocks("back-up-and-restore.md", "sh backup")
    (restore,) = blocks("back-up-and-restore.md", "sh restore")
    authority = Authority(program, tmp_path / ".handclasp")
    hosts = ["--host", "localhost", "--client", "alice", "--client", "bob", "--client", "carol"]
    assert program.run("init", "--state", authority.state, *hosts).returncode == 0
    authority.do("revoke", "bob")
    with server(state=authority.state) as running:
        is_there(running, authority)
        shell(backup)
        authority.do("revoke", "carol")
        both = {serial(authority, "bob"), serial(authority, "carol")}
        eventually(lambda: published(running, authority) == both, "carol's revocation", 5)
        last = number_of(fetch(running, authority))
    before = {path.name: path.read_bytes() for path in (authority.state / "ca").iterdir()}
    shutil.move(authority.state, tmp_path / "lost")
    assert "carol" in shell(restore)
    assert {name: (authority.state / "ca" / name).read_bytes() for name in before} == before
    assert (authority.state / "ca/ca.key").stat().st_mode & 0o777 == 0o600
    with server(state=authority.state) as running:
        is_there(running, authority)
        assert running.request("/", client="alice").status == 200
        assert running.request("/", client="bob").status == 403
        assert running.request("/", client="carol").status == 200, "what happened since the backup is forgotten"
        authority.do("revoke", "carol")
        eventually(lambda: published(running, authority) == both, "carol's revocation", 5)
        assert number_of(fetch(running, authority)) > last


def test_a_registry_put_back_under_a_running_server_is_noticed(server, program, shell, tmp_path):
    (backup,) = blocks("back-up-and-restore.md", "sh backup")
    (restore,) = blocks("back-up-and-restore.md", "sh restore")
    authority = Authority(program, tmp_path / ".handclasp")
    words = ["--host", "localhost", "--client", "alice", "--client", "bob"]
    assert program.run("init", "--state", authority.state, *words).returncode == 0
    with server(state=authority.state) as running:
        is_there(running, authority)
        shell(backup)
        authority.do("revoke", "bob")
        eventually(lambda: running.request("/", client="bob").status == 403, "bob is out", 5)
        eventually(lambda: published(running, authority) == {serial(authority, "bob")}, "the revocation", 5)
        last = number_of(fetch(running, authority))
        shell(restore)
        eventually(lambda: running.request("/", client="bob").status == 200, "the registry of before", 10)
        eventually(lambda: published(running, authority) == set(), "its list", 10)
        assert number_of(fetch(running, authority)) > last
