"""Who may come in, and what those hear and leave behind who may not: verdict, alert or 403, one line in the log."""

from __future__ import annotations

import hashlib
import json
import re
import ssl
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pki
import pytest
from conftest import ROOT, Program, Server, running
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.x509.oid import NameOID
from pki import HOUR, Authority, Identity, Pki
from tls_client import (
    CERTIFICATE,
    ECHO,
    VERSIONS,
    Alert,
    Wire,
    ask,
    attempt,
    certificate_message,
    client_context,
    connected,
    fields_of,
    refusals,
    seen_by_app,
    the_refusal,
    verdict_of,
)

VECTORS = ROOT / "tests/vectors/x509"
WEAK_CLIENT = "DEFAULT:@SECLEVEL=0"  # else it would not send such a certificate
each_version = pytest.mark.parametrize("version", VERSIONS)


class World:
    """Three CAs that the server trusts, two of them with a CRL, and one that it does not know."""

    def __init__(self, folder: Path) -> None:
        self.pki = Pki(folder)
        self.server_ca = self.pki.authority("Server CA")
        self.server = self.server_ca.issue_server()
        self.ca, self.second, self.without_crl, self.stranger = (
            self.pki.authority(name) for name in ("Client CA", "Second CA", "CA without CRL", "Stranger CA")
        )
        self.intermediate = self.ca.intermediate()
        self.not_named = self.ca.intermediate("Not named to the server")
        self.expired_intermediate = self.ca.intermediate("Expired intermediate", ends=-60)
        self.no_ca = self.ca.intermediate("No CA at all", ca=False)
        self.revoked_intermediate = self.ca.intermediate("Revoked intermediate")
        self.revoked = {version: self.ca.issue("mallory") for version in VERSIONS}
        self.revoked_by_name = {kind: self.ca.issue("mallory") for kind in ("http", "request")}
        gone = [*self.revoked.values(), *self.revoked_by_name.values(), self.revoked_intermediate]
        inner = (self.intermediate, self.expired_intermediate, self.revoked_intermediate)
        lists = [self.ca.crl(*gone), self.second.crl(), *(one.crl() for one in inner)]
        self.crls = self.file("crls.pem", "".join(lists))
        trusted = (self.ca, self.second, self.without_crl, *inner)
        self.cas = self.file("cas.pem", "".join(one.certificate.public_bytes(pki.PEM).decode() for one in trusted))

    def file(self, name: str, content: str) -> Path:
        path = self.pki.folder / name
        path.write_text(content)
        return path

    def options(self, **more: object) -> dict[str, object]:
        own = {"certfile": self.server.certfile, "keyfile": self.server.keyfile}
        return own | {"ca_certs": self.cas, "crl": self.crls} | more

    def context(self, identity: Identity | None, version: str | None = None, **options):
        return client_context(self.server_ca.certfile, identity, version, **options)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(tmp_path_factory.mktemp("identity"))


def module_server(**options: object):
    @pytest.fixture(scope="module")
    def one(world: World, program: Program, state: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
        with running(program, state, tmp_path_factory.mktemp("served"), ECHO, **world.options(**options)) as server:
            yield server

    return one


required = module_server()
readable = module_server(refuse_with="http", access_logfile="-")
on_request = module_server(client_cert="request", remote_user="SSL_CLIENT_S_DN_CN")
optional = module_server(client_cert="optional")

# What is wrong with a certificate: its verdict, the alert, and how to make one.
Maker = Callable[[World], Identity]
FAULTS: dict[str, tuple[str, str, Maker]] = {
    "of a CA that is not trusted": ("untrusted-issuer", "unknown_ca", lambda w: w.stranger.issue("eve")),
    "signed by itself": ("untrusted-issuer", "unknown_ca", lambda w: w.pki.authority("alice")),
    "signed by another client": ("untrusted-issuer", "unknown_ca", lambda w: signed_by_a_client(w)),
    "of an issuer that is no CA": ("untrusted-issuer", "unknown_ca", lambda w: w.no_ca.issue("eve")),
    "without the intermediate": ("untrusted-issuer", "unknown_ca", lambda w: w.not_named.issue().sending()),
    "expired": ("expired", "certificate_expired", lambda w: w.ca.issue(ends=-5)),
    "of an expired intermediate": ("expired", "certificate_expired", lambda w: w.expired_intermediate.issue()),
    "not yet valid": ("not-yet-valid", "certificate_expired", lambda w: w.ca.issue(begins=HOUR)),
    "for servers only": ("wrong-purpose", "unsupported_certificate", lambda w: w.ca.issue(eku=[pki.SERVER])),
    "for no purpose of TLS": ("wrong-purpose", "unsupported_certificate", lambda w: w.ca.issue(eku=[MAIL])),
    "with a key for agreement only": (
        "wrong-purpose",
        "unsupported_certificate",
        lambda w: w.ca.issue(usage=pki.key_usage("key_agreement")),
    ),
    "with a key that signs no handshakes": (
        "wrong-purpose",
        "unsupported_certificate",
        lambda w: w.ca.issue(usage=pki.key_usage("key_encipherment")),
    ),
    "with RSA of 1024 bits": ("weak-key", "bad_certificate", lambda w: w.ca.issue(kind="rsa1024")),
    "of an intermediate that is revoked": (
        "revoked",
        "certificate_revoked",
        lambda w: w.revoked_intermediate.issue(),
    ),
    "of a CA without CRL": ("status-unknown", "certificate_unknown", lambda w: w.without_crl.issue()),
}  # fmt: skip
MAIL = pki.ExtendedKeyUsageOID.EMAIL_PROTECTION
each_fault = pytest.mark.parametrize("fault", FAULTS)


def lines(server: Server, pattern: str) -> int:
    return sum(bool(re.search(pattern, line)) for line in refusals(server))


def signed_by_a_client(world: World) -> Identity:
    client = world.ca.issue("bob")
    return Authority(client.certificate, client.key, [], client.folder).issue("eve")


def context_for(world: World, identity: Identity, version: str | None = None):
    weak = getattr(identity.key, "key_size", 256) < 2000 and pki.digest_of(identity.key) is not None
    weak = weak and not hasattr(identity.key, "curve")
    return world.context(identity, version, ciphers=WEAK_CLIENT if weak else None)


@each_version
@each_fault
def test_refused_by_the_right_alert_and_one_line_in_the_log(
    world: World, required: Server, version: str, fault: str
) -> None:
    verdict, alert, make = FAULTS[fault]
    client = make(world)
    assert attempt(required, context_for(world, client, version)) == Alert(alert)
    line = the_refusal(required, client)
    assert line["verdict"] == verdict
    assert line["address"] == "127.0.0.1"
    assert line["serial"] == f"{client.serial:x}"
    assert line["serial_decimal"] == str(client.serial)
    assert line["subject"] == client.subject
    assert line["issuer"] == client.certificate.issuer.rfc4514_string()


@each_version
def test_revoked_client_is_refused_by_the_right_alert(world: World, required: Server, version: str) -> None:
    client = world.revoked[version]
    assert attempt(required, world.context(client, version)) == Alert("certificate_revoked")
    line = the_refusal(required, client)
    assert line["verdict"] == "revoked"
    assert "keyCompromise" in line["detail"] and "Client CA" in line["detail"]


@each_fault
def test_refused_by_a_403_that_names_the_verdict(world: World, readable: Server, fault: str) -> None:
    verdict, _, make = FAULTS[fault]
    client = make(world)
    response = attempt(readable, context_for(world, client))
    assert verdict_of(response) == verdict
    assert response.status == 403
    assert the_refusal(readable, client)["verdict"] == verdict


def test_revoked_client_reads_that_it_is_revoked(world: World, readable: Server) -> None:
    client = world.revoked_by_name["http"]
    response = attempt(readable, world.context(client))
    assert verdict_of(response) == "revoked"
    assert "keyCompromise" in json.loads(response.body)["detail"]


def test_client_without_certificate_reads_that_it_needs_one(world: World, readable: Server) -> None:
    before = lines(readable, "verdict=no-certificate")
    assert verdict_of(attempt(readable, world.context(None))) == "no-certificate"
    readable.wait_for("client refused verdict=no-certificate", count=before + 1)


def test_refused_client_is_refused_again_by_the_next_request_on_its_connection(world: World, readable: Server) -> None:
    client = world.stranger.issue("eve")
    with connected(readable, world.context(client)) as secure:
        for _ in range(3):
            assert verdict_of(ask(secure)) == "untrusted-issuer"
        assert verdict_of(ask(secure, method="POST", body=b"x" * 10)) == "untrusted-issuer"
    the_refusal(readable, client, count=4)


@each_fault
def test_request_mode_hands_the_verdict_to_the_application(world: World, on_request: Server, fault: str) -> None:
    verdict, _, make = FAULTS[fault]
    client = make(world)
    seen = seen_by_app(attempt(on_request, context_for(world, client)))
    assert seen["verdict"] == verdict
    assert seen["SSL_CLIENT_VERIFY"].startswith("FAILED:")
    assert seen["certificate"] == client.sha256
    assert "REMOTE_USER" not in seen, "a certificate that did not verify names nobody"
    assert not refusals(on_request, client)


def test_request_mode_hands_on_that_a_client_is_revoked(world: World, on_request: Server) -> None:
    seen = seen_by_app(attempt(on_request, world.context(world.revoked_by_name["request"])))
    assert seen["verdict"] == "revoked"
    assert "REMOTE_USER" not in seen


@each_version
def test_client_that_may_come_in_is_named(world: World, on_request: Server, version: str) -> None:
    client = world.intermediate.issue("alice")
    seen = seen_by_app(attempt(on_request, world.context(client, version)))
    assert (seen["verdict"], seen["SSL_CLIENT_VERIFY"], seen["REMOTE_USER"]) == ("ok", "SUCCESS", "alice")
    assert seen["SSL_PROTOCOL"] == version
    assert seen["certificate"] == client.sha256


@pytest.mark.parametrize("fault", ["for servers only", "with a key for agreement only", "of a CA that is not trusted"])
def test_optional_mode_does_not_overlook(world: World, optional: Server, fault: str) -> None:
    verdict, alert, make = FAULTS[fault]
    client = make(world)
    assert attempt(optional, context_for(world, client)) == Alert(alert)
    assert the_refusal(optional, client)["verdict"] == verdict


@each_version
def test_client_without_certificate_hears_that_one_is_required(world: World, required: Server, version: str) -> None:
    before = lines(required, "verdict=no-certificate")
    alert = {"TLSv1.2": "handshake_failure", "TLSv1.3": "certificate_required"}[version]
    assert attempt(required, world.context(None, version)) == Alert(alert)
    required.wait_for("client refused verdict=no-certificate address=127.0.0.1", count=before + 1)
    assert lines(required, "verdict=no-certificate") == before + 1


def test_curl_says_which_alert_it_got(world: World, required: Server) -> None:
    client = world.stranger.issue("eve")
    for version in ("--tls-max 1.2", "--tlsv1.3"):
        for _ in range(5):  # closing at once lost it now and then
            files = ["--cacert", world.server_ca.certfile, "--cert", client.certfile, "--key", client.keyfile]
            done = subprocess.run(
                ["curl", "-sS", *version.split(), *files, required.url], capture_output=True, text=True, timeout=30
            )
            assert done.returncode != 0
            assert "alert unknown ca" in done.stderr


@pytest.mark.parametrize("kind", ["p256", "p384", "p521", "rsa2048", "ed25519", "ed448"])
@each_version
def test_clients_key_may_be(world: World, required: Server, version: str, kind: str) -> None:
    client = world.ca.issue("alice", kind=kind)
    assert seen_by_app(attempt(required, world.context(client, version)))["certificate"] == client.sha256


@each_version
@pytest.mark.parametrize("kind", ["p224", "secp256k1", "brainpool256"])
def test_odd_curves_are_refused_without_harm(world: World, required: Server, version: str, kind: str) -> None:
    client = world.ca.issue("alice", kind=kind)
    assert isinstance(attempt(required, world.context(client, version)), Alert)
    assert attempt(required, world.context(world.ca.issue("bob"))).status == 200


# Whose certificate it is


def test_same_serial_and_name_from_another_ca_is_another_identity(world: World, required: Server) -> None:
    alice = world.ca.issue("alice", serial=4711)
    double = world.second.issue("alice", serial=4711)
    for one in (alice, double, alice, double):
        seen = seen_by_app(attempt(required, world.context(one)))
        assert seen["certificate"] == one.sha256
        assert seen["SSL_CLIENT_I_DN"] == one.certificate.issuer.rfc4514_string()


def test_issuer_of_the_same_name_with_another_key_is_not_trusted(world: World, required: Server) -> None:
    double = world.pki.authority("Client CA").issue("alice", serial=4711)
    assert attempt(required, world.context(double)) == Alert("unknown_ca")
    assert the_refusal(required, double)["verdict"] == "untrusted-issuer"


def test_victims_certificate_behind_ones_own_changes_nothing(world: World, required: Server) -> None:
    victim = world.ca.issue("victim")
    mallory = world.ca.issue("mallory-of-chain")
    seen = seen_by_app(attempt(required, world.context(mallory.sending(victim.certificate))))
    assert seen["certificate"] == mallory.sha256
    assert seen["SSL_CLIENT_S_DN_CN"] == "mallory-of-chain"


def test_victims_certificate_does_not_help_one_who_is_not_trusted(world: World, required: Server) -> None:
    victim = world.ca.issue("victim")
    eve = world.stranger.issue("eve")
    client = eve.sending(victim.certificate, world.ca.certificate)
    assert attempt(required, world.context(client)) == Alert("unknown_ca")
    line = the_refusal(required, eve)
    assert (line["verdict"], line["subject"]) == ("untrusted-issuer", "CN=eve")


# Chains


@pytest.mark.parametrize("count", [11, 60, 200])
@each_version
def test_long_chain_ends_with_an_alert(world: World, required: Server, version: str, count: int) -> None:
    client = world.ca.issue("alice").sending(*[world.stranger.certificate] * (count - 1))
    answer = attempt(required, world.context(client, version))
    assert isinstance(answer, Alert) and answer.name != "closed"
    assert the_refusal(required, client)["verdict"] == "untrusted-issuer"


@each_version
def test_chain_of_ten_is_let_in(world: World, required: Server, version: str) -> None:
    client = world.ca.issue("alice").sending(*[world.stranger.certificate] * 9)
    assert attempt(required, world.context(client, version)).status == 200


@each_version
def test_certificate_of_more_than_100_kb_ends_with_an_alert(world: World, required: Server, version: str) -> None:
    client = world.ca.issue("alice", extensions=[(x509.UnrecognizedExtension(UNKNOWN, b"x" * 110_000), False)])
    before = lines(required, "verdict=malformed")
    answer = attempt(required, world.context(client, version))
    assert isinstance(answer, Alert) and answer.name != "closed"
    required.wait_for("client refused verdict=malformed .*reason=", count=before + 1)
    assert lines(required, "verdict=malformed") == before + 1


UNKNOWN = x509.ObjectIdentifier("1.3.6.1.4.1.55555.1")


def test_thousand_policies_cost_nothing(world: World, required: Server) -> None:
    many = [x509.PolicyInformation(x509.ObjectIdentifier(f"1.3.6.1.4.1.55555.{n}"), None) for n in range(1000)]
    client = world.ca.issue("alice", extensions=[(x509.CertificatePolicies(many), False)])
    answer = attempt(required, world.context(client))
    assert isinstance(answer, Alert) or answer.status == 200
    assert attempt(required, world.context(world.ca.issue("bob"))).status == 200


# What certificates may say in the log


@pytest.mark.parametrize(
    "name", ["\x1b[2J", "a\r\nWARNING fake", "x\nclient refused verdict=ok", 'quote" sha256=00', "é\u202e"]
)
def test_name_cannot_forge_a_line(world: World, required: Server, name: str) -> None:
    subject = x509.Name(
        [x509.NameAttribute(NameOID.COMMON_NAME, name), x509.NameAttribute(NameOID.ORGANIZATION_NAME, name)]
    )
    client = world.stranger.issue(subject)
    before = len(required.log())
    assert attempt(required, world.context(client)) == Alert("unknown_ca")
    required.wait_for(f"sha256={client.sha256}")
    (line,) = refusals(required, client)
    assert fields_of(line)["sha256"] == client.sha256
    for line in required.log()[before:]:
        assert re.match(r"\d{4}-\d\d-\d\dT[\d:.]+Z (WARNING|INFO) front ", line)
        assert all(" " <= c <= "~" or c == "é" for c in line), line


def test_name_is_a_string_in_a_log_in_json(
    world: World, program: Program, state: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    name = 'a\x1b[2J\r\n"}{"verdict":"ok'
    client = world.stranger.issue(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
    options = world.options(log_format="json")
    with running(program, state, tmp_path_factory.mktemp("served"), ECHO, **options) as server:
        assert attempt(server, world.context(client)) == Alert("unknown_ca")
        line = json.loads(server.wait_for("client refused"))
    assert (line["verdict"], line["sha256"]) == ("untrusted-issuer", client.sha256)
    assert line["subject"].startswith("CN=a")


def test_long_name_does_not_push_out_what_identifies(world: World, required: Server) -> None:
    unit = [x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, "\x01" * 64)] * 63
    client = world.stranger.issue(x509.Name([*unit, x509.NameAttribute(NameOID.COMMON_NAME, "eve")]))
    assert attempt(required, world.context(client)) == Alert("unknown_ca")
    line = the_refusal(required, client)
    assert (line["verdict"], line["serial"]) == ("untrusted-issuer", f"{client.serial:x}")


# The corpus: certificates that no client's library would send, put into the handshake on the wire


@pytest.fixture(scope="module")
def of_corpus(
    world: World, program: Program, state: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    options = world.options(ca_certs=VECTORS / "chains/ca.pem", client_cert="request")
    del options["crl"]
    with running(program, state, tmp_path_factory.mktemp("served"), ECHO, **options) as server:
        yield server


def send_certificates(server: Server, world: World, *certificates: bytes, version: str = "TLSv1.2") -> Alert | None:
    context = world.context(world.ca.issue(), version)
    context.keylog_filename = str(world.pki.folder / "keys.log")
    with Wire(server, context) as wire:
        return wire.handshake_with(CERTIFICATE, lambda _: certificate_message(version, *certificates))


# OpenSSL does not take these for certificates, so there is nothing to say about them.
UNREADABLE = {"cn-octet-string", "cn-visible-string"}


@each_version
@pytest.mark.parametrize("label", sorted({path.stem for path in VECTORS.glob("refused/*.der")} - UNREADABLE))
def test_malformed_certificate_ends_the_handshake_even_in_request_mode(
    world: World, of_corpus: Server, label: str, version: str
) -> None:
    certificate = (VECTORS / f"refused/{label}.der").read_bytes()
    sha256 = f"sha256={hashlib.sha256(certificate).hexdigest()}"
    before = lines(of_corpus, sha256)
    assert send_certificates(of_corpus, world, certificate, version=version) == Alert("bad_certificate")
    line = of_corpus.wait_for(f"client refused .*{sha256}", count=before + 1)
    assert fields_of(line)["verdict"] == "malformed"


def test_nul_in_a_name_is_visible_in_the_log(world: World, of_corpus: Server) -> None:
    certificate = (VECTORS / "refused/nul-in-cn.der").read_bytes()
    assert send_certificates(of_corpus, world, certificate) == Alert("bad_certificate")
    line = of_corpus.wait_for(f"client refused .*sha256={hashlib.sha256(certificate).hexdigest()}")
    assert "\\\\00" in fields_of(line)["subject"]


@each_version
@pytest.mark.parametrize("label", sorted(UNREADABLE))
def test_certificate_that_cannot_be_read_is_malformed(
    world: World, of_corpus: Server, label: str, version: str
) -> None:
    before = lines(of_corpus, "verdict=malformed .*reason=")
    certificate = (VECTORS / f"refused/{label}.der").read_bytes()
    assert send_certificates(of_corpus, world, certificate, version=version) == Alert("decode_error")
    line = of_corpus.wait_for("verdict=malformed .*reason=", count=before + 1)
    assert fields_of(line)["verdict"] == "malformed"


@pytest.mark.parametrize(
    "octets", [b"", b"\x30", b"\x30\x03\x02\x01\x05", b"GET / HTTP/1.1\r\n\r\n", b"\x30\x84\xff\xff\xff\xff"], ids=repr
)
@each_version
def test_what_is_no_certificate_is_malformed(world: World, of_corpus: Server, octets: bytes, version: str) -> None:
    before = lines(of_corpus, "verdict=malformed .*reason=")
    answer = send_certificates(of_corpus, world, octets, version=version)
    assert isinstance(answer, Alert) and answer.name in ("decode_error", "bad_certificate")
    line = of_corpus.wait_for("verdict=malformed .*reason=", count=before + 1)
    assert fields_of(line)["verdict"] == "malformed"
    assert fields_of(line)["reason"]


def test_octets_behind_a_certificate_are_malformed(world: World, of_corpus: Server) -> None:
    before = lines(of_corpus, "verdict=malformed .*reason=")
    alice = x509.load_pem_x509_certificate((VECTORS / "chains/alice.pem").read_bytes())
    answer = send_certificates(of_corpus, world, alice.public_bytes(serialization.Encoding.DER) + b"\0")
    assert isinstance(answer, Alert) and answer.name in ("decode_error", "bad_certificate")
    assert fields_of(of_corpus.wait_for("verdict=malformed .*reason=", count=before + 1))["reason"]


# In mode `required`: what the corpus' chains are, and what is said of each.
CHAINS = {
    "sha1": ("weak-key", "bad_certificate"),
    "rsa1024": ("weak-key", "bad_certificate"),
    "empty-eku": ("wrong-purpose", "unsupported_certificate"),
    "critical-unknown": ("malformed", "bad_certificate"),
    "tampered": ("untrusted-issuer", "unknown_ca"),
    "of-same-name-ca": ("untrusted-issuer", "unknown_ca"),
    "of-same-name-ca-without-aki": ("untrusted-issuer", "unknown_ca"),
    "signed-by-alice": ("untrusted-issuer", "unknown_ca"),
    "server-only": ("wrong-purpose", "unsupported_certificate"),
    "any-purpose": ("wrong-purpose", "unsupported_certificate"),
    "key-encipherment-only": ("wrong-purpose", "unsupported_certificate"),
}


@pytest.fixture(scope="module")
def corpus_required(
    world: World, program: Program, state: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    options = world.options(ca_certs=VECTORS / "chains/ca.pem")
    del options["crl"]
    with running(program, state, tmp_path_factory.mktemp("served"), ECHO, **options) as server:
        yield server


@pytest.mark.parametrize("label", CHAINS)
def test_certificate_of_the_corpus_is_refused(world: World, corpus_required: Server, label: str) -> None:
    verdict, alert = CHAINS[label]
    text = (VECTORS / f"chains/{label}.pem").read_text()
    ders = [ssl.PEM_cert_to_DER_cert(block + END) for block in text.split(END) if "BEGIN" in block]
    assert send_certificates(corpus_required, world, *ders) == Alert(alert)
    line = corpus_required.wait_for(f"client refused .*sha256={hashlib.sha256(ders[0]).hexdigest()}")
    assert fields_of(line)["verdict"] == verdict


END = "-----END CERTIFICATE-----\n"


@pytest.mark.parametrize("label", ["alice", "no-extensions", "no-key-usage"])
def test_certificate_of_the_corpus_without_its_key_is_refused(
    world: World, corpus_required: Server, label: str
) -> None:
    """It would be let in: what is wrong is that the one who sends it cannot sign with its key."""
    der = ssl.PEM_cert_to_DER_cert((VECTORS / f"chains/{label}.pem").read_text())
    assert send_certificates(corpus_required, world, der) == Alert("decrypt_error")
    line = corpus_required.wait_for(f"client refused .*sha256={hashlib.sha256(der).hexdigest()}")
    assert fields_of(line)["verdict"] == "key-not-proven"


NAMES = sorted(VECTORS.glob("names/*.der")) + sorted(VECTORS.glob("chains/*.pem"))


@pytest.mark.parametrize("label", [f"{path.parent.name}/{path.name}" for path in NAMES])
def test_whatever_a_certificate_says_it_is_answered_and_logged_harmlessly(
    world: World, corpus_required: Server, label: str
) -> None:
    path = VECTORS / label
    content = path.read_bytes()
    der = content if path.suffix == ".der" else ssl.PEM_cert_to_DER_cert(content.decode().split(END)[0] + END)
    sha256 = f"sha256={hashlib.sha256(der).hexdigest()}"
    before = lines(corpus_required, sha256)
    assert isinstance(send_certificates(corpus_required, world, der), Alert)
    line = corpus_required.wait_for(f"client refused .*{sha256}", count=before + 1)
    assert all(c.isprintable() for c in line), line
