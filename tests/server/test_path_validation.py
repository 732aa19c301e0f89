"""What a chain has to be, rule by rule (RFC 5280 section 6): one client whom the rule lets in, one whom it keeps out,
through the door, where a certificate is required and where it is optional."""

from __future__ import annotations

import importlib.util
import itertools
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pki
import pytest
from conftest import ROOT, Program, Server, running
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from pki import Identity, Pki
from tls_client import (
    CERTIFICATE,
    ECHO,
    VERSIONS,
    Alert,
    Wire,
    attempt,
    certificate_message,
    client_context,
    seen_by_app,
    the_refusal,
)


def _module(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


der = _module(ROOT / "tests/vectors/x509/der.py")

CA_USAGE = der.key_usage("keyCertSign", "cRLSign")
SIGNS = der.key_usage("digitalSignature")
POLICY, OTHER_POLICY = "2.5.29.32.100.1", "2.5.29.32.100.2"
# The kinds of keys that CAs sign with, and how.
SIGNATURES = {
    "RSA": ("rsa2048", "sha256"),
    "RSASSA-PSS": ("rsa2048", "pss"),
    "ECDSA P-256": ("p256", "sha256"),
    "ECDSA P-384": ("p384", "sha384"),
    "ECDSA P-521": ("p521", "sha512"),
    "Ed25519": ("ed25519", "sha256"),
    "Ed448": ("ed448", "sha256"),
}


class Ca:
    """Signs whatever it is told to."""

    def __init__(self, world: World, name: str, key, certificate: bytes, above: list[bytes]) -> None:
        self.world, self.name, self.key = world, name, key
        self.certificate, self.above = certificate, above

    def sign(self, subject: str, key, extensions: list[bytes], *, digest: str = "sha256", issuer_key=None) -> bytes:
        return der.certificate(
            subject=der.name(("CN", subject)),
            issuer=der.name(("CN", self.name)),
            key=key,
            issuer_key=issuer_key or self.key,
            serial=next(self.world.serials),
            not_before="20200101000000Z",
            extensions=extensions,
            digest=digest,
        )

    def leaf(
        self,
        *extra: bytes,
        kind: str = "p256",
        key=None,
        eku: bytes | None = None,
        usage: bytes | None = SIGNS,
        constraints: bytes | None = None,
        change: Callable[[bytes], bytes] = lambda certificate: certificate,
        **how,
    ) -> Identity:
        key = key or pki.new_key(kind)
        extensions = [constraints or der.basic_constraints(False), eku or der.ext_key_usage("clientAuth"), *extra]
        if usage:
            extensions.append(usage)
        made = change(self.sign("client", key, extensions, **how))
        chain = [x509.load_der_x509_certificate(one) for one in self.above]
        return Identity(x509.load_der_x509_certificate(made), key, chain, self.world.pki.folder)

    def ca(
        self,
        *extra: bytes,
        length: int | None = None,
        kind: str = "p256",
        extensions: list[bytes] | None = None,
        usage: bytes = CA_USAGE,
        **how,
    ) -> Ca:
        """Below this one. `extensions`: these alone."""
        key, name = pki.new_key(kind), f"CA {next(self.world.serials)}"
        if extensions is None:
            extensions = [der.basic_constraints(True, length), usage, *extra]
        made = self.sign(name, key, extensions, **how)
        return Ca(self.world, name, key, made, [made, *self.above])


class World:
    """A server that trusts one root a kind of signature, and what is below them, not one of it named to the server."""

    def __init__(self, folder: Path) -> None:
        self.pki = Pki(folder)
        self.serials = itertools.count(1000)
        self.server_ca = self.pki.authority("Server CA")
        self.server = self.server_ca.issue_server()
        self.roots = {label: self._root(label, *how) for label, how in SIGNATURES.items()}
        self.old_root = self._root("Version 1", "p256", "sha256", extensions=[])
        self.root = self.roots["ECDSA P-256"]
        self.cas = folder / "roots.pem"
        self.cas.write_bytes(b"".join(map(pem_of, [*self.roots.values(), self.old_root])))

    def _root(self, label: str, kind: str, digest: str, extensions: list[bytes] | None = None) -> Ca:
        if extensions is None:
            extensions = [der.basic_constraints(True), CA_USAGE]
        key, name = pki.new_key(kind), f"{label} Root"
        ca = Ca(self, name, key, b"", [])
        ca.certificate = ca.sign(name, key, extensions, digest=digest)
        return ca


def pem_of(ca: Ca) -> bytes:
    return x509.load_der_x509_certificate(ca.certificate).public_bytes(pki.PEM)


# Changes and parts


def last_bit(certificate: bytes) -> bytes:
    return certificate[:-1] + bytes([certificate[-1] ^ 1])


def constrained(*, permitted: bytes | None = None, excluded: bytes | None = None) -> bytes:
    trees = b"".join(
        der.tlv(tag, der.sequence(base)) for tag, base in ((0xA0, permitted), (0xA1, excluded)) if base is not None
    )
    return der.extension("2.5.29.30", der.sequence(trees), True)


def policies(*dotted: str) -> bytes:
    return der.extension("2.5.29.32", der.sequence(*(der.sequence(der.oid(o)) for o in dotted)))


DEMANDS_POLICY = (policies(POLICY), der.extension("2.5.29.36", der.sequence(der.tlv(0x80, b"\0")), True))
NO_ANY_POLICY = der.extension("2.5.29.54", der.integer(0), True)
UNKNOWN = "2.5.29.32.100.9"
EMPTY_EKU = der.extension("2.5.29.37", der.sequence())


def explicit_key(folder: Path):
    """P-256 by its parameters instead of its name: what CVE-2020-0601 was about."""
    path = folder / "explicit.pem"
    command = ["openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-param_enc", "explicit", "-out", path]
    subprocess.run(command, check=True, capture_output=True)
    done = subprocess.run(
        ["openssl", "pkey", "-in", path, "-pubout", "-outform", "DER"], check=True, capture_output=True
    )

    class Key:
        def public_key(self) -> Key:
            return self

        def public_bytes(self, *_) -> bytes:
            return done.stdout

    return Key()


def other_algorithm_outside(certificate: bytes) -> bytes:
    inside = der.oid("1.2.840.10045.4.3.2")
    at = certificate.rindex(inside)
    return certificate[:at] + der.oid("1.2.840.10045.4.3.3") + certificate[at + len(inside) :]


def leaf_of_a_leaf(world: World, **leaf) -> Identity:
    """OpenSSL CVE-2021-3450, and 2015-1793."""
    first = world.root.leaf(**leaf)
    made = first.certificate.public_bytes(serialization.Encoding.DER)
    return Ca(world, "client", first.key, made, [made]).leaf()


def self_signed(world: World, ca: bool) -> Identity:
    key = pki.new_key("p256")
    return Ca(world, "client", key, b"", []).leaf(key=key, constraints=der.basic_constraints(ca))


UNTRUSTED = ("untrusted-issuer", "unknown_ca")
PURPOSE = ("wrong-purpose", "unsupported_certificate")
WEAK = ("weak-key", "bad_certificate")
MALFORMED = ("malformed", "bad_certificate")
Maker = Callable[[World], Identity]


def san(kind: str, value: str) -> bytes:
    if kind == "address":
        return der.san(der.address(bytes(map(int, value.split(".")))))
    return der.san(getattr(der, kind)(value))


def under(world: World, **trees: bytes) -> Ca:
    return world.root.ca(constrained(**trees))


# Rule: what is said of the one it keeps out, and how to make each.
RULES: dict[str, tuple[tuple[str, str], Maker, Maker]] = {
    "DNS names within those permitted": (
        UNTRUSTED,
        lambda w: under(w, permitted=der.dns("example.com")).leaf(san("dns", "a.example.com")),
        lambda w: under(w, permitted=der.dns("example.com")).leaf(san("dns", "a.example.org")),
    ),
    "DNS names outside those excluded": (
        UNTRUSTED,
        lambda w: under(w, excluded=der.dns("example.org")).leaf(san("dns", "a.example.com")),
        lambda w: under(w, excluded=der.dns("example.org")).leaf(san("dns", "a.example.org")),
    ),
    "mail addresses within those permitted": (
        UNTRUSTED,
        lambda w: under(w, permitted=der.email("example.com")).leaf(san("email", "a@example.com")),
        lambda w: under(w, permitted=der.email("example.com")).leaf(san("email", "a@example.com.evil")),
    ),
    "URIs within those permitted": (
        UNTRUSTED,
        lambda w: under(w, permitted=der.uri("td.example")).leaf(san("uri", "spiffe://td.example/a")),
        lambda w: under(w, permitted=der.uri("td.example")).leaf(san("uri", "spiffe://evil.example/td.example")),
    ),
    "addresses within those permitted": (
        UNTRUSTED,
        lambda w: under(w, permitted=der.address(bytes([10, 0, 0, 0, 255, 0, 0, 0]))).leaf(san("address", "10.1.2.3")),
        lambda w: under(w, permitted=der.address(bytes([10, 0, 0, 0, 255, 0, 0, 0]))).leaf(san("address", "11.1.2.3")),
    ),
    "subjects within those permitted": (
        UNTRUSTED,
        lambda w: under(w, permitted=der.directory(der.name(("CN", "client")))).leaf(),
        lambda w: under(w, permitted=der.directory(der.name(("CN", "somebody else")))).leaf(),
    ),
    "constraints of every CA of the chain": (
        UNTRUSTED,
        lambda w: under(w, permitted=der.dns("example.com")).ca().leaf(san("dns", "a.example.com")),
        lambda w: under(w, permitted=der.dns("example.com")).ca().leaf(san("dns", "a.example.org")),
    ),
    "a policy that a CA demands": (
        UNTRUSTED,
        lambda w: w.root.ca(*DEMANDS_POLICY).leaf(policies(POLICY)),
        lambda w: w.root.ca(*DEMANDS_POLICY).leaf(policies(OTHER_POLICY)),
    ),
    "some policy where a CA demands one": (
        UNTRUSTED,
        lambda w: w.root.ca().leaf(),
        lambda w: w.root.ca(*DEMANDS_POLICY).leaf(),
    ),
    "no anyPolicy where a CA inhibits it": (
        UNTRUSTED,
        lambda w: w.root.ca(*DEMANDS_POLICY).leaf(policies("2.5.29.32.0")),
        lambda w: w.root.ca(*DEMANDS_POLICY, NO_ANY_POLICY).leaf(policies("2.5.29.32.0")),
    ),
    "as many CAs as pathLenConstraint says": (
        UNTRUSTED,
        lambda w: w.root.ca(length=1).ca(length=0).leaf(),
        lambda w: w.root.ca(length=0).ca().leaf(),
    ),
    "an issuer that may certify": (
        UNTRUSTED,
        lambda w: w.root.ca(usage=der.key_usage("keyCertSign")).leaf(),
        lambda w: w.root.ca(usage=der.key_usage("digitalSignature", "cRLSign")).leaf(),
    ),
    "an issuer that says it is a CA": (
        UNTRUSTED,
        lambda w: w.root.ca(extensions=[der.basic_constraints(True)]).leaf(),
        lambda w: w.root.ca(extensions=[CA_USAGE]).leaf(),
    ),
    "an issuer that does not say it is none": (
        UNTRUSTED,
        lambda w: w.root.ca().leaf(),
        lambda w: w.root.ca(extensions=[der.basic_constraints(False), CA_USAGE]).leaf(),
    ),
    "no certificate of version 1 as a CA but a root": (
        UNTRUSTED,
        lambda w: w.old_root.leaf(),
        lambda w: w.root.ca(extensions=[]).leaf(),
    ),
    "an issuer that is no client": (UNTRUSTED, lambda w: w.root.ca().leaf(), leaf_of_a_leaf),
    "an issuer that is no client, even without key usage": (
        UNTRUSTED,
        lambda w: w.root.leaf(usage=None),
        lambda w: leaf_of_a_leaf(w, usage=None),
    ),
    "an issuer at all": (UNTRUSTED, lambda w: w.root.leaf(), lambda w: self_signed(w, ca=False)),
    "an issuer that is not oneself": (UNTRUSTED, lambda w: w.root.leaf(), lambda w: self_signed(w, ca=True)),
    "a key usage that signs": (
        PURPOSE,
        lambda w: w.root.leaf(usage=None),
        lambda w: w.root.leaf(usage=der.key_usage("keyEncipherment", "keyAgreement")),
    ),
    "purposes with clientAuth": (
        PURPOSE,
        lambda w: w.root.leaf(eku=der.ext_key_usage("serverAuth", "clientAuth")),
        lambda w: w.root.leaf(eku=der.ext_key_usage("serverAuth")),
    ),
    "clientAuth by its name, not by anyExtendedKeyUsage": (
        PURPOSE,
        lambda w: w.root.leaf(eku=der.ext_key_usage("any", "clientAuth")),
        lambda w: w.root.leaf(eku=der.ext_key_usage("any")),
    ),
    "purposes that are not an empty list": (
        PURPOSE,
        lambda w: w.root.leaf(),
        lambda w: w.root.leaf(eku=EMPTY_EKU),
    ),
    "purposes of the CA too": (
        PURPOSE,
        lambda w: w.root.ca(der.ext_key_usage("clientAuth")).leaf(),
        lambda w: w.root.ca(der.ext_key_usage("serverAuth")).leaf(),
    ),
    "no SHA-1": (WEAK, lambda w: w.roots["RSA"].leaf(), lambda w: w.roots["RSA"].leaf(digest="sha1")),
    "no SHA-1 of a CA": (WEAK, lambda w: w.root.ca().leaf(), lambda w: w.roots["RSA"].ca(digest="sha1").leaf()),
    "no MD5": (WEAK, lambda w: w.roots["RSA"].leaf(), lambda w: w.roots["RSA"].leaf(digest="md5")),
    "RSA keys of 2048 bits": (
        WEAK,
        lambda w: w.root.leaf(kind="rsa2048"),
        lambda w: w.root.leaf(kind="rsa1024"),
    ),
    "RSA keys of 2048 bits of CAs": (
        WEAK,
        lambda w: w.root.ca(kind="rsa2048").leaf(),
        lambda w: w.root.ca(kind="rsa1024").leaf(),
    ),
    "curves of 224 bits and more": (
        WEAK,
        lambda w: w.root.leaf(kind="p384"),
        lambda w: w.root.leaf(key=ec.generate_private_key(ec.SECP192R1())),
    ),
    "curves by their names": (
        MALFORMED,
        lambda w: w.root.leaf(),
        lambda w: w.root.leaf(key=explicit_key(w.pki.folder)),
    ),
    "no critical extension that nobody knows": (
        MALFORMED,
        lambda w: w.root.leaf(der.extension(UNKNOWN, der.null())),
        lambda w: w.root.leaf(der.extension(UNKNOWN, der.null(), True)),
    ),
    "no critical extension of a CA that nobody knows": (
        MALFORMED,
        lambda w: w.root.ca(der.extension(UNKNOWN, der.null())).leaf(),
        lambda w: w.root.ca(der.extension(UNKNOWN, der.null(), True)).leaf(),
    ),
    "no extension twice": (
        MALFORMED,
        lambda w: w.root.leaf(),
        lambda w: w.root.leaf(der.ext_key_usage("clientAuth")),
    ),
    "one signature algorithm inside and outside": (
        UNTRUSTED,
        lambda w: w.root.leaf(),
        lambda w: w.root.leaf(change=other_algorithm_outside),
    ),
}
# Mongoose CVE-2026-5246 took each signature by one kind of key for a right one.
for _label, (_kind, _digest) in SIGNATURES.items():
    RULES[f"a right signature, {_label}"] = (
        UNTRUSTED,
        lambda w, label=_label, digest=_digest: w.roots[label].leaf(digest=digest),
        lambda w, label=_label, digest=_digest: w.roots[label].leaf(digest=digest, change=last_bit),
    )
    RULES[f"a right signature, {_label} by an intermediate"] = (
        UNTRUSTED,
        lambda w, kind=_kind, digest=_digest: w.root.ca(kind=kind).leaf(digest=digest),
        lambda w, kind=_kind, digest=_digest: w.root.ca(kind=kind).leaf(digest=digest, change=last_bit),
    )
each_rule = pytest.mark.parametrize("rule", RULES)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(tmp_path_factory.mktemp("paths"))


@pytest.fixture(scope="module", params=["required", "optional"])
def door(
    request: pytest.FixtureRequest, world: World, program: Program, state: Path, tmp_path_factory
) -> Iterator[Server]:
    options = {"certfile": world.server.certfile, "keyfile": world.server.keyfile, "ca_certs": world.cas}
    folder = tmp_path_factory.mktemp("served")
    with running(program, state, folder, ECHO, client_cert=request.param, **options) as server:
        yield server


def present(door: Server, world: World, client: Identity, version: str) -> Alert | None:
    """Sends these certificates, whatever a TLS library thinks of them. The proof of the key would be wrong; it is not
    asked for."""
    context = client_context(world.server_ca.certfile, world.root.leaf(), version)
    context.keylog_filename = str(world.pki.folder / "keys.log")
    sent = [c.public_bytes(serialization.Encoding.DER) for c in (client.certificate, *client.chain)]
    with Wire(door, context) as wire:
        return wire.handshake_with(CERTIFICATE, lambda _: certificate_message(version, *sent))


@each_rule
def test_client_that_keeps_the_rule_comes_in(world: World, door: Server, rule: str) -> None:
    client = RULES[rule][1](world)
    seen = seen_by_app(attempt(door, client_context(world.server_ca.certfile, client)))
    assert (seen["verdict"], seen["certificate"]) == ("ok", client.sha256)


@pytest.mark.parametrize("version", VERSIONS)
@each_rule
def test_client_that_breaks_the_rule_is_refused(world: World, door: Server, rule: str, version: str) -> None:
    (verdict, alert), _, make = RULES[rule]
    client = make(world)
    assert present(door, world, client, version) == Alert(alert)
    assert the_refusal(door, client)["verdict"] == verdict


def mappings(*dotted: str) -> bytes:
    """policyMappings of each to each."""
    pairs = [der.sequence(der.oid(one), der.oid(other)) for one in dotted for other in dotted]
    return der.extension("2.5.29.33", der.sequence(*pairs), True)


def test_policies_that_multiply_are_refused_and_soon(world: World, door: Server) -> None:
    """OpenSSL CVE-2023-0464: eight CAs that map each of ten policies to each are a tree of 10 ** 8 leaves."""
    names = [f"2.5.29.32.100.{n}" for n in range(10, 20)]
    ca = world.root
    for _ in range(8):
        ca = ca.ca(policies(*names), *DEMANDS_POLICY[1:], mappings(*names))
    client = ca.leaf(policies(*names))
    begin = time.monotonic()
    assert isinstance(present(door, world, client, "TLSv1.3"), Alert)
    assert time.monotonic() - begin < 5
    assert attempt(door, client_context(world.server_ca.certfile, world.root.leaf())).status == 200


def test_a_thousand_policies_do_no_harm(world: World, door: Server) -> None:
    client = world.root.ca().leaf(policies(*(f"2.5.29.32.{n}" for n in range(200, 1200))))
    present(door, world, client, "TLSv1.3")
    assert attempt(door, client_context(world.server_ca.certfile, world.root.leaf())).status == 200
