"""Certificates for tests: authorities, and what they issue, made with `cryptography` in a few lines.

    ca = pki.authority("Test CA")
    alice = ca.issue("alice")                 # an Identity: alice.pem is certificate and chain, alice.key its key
    ca.crl(alice)                             # PEM text of a list that revokes her

Everything is valid from an hour ago to thirty hours from now unless the test says otherwise. Keys are P-256 where no
kind is named.
"""

from __future__ import annotations

import base64
import dataclasses
import datetime
import functools
import itertools
import time
from collections.abc import Iterable
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

HOUR = 3600
ENDS = 30 * HOUR  # no whole number of days, so that the days that remain do not change within a test
CLIENT = ExtendedKeyUsageOID.CLIENT_AUTH
SERVER = ExtendedKeyUsageOID.SERVER_AUTH
PEM = serialization.Encoding.PEM
USAGES = (
    "digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
    "key_cert_sign", "crl_sign", "encipher_only", "decipher_only",
)  # fmt: skip
MAKERS = {
    "p256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "p384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "p521": lambda: ec.generate_private_key(ec.SECP521R1()),
    "p224": lambda: ec.generate_private_key(ec.SECP224R1()),
    "secp256k1": lambda: ec.generate_private_key(ec.SECP256K1()),
    "brainpool256": lambda: ec.generate_private_key(ec.BrainpoolP256R1()),
    "rsa2048": lambda: rsa.generate_private_key(65537, 2048),
    "rsa1024": lambda: rsa.generate_private_key(65537, 1024),
    "ed25519": ed25519.Ed25519PrivateKey.generate,
    "ed448": ed448.Ed448PrivateKey.generate,
}
_labels = itertools.count(1)


def key_usage(*usages: str) -> x509.KeyUsage:
    return x509.KeyUsage(**{name: name in usages for name in USAGES})


@functools.cache
def shared_key(kind: str):
    """One key a kind, for what is slow to make and need not be anybody's own."""
    return MAKERS[kind]()


def new_key(kind: str):
    return shared_key(kind) if kind.startswith("rsa") else MAKERS[kind]()


def common_name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def at(time_s: float) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(time_s, datetime.UTC)


def digest_of(key) -> hashes.HashAlgorithm | None:
    return None if isinstance(key, (ed25519.Ed25519PrivateKey, ed448.Ed448PrivateKey)) else hashes.SHA256()


def key_pem(key, passphrase: bytes | None = None, *, old: bool = False) -> bytes:
    how = serialization.BestAvailableEncryption(passphrase) if passphrase else serialization.NoEncryption()
    form = serialization.PrivateFormat.TraditionalOpenSSL if old else serialization.PrivateFormat.PKCS8
    return key.private_bytes(PEM, form, how)


@dataclasses.dataclass(eq=False)
class Identity:
    """A certificate, its key and its issuers', and the files that TLS libraries want to have."""

    certificate: x509.Certificate
    key: object
    chain: list[x509.Certificate]
    folder: Path
    label: str = dataclasses.field(default_factory=lambda: f"{next(_labels)}")

    @property
    def sha256(self) -> str:
        return self.certificate.fingerprint(hashes.SHA256()).hex()

    @property
    def serial(self) -> int:
        return self.certificate.serial_number

    @property
    def subject(self) -> str:
        return self.certificate.subject.rfc4514_string()

    def pem(self) -> bytes:
        return b"".join(c.public_bytes(PEM) for c in [self.certificate, *self.chain])

    def _file(self, suffix: str, content: bytes) -> Path:
        path = self.folder / f"{self.label}.{suffix}"
        if not path.exists():
            path.write_bytes(content)
            path.chmod(0o600)
        return path

    @functools.cached_property
    def certfile(self) -> Path:
        return self._file("pem", self.pem())

    @functools.cached_property
    def keyfile(self) -> Path:
        return self._file("key", key_pem(self.key))

    def sending(self, *more: x509.Certificate) -> Identity:
        """The same one, sending other certificates behind its own."""
        return Identity(self.certificate, self.key, list(more), self.folder)

    def encrypted_keyfile(self, passphrase: bytes, *, old: bool = False) -> Path:
        return self._file(f"encrypted{old:d}.key", key_pem(self.key, passphrase, old=old))

    def with_another_key(self) -> Identity:
        """What a thief of the certificate can try: a key file whose public half is the certificate's, so that a TLS
        library takes the two for a pair, and whose private half is another's."""
        forged = Identity(self.certificate, self.key, self.chain, self.folder)
        forged.keyfile = forged._file("forged.key", forged_key_pem(self.key))
        return forged


def forged_key_pem(key) -> bytes:
    other = MAKERS[kind_of(key)]()
    if isinstance(key, rsa.RSAPrivateKey):
        mine, theirs = other.private_numbers(), key.public_key().public_numbers()
        return _rsa_pem(theirs.n, theirs.e, mine)
    size = (key.curve.key_size + 7) // 8
    secret = other.private_numbers().private_value.to_bytes(size, "big")
    point = key.public_key().public_bytes(serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)
    # RFC 5915 section 3
    oid = {256: "06082a8648ce3d030107", 384: "06052b81040022", 521: "06052b81040023"}[key.curve.key_size]
    parts = [
        _tlv(2, b"\x01"),
        _tlv(4, secret),
        _tlv(0xA0, bytes.fromhex(oid)),
        _tlv(0xA1, _tlv(3, b"\0" + point)),
    ]
    return _pem("EC PRIVATE KEY", _tlv(0x30, b"".join(parts)))


def _rsa_pem(n: int, e: int, mine: rsa.RSAPrivateNumbers) -> bytes:
    # RFC 8017 appendix A.1.2
    numbers = [0, n, e, mine.d, mine.p, mine.q, mine.dmp1, mine.dmq1, mine.iqmp]
    return _pem("RSA PRIVATE KEY", _tlv(0x30, b"".join(_integer(number) for number in numbers)))


def kind_of(key) -> str:
    if isinstance(key, rsa.RSAPrivateKey):
        return f"rsa{key.key_size}"
    return f"p{key.curve.key_size}"


def _integer(value: int) -> bytes:
    return _tlv(2, value.to_bytes(value.bit_length() // 8 + 1, "big"))


def _tlv(tag: int, body: bytes) -> bytes:
    if len(body) < 0x80:
        return bytes([tag, len(body)]) + body
    size = len(body).to_bytes((len(body).bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(size)]) + size + body


def _pem(label: str, der: bytes) -> bytes:
    return b"-----BEGIN %s-----\n%s-----END %s-----\n" % (
        label.encode(),
        base64.encodebytes(der),
        label.encode(),
    )


class Authority(Identity):
    """An Identity that issues."""

    def issue(
        self,
        name: str | x509.Name = "alice",
        *,
        kind: str = "p256",
        key=None,
        eku: Iterable[x509.ObjectIdentifier] | None = (CLIENT,),
        usage: x509.KeyUsage | None = None,
        serial: int | None = None,
        begins: float = -HOUR,
        ends: float = ENDS,
        hosts: Iterable[str] = (),
        extensions: Iterable[tuple[x509.ExtensionType, bool]] = (),
    ) -> Identity:
        """`begins` and `ends` are seconds from now; `eku` None leaves the extension out."""
        key = key or new_key(kind)
        more = list(extensions)
        if eku is not None:
            more.append((x509.ExtendedKeyUsage(list(eku)), False))
        if hosts:
            more.append((x509.SubjectAlternativeName([x509.DNSName(host) for host in hosts]), False))
        more.append((usage or key_usage("digital_signature"), True))
        more.append((x509.BasicConstraints(False, None), True))
        made = self._sign(name, key, serial, begins, ends, more)
        chain = [] if self.is_root else [self.certificate, *self.chain]
        return Identity(made, key, chain, self.folder)

    def issue_server(self, **options) -> Identity:
        return self.issue("localhost", **({"eku": [SERVER], "hosts": ["localhost"]} | options))

    def intermediate(
        self,
        name: str = "Intermediate",
        *,
        ca: bool = True,
        kind: str = "p256",
        length: int | None = None,
        **times,
    ) -> Authority:
        key = new_key(kind)
        made = self._sign(name, key, None, times.get("begins", -HOUR), times.get("ends", ENDS), _of_ca(ca, length))
        return Authority(made, key, [] if self.is_root else [self.certificate, *self.chain], self.folder)

    @property
    def is_root(self) -> bool:
        return self.certificate.subject == self.certificate.issuer

    def _sign(self, name, key, serial, begins, ends, extensions) -> x509.Certificate:
        now = int(time.time())
        subject = common_name(name) if isinstance(name, str) else name
        builder = x509.CertificateBuilder(
            self.certificate.subject,
            subject,
            key.public_key(),
            serial or x509.random_serial_number(),
            at(now + begins),
            at(now + ends),
        )
        identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key())
        for extension, critical in [*extensions, (identifier, False)]:
            builder = builder.add_extension(extension, critical)
        return builder.sign(self.key, digest_of(self.key))

    def crl(self, *revoked: Identity, begins: float = -HOUR, ends: float = ENDS, key=None) -> str:
        """PEM. With `key` it is signed by somebody else in this authority's name."""
        now = int(time.time())
        builder = x509.CertificateRevocationListBuilder(self.certificate.subject, at(now + begins), at(now + ends))
        for one in revoked:
            entry = x509.RevokedCertificateBuilder(one.serial, at(now - HOUR))
            entry = entry.add_extension(x509.CRLReason(x509.ReasonFlags.key_compromise), False)
            builder = builder.add_revoked_certificate(entry.build())
        number = x509.CRLNumber(now)
        identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key())
        builder = builder.add_extension(number, False).add_extension(identifier, False)
        signer = key or self.key
        return builder.sign(signer, digest_of(signer)).public_bytes(PEM).decode()


def _of_ca(ca: bool, length: int | None) -> list[tuple[x509.ExtensionType, bool]]:
    usage = key_usage("key_cert_sign", "crl_sign") if ca else key_usage("digital_signature")
    return [(x509.BasicConstraints(ca, length if ca else None), True), (usage, True)]


class Pki:
    """Makes authorities; their files and those of what they issue lie in one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def authority(self, name: str = "Test CA", *, kind: str = "p256", ends: float = 10 * ENDS) -> Authority:
        key = new_key(kind)
        now = int(time.time())
        builder = x509.CertificateBuilder(
            common_name(name),
            common_name(name),
            key.public_key(),
            x509.random_serial_number(),
            at(now - 2 * HOUR),
            at(now + ends),
        )
        identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
        for extension, critical in [*_of_ca(True, None), (identifier, False)]:
            builder = builder.add_extension(extension, critical)
        return Authority(builder.sign(key, digest_of(key)), key, [], self.folder)

    def existing(self, certfile: Path, keyfile: Path) -> Authority:
        """Of a state folder, say."""
        certificate = x509.load_pem_x509_certificate(certfile.read_bytes())
        key = serialization.load_pem_private_key(keyfile.read_bytes(), None)
        return Authority(certificate, key, [], self.folder)
