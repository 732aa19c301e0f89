"""Client certificates as immutable values (RFC 5280).

`environ["handclasp.certificate"]` is a `Certificate`, or None where the client sent none. That one
is there says nothing about trust: `environ["handclasp.verdict"]` does. Everything but the DER
itself is computed when it is asked for and then kept. The decoding is done by OpenSSL, in the
extension module.
"""

from __future__ import annotations

import hashlib
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import cached_property
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any, Literal, NamedTuple, NoReturn, overload

from handclasp import _core

__all__ = [
    "Attribute",
    "Certificate",
    "Name",
    "SubjectAltName",
    "SubjectAltNames",
]

# The attribute types that RFC 4514 section 3 gives a short name, and the ones that RFC 4519 and
# PKCS #9 add.
_SHORT_NAMES = {
    "2.5.4.3": "CN",
    "2.5.4.4": "sn",
    "2.5.4.5": "serialNumber",
    "2.5.4.6": "C",
    "2.5.4.7": "L",
    "2.5.4.8": "ST",
    "2.5.4.9": "street",
    "2.5.4.10": "O",
    "2.5.4.11": "OU",
    "2.5.4.12": "title",
    "2.5.4.13": "description",
    "2.5.4.17": "postalCode",
    "2.5.4.42": "givenName",
    "2.5.4.43": "initials",
    "2.5.4.44": "generationQualifier",
    "2.5.4.45": "x500UniqueIdentifier",
    "2.5.4.46": "dnQualifier",
    "0.9.2342.19200300.100.1.1": "UID",
    "0.9.2342.19200300.100.1.25": "DC",
    "1.2.840.113549.1.9.1": "emailAddress",
}

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

SanType = Literal["dns", "email", "uri", "ip", "upn", "other"]


class Attribute(NamedTuple):
    """One attribute of a distinguished name.

    type: short name as in mod_ssl's variables ("CN", "O", "OU", "Email", "UID" …), the dotted OID
        where it has none.
    oid: the dotted OID, always.
    value: text.
    """

    type: str
    oid: str
    value: str


class Name(Sequence[tuple[Attribute, ...]]):
    """A distinguished name: a sequence of RDNs in the order of the certificate, each a tuple of
    attributes.

    Compare names by value, never by text: `str()` is for people and logs. Hashable, immutable.
    """

    __slots__ = ("_rdns",)

    def __init__(self, rdns: Sequence[Sequence[tuple[str, str, str]]]) -> None:
        self._rdns = tuple(tuple(Attribute(*attribute) for attribute in rdn) for rdn in rdns)

    @overload
    def __getitem__(self, index: int) -> tuple[Attribute, ...]: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[tuple[Attribute, ...], ...]: ...
    def __getitem__(
        self, index: int | slice
    ) -> tuple[Attribute, ...] | tuple[tuple[Attribute, ...], ...]:
        return self._rdns[index]

    def __len__(self) -> int:
        return len(self._rdns)

    def attributes(self) -> Iterator[Attribute]:
        """All attributes, RDN after RDN."""
        for rdn in self._rdns:
            yield from rdn

    def get_all(self, type: str) -> tuple[str, ...]:
        """Every value of an attribute type, given as short name (case does not matter) or dotted
        OID."""
        wanted = type.lower()
        return tuple(
            a.value
            for a in self.attributes()
            if wanted in (a.type.lower(), a.oid, _short_name(a.oid).lower())
        )

    @overload
    def get(self, type: str) -> str | None: ...
    @overload
    def get(self, type: str, default: str) -> str: ...
    def get(self, type: str, default: str | None = None) -> str | None:
        """The first value of an attribute type, or `default`. A name may have several: see
        `get_all`."""
        values = self.get_all(type)
        return values[0] if values else default

    @property
    def common_name(self) -> str | None:
        """The first CN, None where there is none."""
        return self.get("2.5.4.3")

    def __str__(self) -> str:
        """RFC 4514: last RDN first, "+" between the attributes of one RDN, special characters
        escaped."""
        return ",".join("+".join(_rfc4514(a) for a in rdn) for rdn in reversed(self._rdns))

    def __repr__(self) -> str:
        return f"<Name {str(self)!r}>"

    def __eq__(self, other: object) -> bool:
        return self._rdns == other._rdns if isinstance(other, Name) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._rdns)


def _short_name(oid: str) -> str:
    return _SHORT_NAMES.get(oid, oid)


def _rfc4514(attribute: Attribute) -> str:
    short = _SHORT_NAMES.get(attribute.oid)
    if short is None:
        # Section 2.4: a dotted type goes with "#" and the encoded value, here as a UTF8String.
        return f"{attribute.oid}=#{_utf8_string(attribute.value).hex()}"
    value = attribute.value
    out = []
    for place, char in enumerate(value):
        if (
            char in '"+,;<>\\'
            or (char == "#" and place == 0)
            or (char == " " and place in (0, len(value) - 1))
        ):
            out.append("\\" + char)
        elif char < " " or char == "\x7f":
            out.append(f"\\{ord(char):02x}")
        else:
            out.append(char)
    return f"{short}={''.join(out)}"


def _utf8_string(text: str) -> bytes:
    octets = text.encode()
    size = len(octets)
    if size < 128:
        return bytes((0x0C, size)) + octets
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((0x0C, 0x80 | len(length))) + length + octets


class SubjectAltName(NamedTuple):
    """One subjectAltName entry (RFC 5280 section 4.2.1.6): a type, and text or, for "ip", an
    address."""

    type: SanType
    value: str | IPv4Address | IPv6Address


class SubjectAltNames(tuple[SubjectAltName, ...]):
    """The subjectAltName entries in the order of the certificate, and by type. An entry of one type
    never shows up under another: an email address is no DNS name."""

    __slots__ = ()

    def _texts(self, type: SanType) -> tuple[str, ...]:
        return tuple(san.value for san in self if san.type == type and isinstance(san.value, str))

    @property
    def dns(self) -> tuple[str, ...]:
        return self._texts("dns")

    @property
    def email(self) -> tuple[str, ...]:
        return self._texts("email")

    @property
    def uri(self) -> tuple[str, ...]:
        return self._texts("uri")

    @property
    def upn(self) -> tuple[str, ...]:
        """Microsoft user principal names (otherName 1.3.6.1.4.1.311.20.2.3)."""
        return self._texts("upn")

    @property
    def other(self) -> tuple[str, ...]:
        """Entries of any other type, as OpenSSL prints them: to look at, not to decide by."""
        return self._texts("other")

    @property
    def ip(self) -> tuple[IPv4Address | IPv6Address, ...]:
        return tuple(
            san.value for san in self if san.type == "ip" and not isinstance(san.value, str)
        )


class Certificate:
    """An X.509 certificate: immutable, equal and hashed by its DER.

    der: the certificate, DER.
    chain: the other certificates that the client sent, in its order, as DER or `Certificate`.
    variables: the SSL_CLIENT_… variables of this certificate, where the server made them already.

    A DER that cannot be decoded raises ValueError when an attribute needs it decoded, not before.
    """

    der: bytes
    chain: tuple[Certificate, ...]
    _variables: Mapping[str, str]

    def __init__(
        self,
        der: bytes,
        chain: Sequence[bytes | Certificate] = (),
        variables: Mapping[str, str] | None = None,
    ) -> None:
        fields = self.__dict__
        fields["der"] = bytes(der)
        fields["chain"] = tuple(c if isinstance(c, Certificate) else Certificate(c) for c in chain)
        fields["_variables"] = variables if variables is not None else {}

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"a certificate is immutable: {name!r} cannot be set")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"a certificate is immutable: {name!r} cannot be deleted")

    def __eq__(self, other: object) -> bool:
        return self.der == other.der if isinstance(other, Certificate) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.der)

    def __reduce__(self) -> tuple[Any, ...]:
        return (Certificate, (self.der, self.chain))

    def __repr__(self) -> str:
        try:
            return f"<Certificate {str(self.subject)!r} serial {self.serial_hex}>"
        except ValueError:
            return f"<Certificate that cannot be decoded, SHA-256 {self.fingerprint_sha256}>"

    @cached_property
    def _decoded(self) -> _core.DecodedCertificate:
        return _core.decode_certificate(self.der)

    @cached_property
    def serial(self) -> int:
        """The serial number, as an integer of up to 20 octets (RFC 5280 section 4.1.2.2); negative
        ones exist.

        Two CAs may use one serial: never take it alone for who a client is."""
        text = self._variables.get("SSL_CLIENT_M_SERIAL")
        return int(text if text is not None else self._decoded["serial"], 16)

    @cached_property
    def serial_hex(self) -> str:
        """Canonical text: lower-case hex without leading zeros, "-" before a negative one."""
        return f"{self.serial:x}"

    @cached_property
    def subject(self) -> Name:
        return Name(self._decoded["subject"])

    @cached_property
    def issuer(self) -> Name:
        return Name(self._decoded["issuer"])

    @cached_property
    def sans(self) -> SubjectAltNames:
        return SubjectAltNames(_san(type, text) for type, text in self._decoded["sans"])

    @cached_property
    def not_before(self) -> datetime:
        """Start of validity: aware, UTC."""
        return _EPOCH + timedelta(seconds=self._decoded["not_before"])

    @cached_property
    def not_after(self) -> datetime:
        """End of validity: aware, UTC."""
        return _EPOCH + timedelta(seconds=self._decoded["not_after"])

    @cached_property
    def fingerprint_sha256(self) -> str:
        """SHA-256 of the DER: 64 lower-case hex digits."""
        return hashlib.sha256(self.der).hexdigest()

    @cached_property
    def fingerprint_sha1(self) -> str:
        """SHA-1 of the DER, lower-case hex: to look a certificate up in old lists, not to decide
        by."""
        return hashlib.sha1(self.der, usedforsecurity=False).hexdigest()

    @cached_property
    def pem(self) -> str:
        """RFC 7468 text, with a newline at its end."""
        text = b64encode(self.der).decode("ascii")
        lines = [text[at : at + 64] for at in range(0, len(text), 64)]
        return "\n".join(["-----BEGIN CERTIFICATE-----", *lines, "-----END CERTIFICATE-----", ""])

    @cached_property
    def public_key_type(self) -> str:
        """ "EC", "RSA", "ED25519" …, as OpenSSL names it."""
        return self._decoded["public_key_type"]

    @cached_property
    def public_key_bits(self) -> int:
        """Size of the key in bits."""
        return self._decoded["public_key_bits"]


def _san(type: SanType, text: str) -> SubjectAltName:
    return SubjectAltName(type, ip_address(text) if type == "ip" else text)
