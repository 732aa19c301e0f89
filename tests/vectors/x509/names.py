"""Certificates whose names, serials and dates are hard to represent; what Apache says of them is in apache.json.

Each vector: subject and the arguments of der.certificate that differ from the plain ones. REFUSED are those that
Handclasp takes for malformed, with a word that its error names."""

from __future__ import annotations

import der
from der import name

PLAIN = name(("C", der.printable("DE")), ("O", "Example"), ("CN", "alice"))


def subject_of(*rdns: object) -> dict:
    return {"subject": name(*rdns)}


def sans(*entries: bytes) -> dict:
    return {"subject": PLAIN, "extensions": [der.san(*entries)]}


VECTORS: dict[str, dict] = {
    "plain": {"subject": PLAIN},
    "all-short-forms": subject_of(
        ("C", der.printable("DE")), ("ST", "Bayern"), ("L", "München"), ("O", "O&O"), ("OU", "unit"),
        ("CN", "cn"), ("title", "Dr"), ("initials", "AB"), ("GN", "given"), ("SN", "sur"),
        ("description", "d"), ("UID", "u1"), ("Email", der.ia5("a@example.com"))),
    "attributes-without-short-form": subject_of(
        ("DC", der.ia5("com")), ("DC", der.ia5("example")), ("serialNumber", der.printable("42")),
        ("street", "Weg 1"), ("postalCode", "80331"), ("pseudonym", "p"), ("dnQualifier",
        der.printable("q")), ("1.2.3.4.5", "unknown"), ("CN", "alice")),
    "repeated-attributes": subject_of(*(("OU", f"unit {i}") for i in range(12)), ("CN", "one"),
                                      ("CN", "two")),
    "multi-valued-rdn": subject_of(("O", "x"), [("CN", "alice"), ("OU", "admin")]),
    "multi-valued-rdn-of-one-type": subject_of([("OU", "a"), ("OU", "b")], ("OU", "c"),
                                               ("CN", "alice")),
    "utf8": subject_of(("CN", "Zoë Müller-Lüdenscheidt 山田太郎 🙂")),
    "bmp": subject_of(("CN", der.bmp("Zoë 山田"))),
    "universal": subject_of(("CN", der.universal("Zoë 🙂"))),
    "t61": subject_of(("CN", der.t61("Zo\xeb M\xfcller"))),
    "t61-bytes-of-utf8": subject_of(("CN", der.tlv(0x14, "Zoë".encode()))),
    "ia5": subject_of(("CN", der.ia5("alice@host"))),
    "numeric": subject_of(("CN", der.tlv(0x12, b"0123 456"))),
    "control-characters": subject_of(("CN", "a\x01b\tc\r\nd\x1b[31m\x7fe")),
    "c1-controls": subject_of(("CN", "a\x85b\x9bc")),
    "right-to-left": subject_of(("CN", "alice\u202egnp.exe\u200b")),
    "specials": subject_of(("O", 'a, b + c "q" \\ <x> ; =z'), ("CN", "x/CN=root")),
    "backslash": subject_of(("CN", "a\\b\\,c")),
    "leading-hash": subject_of(("CN", "#04024869")),
    "leading-and-trailing-space": subject_of(("CN", "  alice  ")),
    "only-a-space": subject_of(("CN", " ")),
    "looks-like-two": subject_of(("CN", "alice,CN=bob"), ("OU", "x+OU=admin")),
    "quotes-in-issuer": {"subject": PLAIN, "issuer": name(("O", 'The "CA", Inc.'),
                                                           ("CN", "a\\b\nc"))},
    "empty-subject": {"subject": name(), "extensions": [der.san(der.dns("device-1.example"))]},
    "empty-issuer": {"subject": PLAIN, "issuer": name()},
    "empty-value-before-others": subject_of(("OU", ""), ("OU", "b"), ("OU", ""), ("CN", "alice")),
    "serial-numbers-in-subject": subject_of(("serialNumber", der.printable("1")),
                                            ("serialNumber", der.printable("2"))),
    "empty-value": subject_of(("OU", ""), ("CN", "alice")),
    "email-in-subject": subject_of(("CN", "alice"), ("Email", der.ia5("alice@example.com")),
                                   ("Email", der.ia5("a2@example.com"))),
    "serial-zero": {"subject": PLAIN, "serial": 0},
    "serial-one-digit": {"subject": PLAIN, "serial": 5},
    "serial-high-bit": {"subject": PLAIN, "serial": 0x80},
    "serial-two-octets": {"subject": PLAIN, "serial": 0x0100},
    "serial-64-bit": {"subject": PLAIN, "serial": 0xFFFFFFFFFFFFFFFF},
    "serial-20-octets": {"subject": PLAIN, "serial": int("7f" + "0a" * 19, 16)},
    "serial-20-octets-high-bit": {"subject": PLAIN, "serial": 2**160 - 1},
    "serial-negative": {"subject": PLAIN, "serial": -5},
    "serial-negative-256": {"subject": PLAIN, "serial": -256},
    "serial-negative-large": {"subject": PLAIN, "serial": -(2**120) + 7},
    "generalized-dates": {"subject": PLAIN, "not_before": "19500101000000Z",
                          "not_after": "99991231235959Z"},
    "utc-year-1999": {"subject": PLAIN, "not_before": "19991231235959Z",
                      "not_after": "20491231235959Z"},
    "day-of-one-digit": {"subject": PLAIN, "not_before": "20240305070809Z",
                         "not_after": "20350405060708Z"},
    "version-1": {"subject": PLAIN, "extensions": []},
    "sans-of-all-types": sans(
        der.email("alice@example.com"), der.dns("a.example"), der.uri("spiffe://example/alice"),
        der.address(bytes([192, 0, 2, 1])), der.address(bytes.fromhex("20010db8" + "00" * 11 + "01")),
        der.upn(der.utf8("alice@corp.example")), der.directory(name(("CN", "other"))),
        der.registered_id("1.2.3.4"), der.other_name("1.3.6.1.5.5.7.8.7", der.ia5("_x.a.example")),
        der.other_name("1.2.3.4", der.utf8("v")), der.email("second@example.com"),
        der.dns("*.b.example")),
    "dozens-of-sans": sans(*(der.dns(f"n{i}.example") for i in range(40)),
                           *(der.email(f"m{i}@example.com") for i in range(40)),
                           *(der.upn(der.utf8(f"u{i}@example.com")) for i in range(12))),
    "san-control-characters": sans(der.dns("a\nb\\c"), der.email("x\x1by@example.com"),
                                   der.upn(der.utf8("u\r\nv\\w"))),
    "san-eight-bit": sans(der.dns("caf\xe9.example"), der.email("zo\xeb@example.com")),
    "san-utf8-in-ia5": sans(der.tlv(0x82, "café.example".encode())),
    "san-upn-utf8": sans(der.upn(der.utf8("Zoë@例え"))),
    "san-upn-not-utf8string": sans(der.upn(der.ia5("mallory@corp.example")),
                                   der.upn(der.utf8("alice@corp.example"))),
    "san-empty-values": sans(der.dns(""), der.email(""), der.upn(der.utf8(""))),
    "san-empty-before-others": sans(der.dns(""), der.dns("a.example"), der.email(""),
                                    der.email("b@example.com"), der.upn(der.utf8("")),
                                    der.upn(der.utf8("c@example.com"))),
    "san-mapped-address": sans(der.address(bytes.fromhex("00" * 10 + "ffff" + "c0000201"))),
    "key-rsa": {"subject": PLAIN, "key": "rsa"},
    "key-ed25519": {"subject": PLAIN, "key": "ed25519"},
    "signed-by-rsa": {"subject": PLAIN, "issuer_key": "rsa"},
    "signed-by-rsa-pss": {"subject": PLAIN, "issuer_key": "rsa", "digest": "pss"},
    "signed-by-ed25519": {"subject": PLAIN, "issuer_key": "ed25519"},
    "signed-by-ecdsa-sha384": {"subject": PLAIN, "digest": "sha384"},
}

# Apache shows the bare octets, which lets what is no text pass for one; Handclasp shows "#" and the DER.
NO_CHARACTER_STRING: dict[str, dict] = {
    "cn-bit-string": subject_of(("CN", der.bits(b"alice"))),
    "cn-sequence": subject_of(("CN", der.sequence(der.utf8("alice")))),
}

REFUSED: dict[str, tuple[str, dict]] = {
    "nul-in-cn": ("NUL", subject_of(("CN", "alice\0.evil"))),
    "nul-in-bmp-cn": ("NUL", subject_of(("CN", der.bmp("alice\0.evil")))),
    "nul-in-universal-cn": ("NUL", subject_of(("CN", der.universal("alice\0.evil")))),
    "nul-in-ou": ("NUL", subject_of(("OU", "x\0"), ("CN", "alice"))),
    "nul-in-issuer": ("NUL", {"subject": PLAIN, "issuer": name(("CN", "ca\0x"))}),
    "nul-in-dns": ("NUL", sans(der.dns("alice\0.evil"))),
    "nul-in-email": ("NUL", sans(der.email("alice@example.com\0.evil"))),
    "nul-in-uri": ("NUL", sans(der.uri("spiffe://alice\0.evil"))),
    "nul-in-upn": ("NUL", sans(der.upn(der.utf8("alice\0.evil")))),
    "nul-in-upn-of-wrong-type": ("NUL", sans(der.upn(der.ia5("alice\0.evil")))),
    "nul-in-other-name": ("NUL", sans(der.other_name("1.2.3.4", der.utf8("alice\0.evil")))),
    "nul-in-directory-name": ("NUL", sans(der.directory(name(("CN", "alice\0.evil"))))),
    "cn-octet-string": ("not a certificate", subject_of(("CN", der.octets(b"alice")))),
    "cn-visible-string": ("not a certificate", subject_of(("CN", der.tlv(0x1A, b"alice")))),
    "san-address-of-5-octets": ("iPAddress", sans(der.address(b"12345"))),
    "san-upn-broken-utf8": ("well-formed", sans(der.upn(der.tlv(0x0C, b"a\xff")))),
    "san-twice": ("", {"subject": PLAIN, "extensions": [der.san(der.dns("a")),
                                                        der.san(der.dns("b"))]}),
    "san-not-decodable": ("", {"subject": PLAIN,
                               "extensions": [der.extension("2.5.29.17", b"\x30\x05\x82")]}),
    "san-257-entries": ("256", sans(*(der.dns(f"n{i}.example") for i in range(257)))),
    "65-attributes": ("64", subject_of(*(("OU", f"{i}") for i in range(65)))),
    "serial-21-octets": ("20 octets", {"subject": PLAIN, "serial": 2**160}),
    "serial-30-octets": ("20 octets", {"subject": PLAIN, "serial": 2**239 - 1}),
    "key-usage-twice": ("extension", {"subject": PLAIN,
                                      "extensions": [der.key_usage("digitalSignature")] * 2}),
    "eku-not-decodable": ("extension", {"subject": PLAIN,
                                        "extensions": [der.extension("2.5.29.37", b"\x04")]}),
}
