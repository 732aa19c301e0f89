"""`handclasp ca …`, `client renew` and `client export --p12`: what is issued, for whom, and what a kill leaves."""

from __future__ import annotations

import datetime
import fcntl
import json
import os
import random
import shutil
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import eventually
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from test_client_commands import Clients
from test_registry_kills import Kills, assert_consistent, assert_files_on_record

KILLS = int(os.environ.get("HANDCLASP_KILLS", "330" if os.environ.get("CI") else "110"))
PEM = serialization.Encoding.PEM
PLAIN = (PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())


class Authority(Clients):
    def ca(self, *args: object, code: int = 0, **options) -> str:
        done = self.run(*args, command="ca", **options)
        assert done.returncode == code, done.stdout + done.stderr
        if code:
            assert done.stderr.count("\n") == 1, done.stderr
        return done.stderr if code else done.stdout

    def cas(self) -> list[dict]:
        return json.loads(self.ca("show", "--json"))["cas"]

    def roles(self) -> list[str]:
        return [ca["role"] for ca in self.cas()]

    def issuer(self, stem: str = "ca") -> x509.Certificate:
        return x509.load_pem_x509_certificate((self.state / f"ca/{stem}.pem").read_bytes())

    def crl(self, *args: object, stem: str = "ca") -> x509.CertificateRevocationList:
        path = self.state.parent / "made.crl"
        self.ca("crl", "--out", path, *args)
        found = x509.load_der_x509_crl(path.read_bytes())
        assert found.is_signature_valid(self.issuer(stem).public_key())
        return found

    def revoked(self, *args: object, stem: str = "ca") -> set[int]:
        return {entry.serial_number for entry in self.crl(*args, stem=stem)}


def name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def waiting_for_locks() -> str:
    return "".join(line for line in Path("/proc/locks").read_text().splitlines(True) if "->" in line)


def request_for(path: Path, key=None, *, subject: str = "somebody", extensions=()) -> Path:
    key = key or ec.generate_private_key(ec.SECP256R1())
    builder = x509.CertificateSigningRequestBuilder().subject_name(name(subject))
    for extension in extensions:
        builder = builder.add_extension(extension, critical=True)
    path.write_bytes(builder.sign(key, hashes.SHA256()).public_bytes(PEM))
    return path


def load(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


def number_of(crl: x509.CertificateRevocationList) -> int:
    return crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number


@pytest.fixture
def authority(program, tmp_path) -> Authority:
    found = Authority(program, tmp_path / "s")
    assert program.run("init", "--state", found.state, "--client", "alice").returncode == 0
    return found


@pytest.fixture
def company(tmp_path) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    """A root that signs CAs."""
    key = ec.generate_private_key(ec.SECP384R1())
    return ca_certificate(key, name("Company root"), key, name("Company root"), None), key


def ca_certificate(key, subject, issuer_key, issuer, length, **options) -> x509.Certificate:
    now = datetime.datetime.now(datetime.UTC)
    usage = dict.fromkeys(
        ["digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
         "encipher_only", "decipher_only"],
        False,
    )  # fmt: skip
    public = key if options.get("public") else key.public_key()
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=options.get("days", 1000)))
        .add_extension(x509.BasicConstraints(options.get("is_ca", True), length), critical=True)
        .add_extension(x509.KeyUsage(key_cert_sign=True, crl_sign=True, **usage), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False)
        .sign(issuer_key, hashes.SHA256())
    )


# --- ca show ---


def test_the_ca_is_shown_with_its_key_and_what_it_issued(authority):
    (ca,) = authority.cas()
    assert (ca["ca"], ca["role"], ca["key_file"], ca["certificates"]) == ("ca/ca", "active", "plain", 1)
    assert ca["key"]["curve"] == "prime256v1"
    authority.do("issue", "bob")
    authority.do("revoke", "alice")
    assert [ca["certificates"] for ca in authority.cas()] == [1]
    assert "active, key plain, 1 certificate in force" in authority.ca("show")
    (authority.state / "ca/ca.key").rename(authority.state.parent / "away.key")
    assert authority.cas()[0]["key_file"] == "away"


def test_without_a_ca_showing_one_says_what_to_do(program, tmp_path):
    done = program.run("ca", "show", "--state", tmp_path / "none")
    assert done.returncode == 1
    assert "handclasp init" in done.stderr
    assert not (tmp_path / "none").exists()


def test_without_a_registry_the_ca_is_shown_without_numbers(program, tmp_path):
    state = tmp_path / "s"
    assert program.run("init", "--state", state).returncode == 0
    (state / "handclasp.yaml").write_text("registry: none\n")
    assert Authority(program, state).cas()[0]["certificates"] is None


# --- ca sign ---


def test_a_request_is_signed_for_a_client_on_record(authority, tmp_path):
    key = ec.generate_private_key(ec.SECP256R1())
    request = request_for(tmp_path / "r.csr", key, subject="mallory")
    authority.ca("sign", request, "--name", "alice", "--out", tmp_path / "a.pem", "--days", 30)
    made = load(tmp_path / "a.pem")
    assert made.subject == name("alice")
    assert made.public_key() == key.public_key()
    made.verify_directly_issued_by(authority.issuer())
    assert 30 <= (made.not_valid_after_utc - made.not_valid_before_utc).total_seconds() / 86400 < 30.1
    row = authority.show("alice")["certificates"][-1]
    assert int(row["serial"]["hex"], 16) == made.serial_number
    assert row["origin"] == "signed"
    assert authority.do("export", f"serial:{row['serial']['hex']}").encode() == (tmp_path / "a.pem").read_bytes()


def test_the_same_request_again_gives_the_same_certificate(authority, tmp_path):
    request = request_for(tmp_path / "r.csr")
    authority.ca("sign", request, "--name", "alice", "--out", tmp_path / "a.pem")
    authority.ca("sign", request, "--name", "alice", "--out", tmp_path / "a.pem")
    authority.ca("sign", request, "--name", "alice", "--out", tmp_path / "b.pem")
    assert (tmp_path / "a.pem").read_bytes() == (tmp_path / "b.pem").read_bytes()
    assert len(authority.show("alice")["certificates"]) == 2


def test_nothing_that_a_request_asks_for_is_copied(authority, tmp_path):
    wishes = [
        x509.BasicConstraints(True, None),
        x509.SubjectAlternativeName([x509.DNSName("bank.example"), x509.RFC822Name("root@bank.example")]),
        x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]),
    ]
    request = request_for(tmp_path / "r.csr", extensions=wishes)
    authority.ca("sign", request, "--name", "alice", "--out", tmp_path / "a.pem")
    made = load(tmp_path / "a.pem")
    assert not made.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    usage = made.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usage) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    with pytest.raises(x509.ExtensionNotFound):
        made.extensions.get_extension_for_class(x509.SubjectAlternativeName)


def test_names_are_those_that_the_operator_gives(authority, tmp_path):
    request = request_for(tmp_path / "r.csr")
    sans = ["--san", "DNS:pump.example", "--san", "IP:192.0.2.7", "--san", "URI:spiffe://example/pump"]
    authority.ca("sign", request, "--name", "alice", "--profile", "device", "--out", tmp_path / "a.pem", *sans)
    found = load(tmp_path / "a.pem").extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert found.get_values_for_type(x509.DNSName) == ["pump.example"]
    assert [str(ip) for ip in found.get_values_for_type(x509.IPAddress)] == ["192.0.2.7"]
    assert found.get_values_for_type(x509.UniformResourceIdentifier) == ["spiffe://example/pump"]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--san", "DNS:pump.example"], "no alternative name of the kind DNS"),
        (["--san", "pump.example"], "--san pump.example"),
        (["--san", "DNS:-.example", "--profile", "device"], "--san"),
        (["--profile", "nobody"], "there is no profile nobody"),
    ],
)
def test_a_wrong_name_or_profile_signs_nothing(authority, tmp_path, words, says):
    request = request_for(tmp_path / "r.csr")
    done = authority.run("sign", request, "--name", "alice", "--out", tmp_path / "a.pem", *words, command="ca")
    assert done.returncode in (1, 2)
    assert says in done.stderr
    assert not (tmp_path / "a.pem").exists()
    assert len(authority.show("alice")["certificates"]) == 1


def test_a_key_of_another_client_is_refused(authority, tmp_path):
    authority.do("issue", "bob")
    key = serialization.load_pem_private_key((authority.state / "clients/bob.key").read_bytes(), None)
    request = request_for(tmp_path / "r.csr", key)
    said = authority.ca("sign", request, "--name", "alice", "--out", tmp_path / "a.pem", code=1)
    assert "on record with bob" in said
    assert not (tmp_path / "a.pem").exists()


def test_a_key_whose_certificate_was_revoked_is_refused(authority, tmp_path):
    request = request_for(tmp_path / "r.csr")
    authority.ca("sign", request, "--name", "alice", "--out", tmp_path / "a.pem")
    authority.do("revoke", f"serial:{load(tmp_path / 'a.pem').serial_number:x}")
    said = authority.ca("sign", request, "--name", "alice", "--out", tmp_path / "b.pem", code=1)
    assert "was revoked" in said
    assert not (tmp_path / "b.pem").exists()


@pytest.mark.parametrize("file", ["ca/ca.key", "ca/old-1.key", "ca/request.key", "server/server.key"])
def test_the_cas_and_the_servers_own_keys_are_refused(authority, tmp_path, file):
    authority.ca("rotate")
    authority.ca("csr", "--name", "Sub", "--out", tmp_path / "sub.csr")
    key = serialization.load_pem_private_key((authority.state / file).read_bytes(), None)
    request = request_for(tmp_path / "r.csr", key)
    said = authority.ca("sign", request, "--name", "alice", "--out", tmp_path / "a.pem", code=1)
    assert "own key" in said
    assert not (tmp_path / "a.pem").exists()
    assert len(authority.show("alice")["certificates"]) == 1


def test_a_weak_key_and_a_forged_request_are_refused(authority, tmp_path):
    weak = request_for(tmp_path / "weak.csr", rsa.generate_private_key(65537, 1024))
    authority.ca("sign", weak, "--name", "alice", "--out", tmp_path / "a.pem", code=1)
    der = bytearray(x509.load_pem_x509_csr(request_for(tmp_path / "r.csr").read_bytes()).public_bytes(
        serialization.Encoding.DER))  # fmt: skip
    der[-1] ^= 1
    (tmp_path / "forged.csr").write_bytes(der)
    authority.ca("sign", tmp_path / "forged.csr", "--name", "alice", "--out", tmp_path / "a.pem", code=1)
    (tmp_path / "none.csr").write_text("hello")
    authority.ca("sign", tmp_path / "none.csr", "--name", "alice", "--out", tmp_path / "a.pem", code=1)
    assert not (tmp_path / "a.pem").exists()
    assert len(authority.show("alice")["certificates"]) == 1


def test_a_record_is_made_only_where_that_is_asked_for(authority, tmp_path):
    request = request_for(tmp_path / "r.csr")
    assert "--create" in authority.ca("sign", request, "--name", "pump", "--out", tmp_path / "a.pem", code=1)
    assert authority.names() == ["alice"]
    authority.ca("sign", request, "--name", "pump", "--create", "--out", tmp_path / "a.pem")
    assert authority.names() == ["alice", "pump"]


@pytest.mark.parametrize("status", ["suspend", "revoke"])
def test_nothing_is_signed_for_a_record_that_is_not_active(authority, tmp_path, status):
    authority.do(status, "alice")
    request = request_for(tmp_path / "r.csr")
    authority.ca("sign", request, "--name", "alice", "--out", tmp_path / "a.pem", code=1)
    assert not (tmp_path / "a.pem").exists()


def test_a_file_that_says_something_else_is_not_overwritten(authority, tmp_path):
    (tmp_path / "a.pem").write_text("precious")
    request = request_for(tmp_path / "r.csr")
    assert "says something else" in authority.ca(
        "sign", request, "--name", "alice", "--out", tmp_path / "a.pem", code=1
    )
    assert (tmp_path / "a.pem").read_text() == "precious"


# --- profiles ---


def test_a_dash_is_no_name_of_a_file_to_write(authority, tmp_path):
    request = request_for(tmp_path / "r.csr")
    for words in ["crl"], ["csr", "--name", "Sub"], ["sign", request, "--name", "alice"]:
        assert "not standard output" in authority.ca(*words, "--out", "-", code=2, cwd=tmp_path)
    done = authority.run("export", "alice", "--p12", "-", cwd=tmp_path)
    assert (done.returncode, "not standard output" in done.stderr) == (2, True), done.stderr
    assert not (tmp_path / "-").exists()


@pytest.mark.parametrize("kind", ["device", "pipe", "link"])
def test_what_is_no_regular_file_is_not_replaced(authority, tmp_path, kind):
    target = tmp_path / "target"
    if kind == "device":
        if os.getuid() != 0:
            pytest.skip("only root makes devices")
        os.mknod(target, 0o600 | stat.S_IFCHR, os.makedev(1, 3))  # as /dev/null is
    elif kind == "pipe":
        os.mkfifo(target)
    else:
        target.symlink_to(tmp_path / "elsewhere")
    before = target.lstat()
    request = request_for(tmp_path / "r.csr")
    for words in ["crl"], ["csr", "--name", "Sub"], ["sign", request, "--name", "alice"]:
        assert "no regular file" in authority.ca(*words, "--out", target, code=2)
    assert "no regular file" in authority.refuse("export", "alice", "--p12", target, code=2)
    assert target.lstat() == before
    assert not (tmp_path / "elsewhere").exists()


def test_profiles_come_from_the_servers_configuration(authority):
    config = authority.state / "handclasp.yaml"
    config.write_text(
        config.read_text() + "profiles:\n  meter:\n    like: device\n    keys: [ed25519]\n    lifetime: 10d\n"
        "    subject: CN={name}, OU=Meters\n    crl-url: http://pki.example/ca.crl\n"
    )
    authority.do("issue", "m1", "--profile", "meter", "--san", "DNS:m1.example")
    made = authority.certificate("m1")
    assert made.subject.rfc4514_string() == "CN=m1,OU=Meters"
    assert 10 <= (made.not_valid_after_utc - made.not_valid_before_utc).total_seconds() / 86400 < 10.1
    (point,) = made.extensions.get_extension_for_class(x509.CRLDistributionPoints).value
    assert point.full_name[0].value == "http://pki.example/ca.crl"
    assert b"BEGIN PRIVATE KEY" in (authority.state / "clients/m1.key").read_bytes()
    assert made.public_key_algorithm_oid == x509.oid.PublicKeyAlgorithmOID.ED25519


# --- renew ---


def test_a_renewed_certificate_replaces_one_that_stays_good(authority):
    old = authority.certificate("alice")
    made = authority.json("renew", "alice")["made"]
    assert made == ["clients/alice-2.key", "clients/alice-2.pem"]
    new = authority.certificate("alice-2")
    assert new.subject == old.subject
    assert new.public_key() != old.public_key()
    first, second = authority.show("alice")["certificates"]
    assert (first["status"], second["status"]) == ("active", "active")
    assert (first["replaces"], second["replaces"]) == (None, authority.sql("SELECT min(id) FROM certificate")[0][0])


def test_renewed_twice_nothing_is_made_until_the_old_one_is_gone(authority):
    authority.do("renew", "alice")
    assert authority.json("renew", "alice")["made"] == []
    serial = f"serial:{authority.certificate('alice').serial_number:x}"
    assert authority.json("renew", serial)["made"] == []
    authority.do("revoke", serial)
    assert authority.json("renew", "alice")["made"] == ["clients/alice-3.key", "clients/alice-3.pem"]
    assert "was revoked" in authority.refuse("renew", serial)


def test_of_several_certificates_the_serial_says_which_is_renewed(authority):
    authority.do("issue", "alice", "--another")
    assert "name the one to renew by its serial" in authority.refuse("renew", "alice", code=2)
    serial = f"serial:{authority.certificate('alice-2').serial_number:x}"
    assert authority.json("renew", serial)["made"] == ["clients/alice-3.key", "clients/alice-3.pem"]


def test_alternative_names_are_renewed_too(authority):
    authority.do("issue", "pump", "--profile", "device", "--san", "DNS:pump.example")
    authority.do("renew", "pump", "--profile", "device")
    found = authority.certificate("pump-2").extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert found.get_values_for_type(x509.DNSName) == ["pump.example"]


def test_who_is_unknown_or_suspended_is_not_renewed(authority):
    authority.refuse("renew", "nobody")
    authority.do("suspend", "alice")
    assert "resume" in authority.refuse("renew", "alice")


# --- crl ---


def test_the_list_has_every_revoked_certificate_of_the_ca_with_its_reason(authority):
    assert authority.revoked() == set()
    authority.do("issue", "bob")
    authority.do("issue", "carol")
    authority.do("revoke", "alice", "--reason", "keyCompromise")
    authority.do("revoke", "bob")
    crl = authority.crl()
    alice, bob = (authority.certificate(who).serial_number for who in ("alice", "bob"))
    assert {entry.serial_number for entry in crl} == {alice, bob}
    entry = crl.get_revoked_certificate_by_serial_number(alice)
    assert entry.extensions.get_extension_for_class(x509.CRLReason).value.reason == x509.ReasonFlags.key_compromise
    key_id = authority.issuer().extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
    assert crl.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier == key_id


def test_each_list_has_a_greater_number_and_a_row_in_the_audit(authority):
    numbers = [number_of(authority.crl()) for _ in range(3)]
    assert numbers == sorted(set(numbers))
    rows = authority.audit("--action", "crl.make")
    assert [row["now"]["number"] for row in rows] == numbers[::-1]


def test_the_number_does_not_go_back_with_the_registry(authority, tmp_path):
    authority.crl()
    shutil.copy(authority.state / "registry.db", tmp_path / "backup.db")
    last = max(number_of(authority.crl()) for _ in range(2))
    shutil.copy(tmp_path / "backup.db", authority.state / "registry.db")
    assert number_of(authority.crl()) > last


def test_a_list_is_good_for_as_long_as_was_asked(authority):
    crl = authority.crl("--crl-days", 3)
    assert crl.next_update_utc - crl.last_update_utc == datetime.timedelta(days=3)
    assert (lambda c: c.next_update_utc - c.last_update_utc)(authority.crl()) == datetime.timedelta(days=7)
    config = authority.state / "handclasp.yaml"
    config.write_text(config.read_text() + "crl-days: 2\n")
    assert (lambda c: c.next_update_utc - c.last_update_utc)(authority.crl()) == datetime.timedelta(days=2)


def test_two_who_write_one_list_do_it_one_after_the_other(authority, program, tmp_path):
    line = ["ca", "crl", "--state", authority.state, "--out", tmp_path / "a.crl"]
    with open(tmp_path / "a.crl.tmp", "wb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with subprocess.Popen([program.binary, *line], env=program.environment()) as running:
            eventually(lambda: f" {running.pid} " in waiting_for_locks(), "it waits")
            other.write(b"of the other")
            other.flush()
            os.rename(tmp_path / "a.crl.tmp", tmp_path / "a.crl")
            fcntl.flock(other, fcntl.LOCK_UN)
            assert running.wait(timeout=30) == 0
    assert number_of(x509.load_der_x509_crl((tmp_path / "a.crl").read_bytes())) > 0
    assert [path.name for path in tmp_path.glob("a.crl*")] == ["a.crl"]


def test_what_a_killed_process_left_of_a_list_is_removed(authority, tmp_path):
    (tmp_path / "a.crl.tmp").write_text("half of it")
    authority.ca("crl", "--out", tmp_path / "a.crl")
    assert [path.name for path in tmp_path.glob("a.crl*")] == ["a.crl"]


def test_without_out_the_list_lies_where_the_server_looks(authority):
    authority.ca("crl")
    (path,) = (authority.state / "crl").iterdir()
    key_id = authority.issuer().extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
    assert path.name == f"{key_id.hex()}.crl"
    assert path.stat().st_mode & 0o777 == 0o644


def test_in_pem_openssl_reads_the_list(authority, tmp_path):
    authority.ca("crl", "--pem", "--out", tmp_path / "c.pem")
    done = subprocess.run(
        ["openssl", "crl", "-in", tmp_path / "c.pem", "-CAfile", authority.state / "ca/ca.pem", "-noout"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "verify OK" in done.stderr


def test_without_the_key_there_is_no_list(authority, tmp_path):
    (authority.state / "ca/ca.key").unlink()
    assert "is not here" in authority.ca("crl", "--out", tmp_path / "c.crl", code=1)
    assert not (tmp_path / "c.crl").exists()
    assert authority.audit("--action", "crl.make") == []


# --- rotate, retire ---


def test_after_a_rotation_both_cas_are_trusted_until_the_old_one_is_retired(authority):
    old = authority.issuer()
    authority.ca("rotate", "--name", "Shop CA 2027", "--key", "p-384")
    assert [(ca["ca"], ca["role"], ca["certificates"]) for ca in authority.cas()] == [
        ("ca/ca", "active", 0),
        ("ca/old-1", "old", 1),
    ]
    assert authority.issuer().subject == name("Shop CA 2027")
    assert authority.issuer("old-1") == old
    assert authority.run(authority.state / "clients/alice.pem", command="explain").returncode == 0
    authority.do("renew", "alice")
    authority.certificate("alice-2").verify_directly_issued_by(authority.issuer())
    assert "1 certificates of ca/old-1 are in force" in authority.ca("retire", "old-1", code=1)
    authority.do("revoke", f"serial:{authority.certificate('alice').serial_number:x}")
    assert "handclasp ca retire ca/old-1" in authority.ca("show")
    authority.ca("retire", "old-1")
    assert authority.roles() == ["active"]
    assert authority.run(authority.state / "clients/alice.pem", command="explain").returncode == 1
    assert authority.run(authority.state / "clients/alice-2.pem", command="explain").returncode == 0


def test_who_changed_the_ca_stands_in_the_audit(authority, company, tmp_path):
    root, root_key = company
    authority.ca("rotate", "--name", "Second")
    authority.ca("retire", "old-1", "--force")
    key = ec.generate_private_key(ec.SECP256R1())
    made = ca_certificate(key, name("Third"), root_key, root.subject, 0)
    (tmp_path / "ca.pem").write_bytes(made.public_bytes(PEM) + root.public_bytes(PEM))
    (tmp_path / "ca.key").write_bytes(key.private_bytes(*PLAIN))
    authority.ca("import", tmp_path / "ca.pem", "--key", tmp_path / "ca.key")
    rows = authority.audit("--limit", 3)[::-1]
    assert [row["action"] for row in rows] == ["ca.rotate", "ca.retire", "ca.import"]
    assert [row["certificate"] for row in rows][::2] == ["CN=Second", "CN=Third"]
    assert rows[2]["now"]["sha256"] == made.fingerprint(hashes.SHA256()).hex()
    assert all(row["who"].startswith("uid ") for row in rows)


def test_the_old_ca_still_makes_its_list(authority):
    alice = authority.certificate("alice").serial_number
    authority.ca("rotate")
    authority.do("revoke", "alice")
    assert authority.revoked() == set()
    assert authority.revoked("--ca", "old-1", stem="old-1") == {alice}


@pytest.mark.parametrize("words", [["rotate"], ["import", "{ca}/new.pem", "--key", "{ca}/new.key"]])
def test_the_only_copy_of_a_key_is_not_overwritten(authority, company, words):
    certificate, new_key = company
    folder = authority.state / "ca"
    (folder / "new.pem").write_bytes(certificate.public_bytes(PEM))
    (folder / "new.key").write_bytes(new_key.private_bytes(*PLAIN))
    key = (folder / "ca.key").read_bytes()
    certificate = (folder / "ca.pem").read_bytes()
    (folder / "ca.pem").unlink()
    words = [word.format(ca=folder) for word in words]
    assert "without its certificate" in authority.ca(*words, code=1)
    assert (folder / "ca.key").read_bytes() == key
    (folder / "ca.pem").write_bytes(certificate)
    authority.ca(*words)
    assert (folder / "old-1.key").read_bytes() == key


def test_the_active_ca_is_not_retired(authority):
    authority.ca("retire", "ca", code=2)
    authority.ca("retire", "old-1", code=1)
    assert authority.roles() == ["active"]


# --- csr, import ---


def test_an_intermediate_of_the_companys_root_issues(authority, company, tmp_path):
    root, root_key = company
    authority.ca("csr", "--name", "Shop clients", "--out", tmp_path / "ca.csr")
    request = x509.load_pem_x509_csr((tmp_path / "ca.csr").read_bytes())
    assert request.is_signature_valid
    answer = ca_certificate(request.public_key(), request.subject, root_key, root.subject, 0, public=True)
    (tmp_path / "answer.pem").write_bytes(answer.public_bytes(PEM) + root.public_bytes(PEM))
    authority.ca("import", tmp_path / "answer.pem")
    assert authority.issuer() == answer
    assert authority.roles() == ["active", "old"]
    authority.do("issue", "bob")
    authority.certificate("bob").verify_directly_issued_by(answer)
    for who in ("alice", "bob"):
        assert authority.run(authority.state / f"clients/{who}.pem", command="explain").returncode == 0
    assert not (authority.state / "ca/request.key").exists()


def test_the_same_request_is_made_until_it_is_answered(authority, tmp_path):
    keys = set()
    for n in range(2):
        authority.ca("csr", "--name", "Shop clients", "--out", tmp_path / f"{n}.csr")
        public = x509.load_pem_x509_csr((tmp_path / f"{n}.csr").read_bytes()).public_key()
        keys.add(public.public_bytes(PEM, serialization.PublicFormat.SubjectPublicKeyInfo))
    assert len(keys) == 1
    assert "BEGIN CERTIFICATE REQUEST" in authority.ca("csr", "--name", "Shop clients")
    assert "ca/request.key" in authority.ca("csr", "--name", "Shop clients", "--key", "rsa-2048", code=1)


def test_what_the_companys_root_signed_elsewhere_is_no_client(authority, company, tmp_path):
    root, root_key = company
    key = ec.generate_private_key(ec.SECP256R1())
    ours = ca_certificate(key, name("Shop clients"), root_key, root.subject, 0)
    (tmp_path / "ca.pem").write_bytes(ours.public_bytes(PEM) + root.public_bytes(PEM))
    (tmp_path / "ca.key").write_bytes(key.private_bytes(*PLAIN))
    authority.ca("import", tmp_path / "ca.pem", "--key", tmp_path / "ca.key")
    laptop = ca_certificate(ec.generate_private_key(ec.SECP256R1()), name("laptop"), root_key, root.subject, 0)
    (tmp_path / "laptop.pem").write_bytes(laptop.public_bytes(PEM))
    done = authority.run(tmp_path / "laptop.pem", command="explain")
    assert done.returncode == 1
    assert "untrusted-issuer" in done.stdout


@pytest.mark.parametrize("wrong", ["not a CA", "another key", "ended", "not by the root behind it", "no certificate"])
def test_a_ca_that_cannot_be_ours_is_not_imported(authority, company, tmp_path, wrong):
    root, root_key = company
    key, other = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    signer = other if wrong == "not by the root behind it" else root_key
    options = {"is_ca": False} if wrong == "not a CA" else {"days": 0} if wrong == "ended" else {}
    length = None if wrong == "not a CA" else 0
    made = ca_certificate(key, name("Shop clients"), signer, root.subject, length, **options)
    pem = made.public_bytes(PEM) + root.public_bytes(PEM)
    (tmp_path / "ca.pem").write_bytes(b"hello" if wrong == "no certificate" else pem)
    (tmp_path / "ca.key").write_bytes((other if wrong == "another key" else key).private_bytes(*PLAIN))
    before = authority.issuer()
    authority.ca("import", tmp_path / "ca.pem", "--key", tmp_path / "ca.key", code=1)
    assert authority.issuer() == before
    assert authority.roles() == ["active"]


# --- kills ---


def one_signed(authority: Authority) -> None:
    made = load(authority.state / "out.pem")
    (row,) = authority.show("pump")["certificates"]
    assert int(row["serial"]["hex"], 16) == made.serial_number


def one_renewed(authority: Authority) -> None:
    assert len(authority.show("alice")["certificates"]) == 2
    found = sorted(path.name for path in (authority.state / "clients").glob("alice*"))
    assert found == ["alice-2.key", "alice-2.pem", "alice.key", "alice.pem"]


def every_ca_has_its_key(authority: Authority) -> None:
    trusted = x509.load_pem_x509_certificates((authority.state / "ca/trust.pem").read_bytes())
    cas = authority.cas()
    assert {ca["sha256"] if "sha256" in ca else ca["fingerprint_sha256"] for ca in cas} == {
        c.fingerprint(hashes.SHA256()).hex() for c in trusted
    }
    for ca in cas:
        path = authority.state / f"{ca['ca']}.key"
        key = serialization.load_pem_private_key(path.read_bytes(), None)
        assert key.public_key() == load(path.with_suffix(".pem")).public_key()
    assert authority.run(authority.state / "clients/alice.pem", command="explain").returncode == 0


def numbers_grow(authority: Authority) -> None:
    (path,) = (authority.state / "crl").glob("*.crl")
    numbers = [row["now"]["number"] for row in authority.audit("--action", "crl.make")]
    assert numbers == sorted(set(numbers), reverse=True)
    assert number_of(x509.load_der_x509_crl(path.read_bytes())) == numbers[0]


def the_companys_ca_issues(authority: Authority) -> None:
    every_ca_has_its_key(authority)
    assert authority.issuer().subject == name("Sub")
    assert authority.roles() == ["active", "old"]


COMMANDS: dict[str, tuple[list[str], Callable[[Authority], None]]] = {
    "sign": (["ca", "sign", "{seed}/r.csr", "--name", "pump", "--create", "--out", "{state}/out.pem"], one_signed),
    "renew": (["client", "renew", "alice"], one_renewed),
    "rotate": (["ca", "rotate"], every_ca_has_its_key),
    "import": (["ca", "import", "{seed}/sub.pem", "--key", "{seed}/sub.key"], the_companys_ca_issues),
    "crl": (["ca", "crl"], numbers_grow),
}


@pytest.fixture(scope="module")
def seed(program, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("ca-kills")
    assert program.run("init", "--state", folder / "s", "--client", "alice", "--client", "bob").returncode == 0
    assert program.run("client", "revoke", "bob", "--state", folder / "s").returncode == 0
    request_for(folder / "r.csr")
    key, root_key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    sub = ca_certificate(key, name("Sub"), root_key, name("Root"), 0)
    root = ca_certificate(root_key, name("Root"), root_key, name("Root"), None)
    (folder / "sub.pem").write_bytes(sub.public_bytes(PEM) + root.public_bytes(PEM))
    (folder / "sub.key").write_bytes(key.private_bytes(*PLAIN))
    return folder


@pytest.mark.parametrize("what", COMMANDS)
def test_killed_at_any_moment_the_next_run_ends_with_one_outcome(program, seed, tmp_path, what):
    words, outcome = COMMANDS[what]
    chance = random.Random(what)
    kills = Kills(program, chance)
    turns = max(1, KILLS // len(COMMANDS))
    for turn in range(turns):
        state = tmp_path / f"s{turn}"
        shutil.copytree(seed / "s", state)
        authority = Authority(program, state)
        line = [w.format(state=state, seed=seed) for w in words] + ["--state", str(state)]
        kills.strike(line)
        assert_files_on_record(authority)
        done = program.run(*line)
        assert done.returncode == 0, done.stderr
        outcome(authority)
        assert_consistent(authority)
        assert_files_on_record(authority)
        assert not [p for p in state.rglob("*") if p.suffix in (".new", ".tmp")]
    kills.assert_most_fell_within()


def test_killed_while_a_ca_is_retired_the_next_run_ends_it(program, seed, tmp_path):
    kills = Kills(program, random.Random("retire"))
    for turn in range(max(1, KILLS // len(COMMANDS))):
        state = tmp_path / f"s{turn}"
        shutil.copytree(seed / "s", state)
        authority = Authority(program, state)
        authority.ca("rotate")
        line = ["ca", "retire", "old-1", "--force", "--state", str(state)]
        kills.strike(line)
        done = program.run(*line)
        assert done.returncode == 0, done.stderr
        assert authority.roles() == ["active"]
        assert x509.load_pem_x509_certificates((state / "ca/trust.pem").read_bytes()) == [authority.issuer()]
        assert sorted(path.name for path in (state / "ca").glob("*-1.*")) == ["retired-1.key", "retired-1.pem"]
        assert authority.audit("--action", "ca.retire")
    kills.assert_most_fell_within()


FORWARDED = """
import sys, time, urllib.parse
from pathlib import Path
from handclasp.forwarded import ForwardedClientCertificate

state = Path(sys.argv[1])

def app(environ, start_response):
    start_response("200 OK", [])
    return [b"ok"]

behind = ForwardedClientCertificate(app, form="nginx", trusted=["127.0.0.1"], state=state, client_cert="required")

def status(who):
    said = []
    certificate = (state / f"clients/{who}.pem").read_text()
    environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/", "REMOTE_ADDR": "127.0.0.1", "wsgi.url_scheme": "https",
               "HTTP_X_SSL_CLIENT_CERT": urllib.parse.quote(certificate), "HTTP_X_SSL_CLIENT_VERIFY": "SUCCESS"}
    list(behind(environ, lambda status, headers, *rest: said.append(status[:3])))
    return said[0]

for line in sys.stdin:
    who, wanted = line.split()
    end = time.monotonic() + 15
    while (found := status(who)) != wanted and time.monotonic() < end:
        time.sleep(0.05)
    print(found, flush=True)
"""


def test_behind_another_terminator_a_rotation_is_taken_over_too(authority, program, tmp_path):
    (tmp_path / "behind.py").write_text(FORWARDED)
    with subprocess.Popen(
        [program.python, tmp_path / "behind.py", authority.state],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=program.environment(),
    ) as behind:

        def comes_to(who: str, wanted: str) -> None:
            behind.stdin.write(f"{who} {wanted}\n")
            behind.stdin.flush()
            assert behind.stdout.readline() == f"{wanted}\n", who

        comes_to("alice", "200")
        authority.ca("rotate")
        authority.do("issue", "carol")
        comes_to("carol", "200")
        comes_to("alice", "200")
        authority.ca("retire", "old-1", "--force")
        comes_to("alice", "403")
        comes_to("carol", "200")
        behind.stdin.close()
