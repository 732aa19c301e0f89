"""Certificates for every rule about chains, and CRLs for every rule about revocation.

All are meant to be judged at NOW (2026-01-01). A chain is a list: leaf first, then what the client sends besides."""

from __future__ import annotations

import der
from der import name

NOW = 1767225600

CA_NAME = name(("O", "Example"), ("CN", "Example Client CA"))
OTHER_NAME = name(("O", "Other"), ("CN", "Other CA"))
INTERMEDIATE_NAME = name(("O", "Example"), ("CN", "Example Issuing CA"))
CA_USAGE = der.key_usage("keyCertSign", "cRLSign")


def person(common_name: str) -> bytes:
    return name(("O", "Example"), ("CN", common_name))


POLICY, OTHER_POLICY = "2.5.29.32.100.1", "2.5.29.32.100.2"


def policies(*dotted: str) -> bytes:
    return der.extension("2.5.29.32", der.sequence(*(der.sequence(der.oid(o)) for o in dotted)))


def points(url: str, *more: bytes) -> bytes:
    """cRLDistributionPoints with one fullName."""
    return der.extension("2.5.29.31", der.sequence(der.sequence(point(url), *more)))


def point(url: str) -> bytes:
    return der.tlv(0xA0, der.tlv(0xA0, der.uri(url)))


def scope(*fields: bytes) -> list[bytes]:
    """issuingDistributionPoint."""
    return [der.extension("2.5.29.28", der.sequence(*fields), True)]


class Maker:
    """Makes what is asked for with the keys it is given; keeps nothing but the results."""

    def __init__(self, keys: dict) -> None:
        self.keys = keys
        self.certificates: dict[str, bytes] = {}
        self.crls: dict[str, bytes] = {}

    def ca(self, label: str, subject: bytes, key: str, *, issuer: bytes | None = None,
           issuer_key: str | None = None, serial: int = 1, pathlen: int | None = None,
           extra: list[bytes] | None = None, plain: list[bytes] | None = None, **more) -> None:
        signer = self.keys[issuer_key or key]
        extensions = plain if plain is not None else [
            der.basic_constraints(True, pathlen), CA_USAGE, der.subject_key_id(self.keys[key]),
            der.authority_key_id(signer), *(extra or [])]
        self.certificates[label] = der.certificate(
            subject=subject, issuer=issuer or subject, key=self.keys[key], issuer_key=signer,
            serial=serial, extensions=extensions, **more)

    def leaf(self, label: str, *, subject: bytes | None = None, key: str = "client",
             issuer: bytes = CA_NAME, issuer_key: str = "ca", serial: int = 0x1000,
             usage: bytes | None = None, eku: bytes | None = None,
             extra: list[bytes] | None = None, plain: list[bytes] | None = None, **more) -> None:
        signer = self.keys[issuer_key]
        extensions = plain if plain is not None else [
            der.basic_constraints(False), usage or der.key_usage("digitalSignature"),
            eku or der.ext_key_usage("clientAuth"), der.subject_key_id(self.keys[key]),
            der.authority_key_id(signer), *(extra or [])]
        self.certificates[label] = der.certificate(
            subject=subject or person(label), issuer=issuer, key=self.keys[key],
            issuer_key=signer, serial=serial, extensions=extensions, **more)

    def crl(self, label: str, *entries: bytes, issuer: bytes = CA_NAME, key: str = "ca",
            extensions: list[bytes] | None = None, aki: str | None = None, **more) -> None:
        if extensions is None:
            extensions = [der.authority_key_id(self.keys[aki or key]),
                          der.extension("2.5.29.20", der.integer(1))]
        self.crls[label] = der.crl(issuer=issuer, key=self.keys[key], entries=list(entries),
                                   extensions=extensions, **more)


def make_authorities(m: Maker) -> None:
    m.ca("ca", CA_NAME, "ca")
    m.ca("other-ca", OTHER_NAME, "other")
    m.ca("same-name-ca", CA_NAME, "other")
    m.ca("version-1-ca", name(("CN", "Old CA")), "old-ca", plain=[])
    m.ca("intermediate", INTERMEDIATE_NAME, "intermediate", issuer=CA_NAME, issuer_key="ca",
         serial=0x2000, pathlen=0)
    m.ca("intermediate-expired", INTERMEDIATE_NAME, "intermediate", issuer=CA_NAME,
         issuer_key="ca", serial=0x2001, not_after="20250101000000Z")
    m.ca("intermediate-not-ca", INTERMEDIATE_NAME, "intermediate", issuer=CA_NAME,
         issuer_key="ca", serial=0x2002,
         plain=[der.basic_constraints(False), der.key_usage("digitalSignature")])
    m.ca("intermediate-only-cert-sign", INTERMEDIATE_NAME, "intermediate", issuer=CA_NAME,
         issuer_key="ca", serial=0x2003, plain=[der.key_usage("keyCertSign", "cRLSign")])
    m.ca("intermediate-for-servers", INTERMEDIATE_NAME, "intermediate", issuer=CA_NAME,
         issuer_key="ca", serial=0x2004, extra=[der.ext_key_usage("serverAuth")])
    permitted = der.sequence(der.tlv(0xA0, der.sequence(der.dns("example.com"))))
    m.ca("intermediate-name-constraints", INTERMEDIATE_NAME, "intermediate", issuer=CA_NAME,
         issuer_key="ca", serial=0x2005, extra=[der.extension("2.5.29.30", permitted, True)])
    excluded = der.sequence(der.tlv(0xA1, der.sequence(der.dns("example.org"))))
    m.ca("intermediate-excludes", INTERMEDIATE_NAME, "intermediate", issuer=CA_NAME,
         issuer_key="ca", serial=0x2007, extra=[der.extension("2.5.29.30", excluded, True)])
    m.ca("intermediate-demands-policy", INTERMEDIATE_NAME, "intermediate", issuer=CA_NAME,
         issuer_key="ca", serial=0x2008, extra=[policies(POLICY), der.extension(
             "2.5.29.36", der.sequence(der.tlv(0x80, b"\0")), True)])
    m.ca("intermediate-rekeyed", INTERMEDIATE_NAME, "sub", issuer=CA_NAME, issuer_key="ca",
         serial=0x2009)
    m.ca("intermediate-rekeyed-ended", INTERMEDIATE_NAME, "sub", issuer=CA_NAME, issuer_key="ca",
         serial=0x200A, not_after="20250101000000Z")
    m.ca("ca-new-key", CA_NAME, "sub", serial=5)
    m.ca("ca-new-with-old", CA_NAME, "sub", issuer_key="ca", serial=6)
    m.ca("sub-intermediate", name(("CN", "Sub CA")), "sub", issuer=INTERMEDIATE_NAME,
         issuer_key="intermediate", serial=0x2006)
    m.ca("cross-signed-a", name(("CN", "Cross A")), "ca", issuer=name(("CN", "Cross B")),
         issuer_key="other")
    m.ca("cross-signed-b", name(("CN", "Cross B")), "other", issuer=name(("CN", "Cross A")),
         issuer_key="ca")
    m.ca("ca-renewed", CA_NAME, "ca", serial=2, not_before="20250101000000Z")
    m.ca("ca-without-crl-sign", CA_NAME, "ca", serial=4,
         plain=[der.basic_constraints(True), der.key_usage("keyCertSign")])
    m.ca("ca-expired", CA_NAME, "ca", serial=3, not_after="20250101000000Z")
    previous, previous_key = CA_NAME, "ca"
    for i in range(1, 10):
        subject = name(("CN", f"Level {i}"))
        key = "intermediate" if i % 2 else "sub"
        m.ca(f"level-{i}", subject, key, issuer=previous, issuer_key=previous_key)
        m.leaf(f"below-level-{i}", issuer=subject, issuer_key=key)
        previous, previous_key = subject, key


def make_leaves(m: Maker) -> None:
    via = {"issuer": INTERMEDIATE_NAME, "issuer_key": "intermediate"}
    m.leaf("alice")
    m.leaf("bob", serial=0x1001)
    m.leaf("rsa", key="rsa", serial=0x1002)
    m.leaf("ed25519", key="ed25519", serial=0x1003)
    m.leaf("no-extensions", plain=[])
    m.leaf("no-key-usage", plain=[der.basic_constraints(False)])
    m.leaf("any-purpose", eku=der.ext_key_usage("any"))
    m.leaf("server-only", eku=der.ext_key_usage("serverAuth"))
    m.leaf("server-and-client", eku=der.ext_key_usage("serverAuth", "clientAuth"))
    m.leaf("empty-eku", eku=der.extension("2.5.29.37", der.sequence()))
    m.leaf("key-encipherment-only", usage=der.key_usage("keyEncipherment"))
    m.leaf("key-agreement-only", usage=der.key_usage("keyAgreement"))
    m.leaf("expired", not_after="20250101000000Z")
    m.leaf("future", not_before="20270101000000Z")
    m.leaf("ends-in-2026", not_after="20260601000000Z")
    m.leaf("rsa1024", key="rsa1024")
    m.leaf("sha1", digest="sha1")
    m.leaf("critical-unknown", extra=[der.extension("1.2.3.4.5", der.null(), True)])
    m.leaf("not-critical-unknown", extra=[der.extension("1.2.3.4.5", der.null())])
    m.leaf("self-signed", issuer=person("self-signed"), issuer_key="client")
    m.leaf("of-other-ca", subject=person("alice"), issuer=OTHER_NAME, issuer_key="other")
    m.leaf("of-same-name-ca", subject=person("alice"), issuer_key="other")
    m.leaf("of-same-name-ca-without-aki", subject=person("alice"), issuer_key="other", plain=[])
    m.leaf("of-version-1-ca", issuer=name(("CN", "Old CA")), issuer_key="old-ca", plain=[])
    m.leaf("signed-by-alice", issuer=person("alice"), issuer_key="client", key="rsa")
    m.leaf("via-intermediate", **via)
    m.leaf("via-sub-intermediate", issuer=name(("CN", "Sub CA")), issuer_key="sub")
    m.leaf("inside-constraints", extra=[der.san(der.dns("a.example.com"))], **via)
    m.leaf("outside-constraints", extra=[der.san(der.dns("a.example.org"))], **via)
    m.leaf("outside-exclusion", extra=[der.san(der.dns("a.example.com"))], **via)
    m.leaf("inside-exclusion", extra=[der.san(der.dns("a.example.org"))], **via)
    m.leaf("with-policy", extra=[policies(POLICY)], **via)
    m.leaf("with-other-policy", extra=[policies(OTHER_POLICY)], **via)
    m.leaf("with-many-policies", extra=[policies(*(f"2.5.29.32.{n}" for n in range(200, 1200)))],
           **via)
    m.leaf("with-point-1", extra=[points("http://crl.example/1.crl")])
    m.leaf("with-point-2", serial=0x1001, extra=[points("http://crl.example/2.crl")])
    m.leaf("with-point-1-for-reasons",
           extra=[points("http://crl.example/1.crl", der.tlv(0x81, b"\x06\x40"))])
    m.leaf("with-point-1-by-another", extra=[points(
        "http://crl.example/1.crl", der.tlv(0xA2, der.directory(OTHER_NAME)))])
    m.leaf("below-cross-signed-a", issuer=name(("CN", "Cross A")), issuer_key="ca")
    m.leaf("nul-in-cn", subject=person("alice\0.evil"))
    m.leaf("serial-21-octets", serial=2**160)
    tampered = bytearray(m.certificates["alice"])
    tampered[-1] ^= 1
    m.certificates["tampered"] = bytes(tampered)


def make_crls(m: Maker) -> None:
    alice, large, negative = 0x1000, 2**160 - 1, -5
    m.crl("empty")
    m.crl("alice-revoked", der.crl_entry(alice, der.reason(1)))
    m.crl("alice-revoked-without-reason", der.crl_entry(alice))
    m.crl("alice-revoked-later", der.crl_entry(alice, der.reason(4), date="20230203040506Z"))
    m.crl("alice-on-hold", der.crl_entry(alice, der.reason(6)))
    m.crl("alice-removed", der.crl_entry(alice, der.reason(8)))
    m.crl("many-revoked", *(der.crl_entry(n) for n in (0, 7, large, negative, 2**168, alice + 2)))
    m.crl("intermediate-revoked", der.crl_entry(0x2000, der.reason(2)))
    m.crl("of-intermediate", issuer=INTERMEDIATE_NAME, key="intermediate")
    m.crl("of-intermediate-alice-revoked", der.crl_entry(alice), issuer=INTERMEDIATE_NAME,
          key="intermediate")
    m.crl("ends-in-2026", next_update="20260301000000Z")
    m.crl("of-june-2025", this_update="20250601000000Z")
    m.crl("stale", next_update="20250101000000Z")
    m.crl("future", this_update="20270101000000Z")
    m.crl("no-next-update", next_update=None)
    m.crl("of-other-ca", issuer=OTHER_NAME, key="other")
    m.crl("forged", key="other", extensions=[])
    m.crl("forged-with-aki", key="other", aki="ca")
    m.crl("wrong-aki", aki="other")
    m.crl("without-extensions", extensions=[])
    m.crl("delta", extensions=[der.extension("2.5.29.27", der.integer(1), True)])
    m.crl("cas-only", extensions=scope(der.tlv(0x82, b"\xff")))
    m.crl("users-only", extensions=scope(der.tlv(0x81, b"\xff")))
    m.crl("users-only-alice-revoked", der.crl_entry(alice), extensions=scope(der.tlv(0x81, b"\xff")))
    m.crl("users-only-and-cas-only", extensions=scope(der.tlv(0x81, b"\xff"),
                                                     der.tlv(0x82, b"\xff")))
    m.crl("attributes-only", extensions=scope(der.tlv(0x85, b"\xff")))
    m.crl("some-reasons", extensions=scope(der.tlv(0x83, b"\x06\x40")))
    m.crl("indirect-scope", extensions=scope(der.tlv(0x84, b"\xff")))
    m.crl("scope-not-decodable", extensions=[der.extension("2.5.29.28", der.null(), True)])
    m.crl("point-1", extensions=scope(point("http://crl.example/1.crl")))
    m.crl("point-2", extensions=scope(point("http://crl.example/2.crl")))
    m.crl("point-2-alice-revoked", der.crl_entry(alice),
          extensions=scope(point("http://crl.example/2.crl")))
    m.crl("of-rekeyed-intermediate", issuer=INTERMEDIATE_NAME, key="sub")
    m.crl("of-rekeyed-intermediate-alice-revoked", der.crl_entry(alice), issuer=INTERMEDIATE_NAME,
          key="sub")
    m.crl("rekeyed-intermediate-revoked", der.crl_entry(0x2009, der.reason(2)))
    m.crl("of-ca-new-key", key="sub")
    m.crl("of-other-ca-same-serial", der.crl_entry(0x2009), issuer=OTHER_NAME, key="other")
    m.crl("of-cross-signed-a-same-serial", der.crl_entry(alice), issuer=name(("CN", "Cross A")))
    m.crl("number-9-empty", extensions=[der.extension("2.5.29.20", der.integer(9))])
    m.crl("number-8-alice-revoked", der.crl_entry(alice),
          extensions=[der.extension("2.5.29.20", der.integer(8))])
    m.crl("critical-unknown", extensions=[der.extension("1.2.3.4.5", der.null(), True)])
    m.crl("critical-unknown-in-entry",
          der.crl_entry(7, der.extension("1.2.3.4.5", der.null(), True)))
    m.crl("indirect", der.crl_entry(7, der.extension(
        "2.5.29.29", der.sequence(der.directory(OTHER_NAME)), True)))
    m.crl("unknown-reason", der.crl_entry(7, der.reason(77)))
    m.crl("sha1", digest="sha1")
    broken = bytearray(m.crls["alice-revoked"])
    broken[-1] ^= 1
    m.crls["corrupt"] = bytes(broken)


def make(keys: dict) -> Maker:
    m = Maker(keys)
    make_authorities(m)
    make_leaves(m)
    make_crls(m)
    return m
