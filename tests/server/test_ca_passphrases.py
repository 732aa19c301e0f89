"""The CA's passphrase, and PKCS#12: what is encrypted, by what, and that nothing of it is shown."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from conftest import eventually
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.serialization import pkcs12
from test_ca_commands import Authority


@pytest.fixture
def authority(program, tmp_path) -> Authority:
    found = Authority(program, tmp_path / "s")
    assert program.run("init", "--state", found.state, "--client", "alice").returncode == 0
    return found


# --- the passphrase ---


@pytest.fixture
def passphrase(tmp_path) -> Path:
    path = tmp_path / "passphrase"
    path.write_text("correct horse battery\n")
    path.chmod(0o600)
    return path


def test_an_encrypted_ca_signs_with_its_passphrase_alone(program, tmp_path, passphrase):
    state = tmp_path / "s"
    init = ["init", "--state", state, "--client", "alice", "--ca-passphrase-file", passphrase]
    assert program.run(*init).returncode == 0
    authority = Authority(program, state)
    assert b"ENCRYPTED" in (state / "ca/ca.key").read_bytes()
    assert b"ENCRYPTED" not in (state / "clients/alice.key").read_bytes()
    assert authority.cas()[0]["key_file"] == "encrypted"
    assert "passphrase" in authority.refuse("issue", "bob")
    wrong = tmp_path / "wrong"
    wrong.write_text("wrong")
    wrong.chmod(0o600)
    authority.refuse("issue", "bob", "--ca-passphrase-file", wrong)
    authority.do("issue", "bob", "--ca-passphrase-file", passphrase)
    config = state / "handclasp.yaml"
    config.write_text(config.read_text() + f"ca-passphrase-file: {passphrase}\n")
    authority.do("issue", "carol")
    authority.do("renew", "bob")
    authority.crl()
    authority.ca("rotate")
    assert [ca["key_file"] for ca in authority.cas()] == ["encrypted", "encrypted"]


def test_beside_an_encrypted_key_no_new_one_is_left_in_the_clear(authority, passphrase, tmp_path):
    authority.ca("encrypt", "--new-passphrase-file", passphrase)
    other = tmp_path / "other"
    other.write_text("another one")
    other.chmod(0o600)
    made = Authority(authority.program, tmp_path / "elsewhere")
    assert authority.program.run("init", "--state", made.state).returncode == 0
    take = ["import", made.state / "ca/ca.pem", "--key", made.state / "ca/ca.key"]
    before = sorted(path.name for path in (authority.state / "ca").iterdir())
    for words in ["rotate"], take, ["csr", "--name", "Shop CA"]:
        assert "a passphrase is wanted" in authority.ca(*words, code=1)
        assert "does not open" in authority.ca(*words, "--ca-passphrase-file", other, code=1)
    assert sorted(path.name for path in (authority.state / "ca").iterdir()) == before
    authority.ca(*take, "--ca-passphrase-file", passphrase)
    assert {ca["key_file"] for ca in authority.cas()} == {"encrypted"}


def test_a_passphrase_comes_as_a_systemd_credential(authority, program, passphrase, tmp_path):
    authority.ca("encrypt", "--new-passphrase-file", passphrase)
    assert "passphrase" in authority.refuse("issue", "bob")
    shutil.copy(passphrase, tmp_path / "handclasp-ca-passphrase")
    env = program.environment(CREDENTIALS_DIRECTORY=str(tmp_path))
    assert authority.run("issue", "bob", env=env).returncode == 0


def test_a_passphrase_that_others_can_read_is_refused(authority, passphrase):
    passphrase.chmod(0o644)
    assert "chmod 600" in authority.ca("encrypt", "--new-passphrase-file", passphrase, code=1)
    assert authority.cas()[0]["key_file"] == "plain"


def test_keys_are_encrypted_and_the_passphrase_is_changed(authority, passphrase, tmp_path):
    authority.ca("rotate")
    authority.ca("encrypt", "--new-passphrase-file", passphrase)
    assert [ca["key_file"] for ca in authority.cas()] == ["encrypted", "encrypted"]
    new = tmp_path / "new"
    new.write_text("another one")
    new.chmod(0o600)
    assert "passphrase" in authority.ca("encrypt", "--new-passphrase-file", new, code=1)
    authority.ca("encrypt", "--new-passphrase-file", new, "--ca-passphrase-file", passphrase)
    authority.do("issue", "bob", "--ca-passphrase-file", new)
    for stem in ("ca", "old-1"):
        key = serialization.load_pem_private_key((authority.state / f"ca/{stem}.key").read_bytes(), b"another one")
        assert key.public_key() == authority.issuer(stem).public_key()


@pytest.mark.parametrize("words", [["client", "issue", "bob"], ["ca", "rotate"], ["ca", "crl"], ["init"]])
def test_a_command_with_the_cas_key_shows_nothing_of_it(authority, program, passphrase, words):
    authority.ca("encrypt", "--new-passphrase-file", passphrase)
    folder = os.open(authority.state, os.O_RDONLY | os.O_DIRECTORY)
    fcntl.flock(folder, fcntl.LOCK_EX)  # what they wait for
    line = [program.binary, *words, "--state", authority.state, "--ca-passphrase-file", passphrase]
    with subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=program.environment()) as running:
        proc = Path(f"/proc/{running.pid}")
        eventually(lambda: re.search(r"Max core file size +0 +0 ", (proc / "limits").read_text()), "no core")
        for file in "cmdline", "environ":
            assert b"correct horse" not in (proc / file).read_bytes()
        os.close(folder)
        said = running.communicate(timeout=30)[0]
    assert running.returncode == 0, said
    assert b"correct horse" not in said


# --- PKCS#12 ---


def test_a_key_and_its_certificate_are_exported_as_pkcs12(authority, tmp_path):
    path = tmp_path / "alice.p12"
    said = authority.json("export", "alice", "--p12", path)
    key, certificate, others = pkcs12.load_key_and_certificates(path.read_bytes(), said["passphrase"].encode())
    assert certificate == authority.certificate("alice")
    assert key.public_key() == certificate.public_key()
    assert others == [authority.issuer()]
    assert path.stat().st_mode & 0o777 == 0o600
    assert len(said["passphrase"]) == 23
    info = subprocess.run(
        ["openssl", "pkcs12", "-in", path, "-info", "-noout", "-passin", f"pass:{said['passphrase']}"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "PBES2" in info.stderr
    assert "sha1" not in info.stderr.lower()


def test_a_passphrase_of_a_file_is_used_and_not_shown(authority, passphrase, tmp_path):
    said = authority.do("export", "alice", "--p12", tmp_path / "a.p12", "--passphrase-file", passphrase)
    assert "correct horse" not in said
    assert "passphrase" not in said.replace(str(tmp_path), "")
    assert pkcs12.load_key_and_certificates((tmp_path / "a.p12").read_bytes(), b"correct horse battery")[0]


def test_old_phones_get_an_old_file_where_that_is_asked_for(authority, passphrase, tmp_path):
    path = tmp_path / "a.p12"
    done = authority.run("export", "alice", "--p12", path, "--legacy", "--passphrase-file", passphrase)
    if done.returncode:  # OpenSSL was built without them
        pytest.skip(done.stderr)
    assert pkcs12.load_key_and_certificates(path.read_bytes(), b"correct horse battery")[0]


def test_after_a_rotation_the_file_has_the_ca_that_issued_it(authority, passphrase, tmp_path):
    before = authority.issuer()
    authority.ca("rotate")
    authority.do("issue", "carol")
    for who, issuer in ("alice", before), ("carol", authority.issuer()):
        path = tmp_path / f"{who}.p12"
        authority.do("export", who, "--p12", path, "--passphrase-file", passphrase)
        assert pkcs12.load_key_and_certificates(path.read_bytes(), b"correct horse battery")[2] == [issuer]


def test_without_its_key_there_is_no_pkcs12(authority, tmp_path):
    (authority.state / "clients/alice.key").unlink()
    assert "no key" in authority.refuse("export", "alice", "--p12", tmp_path / "a.p12")
    assert not (tmp_path / "a.p12").exists()
    authority.refuse("export", "alice", "--legacy", code=2)


def test_of_two_keys_the_serial_says_which_is_exported(authority, passphrase, tmp_path):
    authority.do("renew", "alice")
    words = ["--p12", tmp_path / "a.p12", "--passphrase-file", passphrase]
    assert "by its serial" in authority.refuse("export", "alice", *words, code=2)
    authority.do("export", f"serial:{authority.certificate('alice-2').serial_number:x}", *words)
    found = pkcs12.load_key_and_certificates((tmp_path / "a.p12").read_bytes(), b"correct horse battery")
    assert found[1] == authority.certificate("alice-2")
