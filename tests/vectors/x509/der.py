"""Just enough DER to write certificates and CRLs that no library would write for us."""

from __future__ import annotations

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, padding, rsa


def tlv(tag: int, *parts: bytes) -> bytes:
    body = b"".join(parts)
    if len(body) < 0x80:
        return bytes([tag, len(body)]) + body
    size = len(body).to_bytes((len(body).bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(size)]) + size + body


def sequence(*parts: bytes) -> bytes:
    return tlv(0x30, *parts)


def set_of(*parts: bytes) -> bytes:
    return tlv(0x31, *parts)


def integer(value: int) -> bytes:
    size = max(1, (value.bit_length() if value >= 0 else (value + 1).bit_length()) // 8 + 1)
    return tlv(0x02, value.to_bytes(size, "big", signed=True))


def boolean(value: bool) -> bytes:
    return tlv(0x01, b"\xff" if value else b"\x00")


def octets(value: bytes) -> bytes:
    return tlv(0x04, value)


def bits(value: bytes, unused: int = 0) -> bytes:
    return tlv(0x03, bytes([unused]), value)


def null() -> bytes:
    return b"\x05\x00"


def oid(dotted: str) -> bytes:
    first, second, *rest = (int(part) for part in dotted.split("."))
    out = b""
    for number in [first * 40 + second, *rest]:
        chunk = [number & 0x7F]
        while number := number >> 7:
            chunk.insert(0, 0x80 | number & 0x7F)
        out += bytes(chunk)
    return tlv(0x06, out)


def utf8(text: str) -> bytes:
    return tlv(0x0C, text.encode())


def printable(text: str) -> bytes:
    return tlv(0x13, text.encode())


def t61(text: str) -> bytes:
    return tlv(0x14, text.encode("latin-1"))


def ia5(text: str) -> bytes:
    return tlv(0x16, text.encode("latin-1"))


def universal(text: str) -> bytes:
    return tlv(0x1C, text.encode("utf-32-be"))


def bmp(text: str) -> bytes:
    return tlv(0x1E, text.encode("utf-16-be"))


def utc_time(text: str) -> bytes:
    return tlv(0x17, text.encode())


def generalized_time(text: str) -> bytes:
    return tlv(0x18, text.encode())


def time(text: str) -> bytes:
    """YYYYMMDDHHMMSSZ in the form that RFC 5280 section 4.1.2.5 wants for that year."""
    return utc_time(text[2:]) if 1950 <= int(text[:4]) < 2050 else generalized_time(text)


ATTRIBUTES = {
    "CN": "2.5.4.3", "SN": "2.5.4.4", "serialNumber": "2.5.4.5", "C": "2.5.4.6", "L": "2.5.4.7",
    "ST": "2.5.4.8", "street": "2.5.4.9", "O": "2.5.4.10", "OU": "2.5.4.11", "title": "2.5.4.12",
    "description": "2.5.4.13", "postalCode": "2.5.4.17", "GN": "2.5.4.42", "initials": "2.5.4.43",
    "x500UniqueIdentifier": "2.5.4.45", "dnQualifier": "2.5.4.46", "pseudonym": "2.5.4.65",
    "UID": "0.9.2342.19200300.100.1.1", "DC": "0.9.2342.19200300.100.1.25",
    "Email": "1.2.840.113549.1.9.1",
}


def name(*rdns: object) -> bytes:
    """Each RDN: ("CN", "text" or DER), or a list of those."""
    out = b""
    for rdn in rdns:
        pairs = rdn if isinstance(rdn, list) else [rdn]
        out += set_of(*(
            sequence(oid(ATTRIBUTES.get(key, key)), utf8(value) if isinstance(value, str) else value)
            for key, value in pairs))
    return sequence(out)


def extension(dotted: str, value: bytes, critical: bool = False) -> bytes:
    return sequence(oid(dotted), *([boolean(True)] if critical else []), octets(value))


def basic_constraints(ca: bool, pathlen: int | None = None) -> bytes:
    inner = (boolean(True) if ca else b"") + (integer(pathlen) if pathlen is not None else b"")
    return extension("2.5.29.19", sequence(inner), critical=True)


KEY_USAGES = ["digitalSignature", "nonRepudiation", "keyEncipherment", "dataEncipherment",
              "keyAgreement", "keyCertSign", "cRLSign"]


def key_usage(*usages: str) -> bytes:
    value = sum(0x80 >> KEY_USAGES.index(usage) for usage in usages)
    return extension("2.5.29.15", bits(bytes([value]), 0), critical=True)


PURPOSES = {"serverAuth": "1.3.6.1.5.5.7.3.1", "clientAuth": "1.3.6.1.5.5.7.3.2",
            "emailProtection": "1.3.6.1.5.5.7.3.4", "any": "2.5.29.37.0"}


def ext_key_usage(*purposes: str) -> bytes:
    return extension("2.5.29.37", sequence(*(oid(PURPOSES[purpose]) for purpose in purposes)))


def san(*entries: bytes) -> bytes:
    return extension("2.5.29.17", sequence(*entries))


def email(text: str) -> bytes:
    return tlv(0x81, text.encode("latin-1"))


def dns(text: str) -> bytes:
    return tlv(0x82, text.encode("latin-1"))


def directory(subject: bytes) -> bytes:
    return tlv(0xA4, subject)


def uri(text: str) -> bytes:
    return tlv(0x86, text.encode("latin-1"))


def address(value: bytes) -> bytes:
    return tlv(0x87, value)


def registered_id(dotted: str) -> bytes:
    return tlv(0x88, oid(dotted)[2:])


def other_name(dotted: str, value: bytes) -> bytes:
    return tlv(0xA0, oid(dotted), tlv(0xA0, value))


def upn(value: bytes) -> bytes:
    return other_name("1.3.6.1.4.1.311.20.2.3", value)


def spki(key) -> bytes:
    return key.public_key().public_bytes(serialization.Encoding.DER,
                                         serialization.PublicFormat.SubjectPublicKeyInfo)


def key_id(key) -> bytes:
    digest = hashes.Hash(hashes.SHA1())
    digest.update(spki(key))
    return digest.finalize()


def subject_key_id(key) -> bytes:
    return extension("2.5.29.14", octets(key_id(key)))


def authority_key_id(key) -> bytes:
    return extension("2.5.29.35", sequence(tlv(0x80, key_id(key))))


HASHES = {"sha256": hashes.SHA256(), "sha1": hashes.SHA1(), "sha384": hashes.SHA384(),
          "sha512": hashes.SHA512(), "md5": hashes.MD5()}
EC_SIGNATURES = {"sha256": "1.2.840.10045.4.3.2", "sha1": "1.2.840.10045.4.1",
                 "sha384": "1.2.840.10045.4.3.3", "sha512": "1.2.840.10045.4.3.4"}
RSA_SIGNATURES = {"sha256": "1.2.840.113549.1.1.11", "sha1": "1.2.840.113549.1.1.5",
                  "md5": "1.2.840.113549.1.1.4"}
PSS_SHA256 = sequence(
    oid("1.2.840.113549.1.1.10"),
    sequence(tlv(0xA0, sequence(oid("2.16.840.1.101.3.4.2.1"), null())),
             tlv(0xA1, sequence(oid("1.2.840.113549.1.1.8"),
                                sequence(oid("2.16.840.1.101.3.4.2.1"), null()))),
             tlv(0xA2, integer(0))))


def algorithm(key, digest: str) -> bytes:
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return sequence(oid("1.3.101.112"))
    if isinstance(key, ed448.Ed448PrivateKey):
        return sequence(oid("1.3.101.113"))
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return sequence(oid(EC_SIGNATURES[digest]))
    if digest == "pss":
        return PSS_SHA256
    return sequence(oid(RSA_SIGNATURES[digest]), null())


def sign(key, digest: str, data: bytes) -> bytes:
    if isinstance(key, (ed25519.Ed25519PrivateKey, ed448.Ed448PrivateKey)):
        return key.sign(data)
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return key.sign(data, ec.ECDSA(HASHES[digest], deterministic_signing=True))
    if digest == "pss":
        return key.sign(data, padding.PSS(padding.MGF1(hashes.SHA256()), 0), hashes.SHA256())
    return key.sign(data, padding.PKCS1v15(), HASHES[digest])


def signed(key, digest: str, body: bytes) -> bytes:
    return sequence(body, algorithm(key, digest), bits(sign(key, digest, body)))


def certificate(*, subject: bytes, issuer: bytes, key, issuer_key, serial: int = 1,
                not_before: str = "20200101000000Z", not_after: str = "21200101000000Z",
                extensions: list[bytes] | None = None, digest: str = "sha256",
                times: tuple[bytes, bytes] | None = None) -> bytes:
    begin, end = times or (time(not_before), time(not_after))
    parts = [integer(serial), algorithm(issuer_key, digest), issuer, sequence(begin, end), subject,
             spki(key)]
    if extensions:
        parts = [tlv(0xA0, integer(2)), *parts, tlv(0xA3, sequence(*extensions))]
    return signed(issuer_key, digest, sequence(*parts))


def crl(*, issuer: bytes, key, entries: list[bytes] | None = None,
        this_update: str = "20200101000000Z", next_update: str | None = "21200101000000Z",
        extensions: list[bytes] | None = None, digest: str = "sha256") -> bytes:
    parts = [integer(1), algorithm(key, digest), issuer, time(this_update)]
    if next_update:
        parts.append(time(next_update))
    if entries:
        parts.append(sequence(*entries))
    if extensions:
        parts.append(tlv(0xA0, sequence(*extensions)))
    return signed(key, digest, sequence(*parts))


def crl_entry(serial: int, *extensions: bytes, date: str = "20210203040506Z") -> bytes:
    return sequence(integer(serial), time(date), *([sequence(*extensions)] if extensions else []))


def reason(code: int) -> bytes:
    return extension("2.5.29.21", tlv(0x0A, bytes([code])))


def new_key(kind: str):
    if kind == "ec":
        return ec.generate_private_key(ec.SECP256R1())
    if kind == "ed25519":
        return ed25519.Ed25519PrivateKey.generate()
    if kind == "ec192":
        return ec.generate_private_key(ec.SECP192R1())
    return rsa.generate_private_key(65537, int(kind.removeprefix("rsa")))
