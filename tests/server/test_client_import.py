"""`handclasp client import`: certificates and serials of other CAs, in any spelling; all of a file or nothing."""

from __future__ import annotations

import datetime
import json
import random
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7
from cryptography.x509.oid import NameOID
from test_client_commands import Clients

KEY = ec.generate_private_key(ec.SECP256R1())
NOW = datetime.datetime.now(datetime.UTC)


def name(*parts: tuple[x509.ObjectIdentifier, str]) -> x509.Name:
    return x509.Name([x509.NameAttribute(oid, text) for oid, text in parts])


METERS = name((NameOID.ORGANIZATION_NAME, "Example"), (NameOID.COMMON_NAME, "Meters CA"))
METERS_TEXT = "CN=Meters CA,O=Example"


def certificate(
    subject: x509.Name | str = "device",
    issuer: x509.Name = METERS,
    sans: list[x509.GeneralName] | None = None,
    serial: int | None = None,
    ca: bool = False,
    issuer_key: ec.EllipticCurvePrivateKey = KEY,
) -> x509.Certificate:
    builder = (
        x509.CertificateBuilder()
        .subject_name(name((NameOID.COMMON_NAME, subject)) if isinstance(subject, str) else subject)
        .issuer_name(issuer)
        .public_key(KEY.public_key())
        .serial_number(serial or x509.random_serial_number())
        .not_valid_before(NOW - datetime.timedelta(days=1))
        .not_valid_after(NOW + datetime.timedelta(days=300))
    )
    if ca:
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(issuer_key.public_key()), False)
    if sans:
        builder = builder.add_extension(x509.SubjectAlternativeName(sans), False)
    return builder.sign(issuer_key, hashes.SHA256())


def pem(*certificates: x509.Certificate) -> bytes:
    return b"".join(c.public_bytes(Encoding.PEM) for c in certificates)


def read_tlv(der: bytes) -> tuple[bytes, bytes]:
    """The content of the first value, and what is behind it."""
    size, at = der[1], 2
    if size & 0x80:
        at += size & 0x7F
        size = int.from_bytes(der[2:at], "big")
    return der[at : at + size], der[at + size :]


def tlv(tag: int, content: bytes) -> bytes:
    size = len(content)
    if size < 0x80:
        return bytes([tag, size]) + content
    octets = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(octets)]) + octets + content


def with_serial(der: bytes, octets: bytes) -> bytes:
    """The same certificate with a serial that an honest encoder would not write: 0, negative, padded, too long."""
    outer, _ = read_tlv(der)
    tbs, signature = read_tlv(outer)
    version, rest = tbs[:5], tbs[5:]
    assert version == b"\xa0\x03\x02\x01\x02"
    _, rest = read_tlv(rest)
    return tlv(0x30, tlv(0x30, version + tlv(2, octets) + rest) + signature)


@pytest.fixture
def clients(program, tmp_path) -> Clients:
    found = Clients(program, tmp_path / "s")
    assert program.run("init", "--state", found.state).returncode == 0
    return found


@pytest.fixture
def meters_ca(tmp_path) -> Path:
    path = tmp_path / "meters-ca.pem"
    path.write_bytes(pem(certificate(METERS, ca=True)))
    return path


def put(folder: Path, file: str, content: bytes | str) -> Path:
    path = folder / file
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


# --- certificates ---


def test_one_certificate_for_the_client_that_is_named(clients, tmp_path):
    one = certificate("anything")
    for file, content in [("a.pem", pem(one)), ("a.der", one.public_bytes(Encoding.DER))]:
        clients.do("import", "--name", "alice", put(tmp_path, file, content))
    (row,) = clients.show("alice")["certificates"]
    assert row["origin"] == "imported"
    assert row["issuer"] == METERS_TEXT
    assert row["fingerprint_sha256"] == one.fingerprint(hashes.SHA256()).hex()


def test_many_certificates_of_one_file_and_of_a_folder(clients, tmp_path):
    folder = tmp_path / "certs"
    folder.mkdir()
    put(folder, "b.pem", b"Bag Attributes: some text\n" + pem(certificate("bob"), certificate("carol")))
    put(folder, "a.crt", certificate("alice").public_bytes(Encoding.DER))
    put(folder, "a.key", "no certificate, and not looked at")
    put(folder, ".hidden.pem", "not looked at either")
    said = clients.json("import", folder)
    assert (said["certificates"], said["clients"]) == (3, 3)
    assert clients.names() == ["alice", "bob", "carol"]


@pytest.mark.parametrize("encoding", [Encoding.PEM, Encoding.DER])
def test_a_pkcs7_bundle_without_its_cas(clients, tmp_path, encoding):
    bundle = pkcs7.serialize_certificates(
        [certificate(METERS, ca=True), certificate("alice"), certificate("bob")], encoding)
    said = clients.json("import", put(tmp_path, "b.p7b", bundle))
    assert (said["certificates"], said["clients"], said["cas_left_out"]) == (2, 2, 1)
    assert sorted(clients.names()) == ["alice", "bob"]


def test_a_ca_alone_is_no_client(clients, meters_ca):
    assert "a CA is no client" in clients.refuse("import", "--name", "x", meters_ca)


def test_imported_twice_it_is_on_record_once(clients, tmp_path):
    file = put(tmp_path, "a.pem", pem(certificate("alice"), certificate("bob")))
    clients.do("import", file)
    before = clients.audit()
    said = clients.json("import", file)
    assert (said["certificates"], said["clients"], said["on_record_already"]) == (0, 0, 2)
    assert clients.audit() == before


def test_a_certificate_of_another_client_is_refused_with_its_file(clients, tmp_path):
    file = put(tmp_path, "a.pem", pem(certificate("bob"), certificate("alice")))
    clients.do("import", file)
    assert "a.pem" in clients.refuse("import", "--name", "eve", file)


def test_a_dry_run_lists_and_changes_nothing(clients, tmp_path):
    file = put(tmp_path, "a.pem", pem(certificate("alice", serial=0x1F), certificate("bob")))
    said = clients.json("import", "--dry-run", file)
    assert [(row["client"], row["issuer"]) for row in said["rows"]] == [("alice", METERS_TEXT), ("bob", METERS_TEXT)]
    assert said["rows"][0]["serial"] == "1f"
    assert "alice   1f " in clients.do("import", "--dry-run", file)
    assert clients.names() == []
    assert clients.audit() == []


OTHER_NAME = x509.OtherName(x509.ObjectIdentifier("1.3.6.1.4.1.311.20.2.3"), b"\x0c\x0calice@corp.x")
SANS = [
    x509.RFC822Name("alice@example.org"),
    OTHER_NAME,
    x509.UniformResourceIdentifier("urn:alice"),
    x509.DNSName("alice.example.org"),
]


@pytest.mark.parametrize(
    ("source", "wanted"),
    [("cn", "device"), ("email", "alice@example.org"), ("upn", "alice@corp.x"), ("uri", "urn:alice"),
     ("dns", "alice.example.org")],
)
def test_the_name_is_taken_from_where_it_is_said_to_be(clients, tmp_path, source, wanted):
    clients.do("import", "--name-from", source, put(tmp_path, "a.pem", pem(certificate(sans=SANS))))
    assert clients.names() == [wanted]


@pytest.mark.parametrize(
    ("source", "one"),
    [
        ("cn", certificate(name((NameOID.ORGANIZATION_NAME, "x")))),
        ("cn", certificate(name((NameOID.COMMON_NAME, "a"), (NameOID.COMMON_NAME, "b")))),
        ("cn", certificate("a\x1b[2Jb")),
        ("cn", certificate(" a")),
        ("cn", certificate("x\u202ey")),
        ("email", certificate("alice")),
        ("email", certificate(sans=[x509.RFC822Name("a@x.y"), x509.RFC822Name("b@x.y")])),
        ("dns", certificate(sans=[x509.DNSName("x" * 60 + "." + "y" * 60)])),
    ],
)
def test_no_name_two_names_and_bad_names_are_refused(clients, tmp_path, source, one):
    file = put(tmp_path, "a.pem", pem(certificate("fine", sans=[x509.RFC822Name("f@x.y"), x509.DNSName("f")]), one))
    said = clients.refuse("import", "--name-from", source, file)
    assert f"certificate {one.serial_number:x}" in said
    assert "\x1b" not in said and "\u202e" not in said
    assert clients.names() == []


HOSTILE = {
    "empty": b"",
    "text": b"no certificate in here\n",
    "broken base64": b"-----BEGIN CERTIFICATE-----\n!!!!\n-----END CERTIFICATE-----\n",
    "no end": pem(certificate("x"))[:200],
    "truncated der": certificate("x").public_bytes(Encoding.DER)[:-1],
    "behind der": certificate("x").public_bytes(Encoding.DER) + b"\0",
    "key": b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
    "bundle of nothing": bytes.fromhex("3080 06092a864886f70d010702 a080 3080 020101 3100 300b06092a864886f70d010701"
                                       "3100 0000 0000 0000"),
    "data, not signed": bytes.fromhex("3080 06092a864886f70d010701 a080 0403 616263 0000 0000"),
    "one good, one bad": pem(certificate("x")) + b"-----BEGIN CERTIFICATE-----\nMAMCAQE=\n-----END CERTIFICATE-----\n",
    "21 octets": with_serial(certificate("x", serial=1).public_bytes(Encoding.DER), b"\x01" * 21),
    "nul in the name": certificate("a\0b").public_bytes(Encoding.DER),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_what_is_no_certificate_is_one_line_with_its_file(clients, tmp_path, what):
    said = clients.refuse("import", "--name", "a", put(tmp_path, "h.pem", HOSTILE[what]))
    assert "h.pem" in said
    assert clients.names() == []


def test_a_missing_file_and_an_empty_folder_are_said(clients, tmp_path):
    (tmp_path / "empty").mkdir()
    assert "empty" in clients.refuse("import", tmp_path / "empty")
    assert "missing" in clients.refuse("import", tmp_path / "missing")


# --- CSV ---


def test_rows_are_put_on_record_with_their_roles(clients, tmp_path, meters_ca):
    first = f'alice,"{METERS_TEXT}",0x1F,meter;night\r\n'
    file = put(tmp_path, "m.csv", first + '"bob ""b"" x", "cn=meters ca, o=example" ,00:a0\n\n')
    said = clients.json("import", "--ca-certs", meters_ca, file)
    assert (said["certificates"], said["clients"]) == (2, 2)
    assert clients.show("1f")["roles"] == ["meter", "night"]
    bob = clients.show('bob "b" x')
    assert bob["certificates"][0]["serial"]["hex"] == "a0"
    assert bob["certificates"][0]["issuer"] == METERS_TEXT
    assert bob["certificates"][0]["fingerprint_sha256"] is None
    assert bob["certificates"][0]["origin"] == "serial"


def test_a_header_names_the_columns_in_any_order(clients, tmp_path, meters_ca):
    file = put(tmp_path, "m.csv", "\ufeffComment,SERIAL_Decimal,Roles,Name\nignored,0031,,alice\n,255,meter,bob\n")
    clients.do("import", "--issuer", meters_ca, file)
    assert clients.show("alice")["certificates"][0]["serial"]["hex"] == "1f"
    assert clients.show("0xff")["name"] == "bob"


def test_the_cas_of_the_server_may_be_named(clients, tmp_path):
    ca = x509.load_pem_x509_certificate((clients.state / "ca/ca.pem").read_bytes())
    file = put(tmp_path, "m.csv", f"alice,{ca.subject.rfc4514_string()},ab\n")
    clients.do("import", file)
    assert clients.show("alice")["certificates"][0]["serial"]["hex"] == "ab"


def test_a_later_certificate_with_that_serial_takes_the_rows_place(clients, tmp_path, meters_ca):
    clients.do("import", "--issuer", meters_ca, put(tmp_path, "m.csv", "name,serial\nalice,0x1f2e\n"))
    extended = (
        x509.CertificateBuilder()
        .subject_name(name((NameOID.COMMON_NAME, "alice"))).issuer_name(METERS).public_key(KEY.public_key())
        .serial_number(0x1F2E).not_valid_before(NOW).not_valid_after(NOW + datetime.timedelta(days=9))
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(KEY.public_key()), False)
        .sign(KEY, hashes.SHA256())
    )
    clients.do("import", put(tmp_path, "a.pem", pem(extended)))
    (row,) = clients.show("alice")["certificates"]
    assert row["fingerprint_sha256"] == extended.fingerprint(hashes.SHA256()).hex()


BAD_ROWS = {
    "alice,CN=Nobody,1f": "no CA of this server is named",
    'alice,"CN=Meters CA\\,O=Example",1f': "no CA of this server is named",
    f'alice,"{METERS_TEXT}",': "empty",
    f'alice,"{METERS_TEXT}"': "empty",
    f'alice,"{METERS_TEXT}",1g': "neither hex nor decimal",
    f"alice;{METERS_TEXT};1f".replace(",", ""): "separated by commas",
    "alice\tCN=x\t1f": "separated by commas",
    f'alice,"{METERS_TEXT}",1:2': "colon",
    f'alice,"{METERS_TEXT}",123': "--serials hex or --serials decimal",
    f'alice,"{METERS_TEXT}",0x' + "ab" * 21: "longer than 20 octets",
    f',"{METERS_TEXT}",1f': "name",
    f'a\x1bb,"{METERS_TEXT}",1f': "name",
    f'{"x" * 65},"{METERS_TEXT}",1f': "name",
    f'alice,"{METERS_TEXT}",1f,bad role!': "role",
    'alice,"CN=never closed,1f': "comma is wanted",
    'alice,CN="x",1f': "quote",
    'alice,"CN=x"y,1f': "comma",
    "alice,,1f": "which CA issued it",
    "a,b," * 40: "fields",
    "alice," + "x" * 70000 + ",1f": "octets",
    "al\0ice,CN=x,1f": "UTF-8",
}


@pytest.mark.parametrize("row", BAD_ROWS)
def test_a_bad_row_is_named_and_nothing_is_imported(clients, tmp_path, meters_ca, row):
    file = put(tmp_path, "m.csv", f'bob,"{METERS_TEXT}",aa\n\n{row}\ncarol,"{METERS_TEXT}",bb\n')
    said = clients.refuse("import", "--ca-certs", meters_ca, file)
    assert "m.csv:3: " in said
    assert BAD_ROWS[row] in said
    assert "\x1b" not in said
    assert clients.names() == []


def test_a_column_of_decimal_serials_takes_no_letters(clients, tmp_path, meters_ca):
    file = put(tmp_path, "m.csv", "name,serial_decimal\nalice,31\nbob,1F\n")
    assert "m.csv:3: the serial is not decimal" in clients.refuse("import", "--issuer", meters_ca, file)
    assert clients.names() == []
    file = put(tmp_path, "m.csv", "name,serial_decimal\nalice,31\nbob,0x20\ncarol,12:34\n")
    clients.do("import", "--issuer", meters_ca, file)
    assert [clients.show(n)["certificates"][0]["serial"]["hex"] for n in clients.names()] == ["1f", "20", "1234"]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"], ids=["lf", "crlf", "cr"])
def test_lines_end_as_the_system_they_come_from_ends_them(clients, tmp_path, meters_ca, end):
    file = put(tmp_path, "m.csv", "\ufeffname,serial_hex" + end + "alice,1f" + end + end + "bob,20")
    clients.do("import", "--issuer", meters_ca, file)
    assert clients.names() == ["alice", "bob"]
    file = put(tmp_path, "m.csv", "name,serial_hex" + end + "carol,1f" + end)
    assert "m.csv:2: " in clients.refuse("import", "--issuer", meters_ca, file)


def test_what_is_no_ca_issued_no_serials(clients, tmp_path):
    leaf = put(tmp_path, "leaf.pem", pem(certificate("alice")))
    file = put(tmp_path, "m.csv", "name,serial_hex\nalice,1f\n")
    assert "leaf.pem is not the certificate of a CA" in clients.refuse("import", "--issuer", leaf, file)


def test_a_revoked_client_is_named_where_it_gets_no_more(clients, tmp_path, meters_ca):
    clients.do("import", "--issuer", meters_ca, put(tmp_path, "m.csv", "name,serial_hex\nalice,1f\n"))
    assert clients.audit("--limit", 1)[0]["now"] == {"origin": "serial"}  # no digest, no validity: none is known
    clients.do("revoke", "alice")
    said = clients.refuse("import", "--issuer", meters_ca, put(tmp_path, "m.csv", "name,serial_hex\nalice,20\n"))
    assert "the client alice is revoked" in said


def test_a_quote_that_is_never_closed_is_named_where_it_begins(clients, tmp_path, meters_ca):
    file = put(tmp_path, "m.csv", 'name,serial\nalice,aa\n"bob,bb\ncarol,cc\n')
    assert "m.csv:3: a quote is not closed" in clients.refuse("import", "--issuer", meters_ca, file)


def test_bytes_that_are_not_utf_8_are_a_bad_row(clients, tmp_path, meters_ca):
    file = put(tmp_path, "m.csv", b"name,serial\nJ\xfcrgen,aa\n")
    assert "m.csv:2: field 1 is not UTF-8" in clients.refuse("import", "--issuer", meters_ca, file)


@pytest.mark.parametrize("header", ["serial,issuer", "name,serial,serial_hex", "name,name,serial"])
def test_a_header_that_cannot_be_meant_is_refused(clients, tmp_path, meters_ca, header):
    assert "m.csv:1: " in clients.refuse("import", "--issuer", meters_ca, put(tmp_path, "m.csv", header + "\na,b,c\n"))


def test_two_cas_of_one_name_are_told_apart_by_their_file(clients, tmp_path, meters_ca):
    other_key = ec.generate_private_key(ec.SECP256R1())
    other = put(tmp_path, "other.pem", pem(certificate(METERS, ca=True, issuer_key=other_key)))
    both = ["--ca-certs", meters_ca, "--ca-certs", other]
    file = put(tmp_path, "m.csv", f'alice,"{METERS_TEXT}",aa\n')
    assert "--issuer FILE says which" in clients.refuse("import", *both, file)
    clients.do("import", "--issuer", other, put(tmp_path, "n.csv", "name,serial\nalice,aa\n"))


# --- serials, in every spelling ---


def spellings(value: int) -> list[str]:
    sign, digits = ("-" if value < 0 else ""), f"{abs(value):x}"
    even = digits if len(digits) % 2 == 0 else "0" + digits
    colons = ":".join(even[i : i + 2] for i in range(0, len(even), 2))
    return [
        f"{sign}{digits}", f"{sign}{digits.upper()}", f"{sign}0x{digits}", f"{sign}0X{digits.upper()}",
        f"{sign}0000{even}", f"{sign}{colons}", f"{sign}00:{colons.upper()}", str(value), f"serial:{value}",
    ]


EDGES = [0, 1, 9, 10, 0x7F, 0x80, 0xFF, 0x100, 2**63 - 1, 2**63, 2**64 - 1, 2**64, 2**64 + 1, 2**127, 2**152,
         2**159 - 1, 2**159, 2**160 - 1, -1, -0x80, -(2**64), -(2**159)]


def two_complement(value: int) -> bytes:
    size = max(1, ((value if value >= 0 else ~value).bit_length() + 8) // 8)
    return value.to_bytes(size, "big", signed=True)


def test_every_spelling_of_a_serial_finds_the_same_certificate(clients, tmp_path, meters_ca):
    """Edge and random serials, from certificates where a DER encoder can write them and from CSV; then by each
    spelling. A spelling that another of them shares is ambiguous and says so."""
    chance = random.Random(11)
    values = EDGES + [chance.getrandbits(chance.choice([8, 32, 64, 65, 100, 159])) for _ in range(25)]
    values = list(dict.fromkeys(values))
    plain = certificate("x", serial=1).public_bytes(Encoding.DER)
    folder = tmp_path / "certs"
    folder.mkdir()
    rows = ["name,serial_decimal"]
    for n, value in enumerate(values):
        octets = two_complement(value)
        if n % 2 == 0 and len(octets) <= 20:
            one = folder / f"{n:03}.der"
            one.write_bytes(with_serial(plain, octets))
            clients.do("import", "--name", f"client-{n}", one)
        else:
            rows.append(f"client-{n},{value}")
    clients.do("import", "--issuer", meters_ca, put(tmp_path, "m.csv", "\n".join(rows) + "\n"))
    owner = {value: f"client-{n}" for n, value in enumerate(values)}
    for value in chance.sample(values, 12) + EDGES[:4] + EDGES[-4:]:
        shown = clients.show(owner[value])["certificates"][0]["serial"]
        assert (int(shown["hex"], 16), int(shown["decimal"])) == (value, value)
        for word in chance.sample(spellings(value), 4):
            meant = {value}
            if not word.startswith("serial:"):
                meant = {int(word.replace(":", ""), 16)}
            bare = word.removeprefix("serial:").lstrip("-")
            if bare.isdigit():
                sign = -1 if "-" in word else 1
                meant = {sign * int(bare), sign * int(bare, 16)}
            found = meant & owner.keys()
            done = clients.program.run("client", "show", "--json", "--state", clients.state, "--", word)
            if len(found) == 1:
                assert done.returncode == 0, (word, done.stderr)
                assert json.loads(done.stdout)["name"] == owner[found.pop()], word
            else:
                assert done.returncode == 1
                assert "more than one" in done.stdout, word


def test_padded_serials_of_certificates_are_the_same_serial(clients, tmp_path):
    """Leading zero octets are not DER; OpenSSL reads them all the same, and another certificate it is."""
    plain = certificate("x", serial=0x42).public_bytes(Encoding.DER)
    clients.do("import", "--name", "a", put(tmp_path, "a.der", plain))
    done = clients.run("import", "--name", "b", put(tmp_path, "b.der", with_serial(plain, b"\0\0\x42")))
    shown = clients.run("show", "42")
    if done.returncode == 0:
        assert "more than one" in shown.stderr
    else:
        assert clients.names() == ["a"]


def test_one_serial_of_two_cas_is_ambiguous_and_nothing_is_done(clients, tmp_path):
    other = name((NameOID.COMMON_NAME, "Other CA"))
    clients.do("import", put(tmp_path, "a.pem", pem(
        certificate("alice", serial=0x5E1F), certificate("bob", issuer=other, serial=0x5E1F))))
    said = clients.refuse("revoke", "5e:1f")
    assert "alice" in said and METERS_TEXT in said
    assert "bob" in said and "CN=Other CA" in said
    assert "fingerprint that `client show` tells" in said
    fingerprint = clients.show("bob")["certificates"][0]["fingerprint_sha256"]
    clients.do("revoke", fingerprint)
    assert clients.show("alice")["certificates"][0]["status"] == "active"
    assert clients.show("bob")["certificates"][0]["status"] == "revoked"
