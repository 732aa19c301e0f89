"""How other TLS terminators hand over a client's certificate, as octets: nothing here trusts
anybody.

Each form reads named texts (a header's or a server variable's value) and gives the certificates in
DER, the client's own first, or says why it cannot: a text that is not exactly what the terminator
documents is no identity. What the DER says, and whether it may come in, is for others to decide.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from urllib.parse import unquote_to_bytes

__all__ = ["FORMS", "Form", "Handed", "Unreadable"]

# As the program's own limits for what a TLS peer may send.
CERTIFICATE_BYTES_MAX = 65536
CHAIN_MAX = 10
TEXT_MAX = 200_000

_PEM = re.compile(r"-----BEGIN CERTIFICATE-----([A-Za-z0-9+/=\s]+)-----END CERTIFICATE-----\s*", re.ASCII)
# RFC 8941 section 3.3.5: a byte sequence, here without parameters.
_BYTE_SEQUENCE = re.compile(r":([A-Za-z0-9+/=]*):", re.ASCII)

# mod_headers writes (null) for a variable that is not set.
_NOTHING = ("", "(null)")
# HAProxy's ssl_c_verify is a number, 0 also where no certificate came.
_NO_RESULT = ("", "(null)", "NONE", "0")
_SUCCESS = ("SUCCESS", "0")


class Unreadable(Exception):
    """What was handed over is not exactly one client's certificate; the text says why."""


@dataclass(frozen=True, slots=True)
class Handed:
    """leaf: the client's certificate in DER. chain: what came besides, in its order."""

    leaf: bytes
    chain: tuple[bytes, ...] = ()


def _from_base64(text: str, what: str) -> bytes:
    try:
        der = base64.b64decode(text)
    except ValueError:
        der = b""
    # The decoder forgives much: one certificate has one spelling.
    if base64.b64encode(der) != text.encode("ascii", "replace"):
        raise Unreadable(f"{what} is not base64")
    if not der or len(der) > CERTIFICATE_BYTES_MAX:
        raise Unreadable(f"{what} is empty or larger than {CERTIFICATE_BYTES_MAX} octets")
    return der


def _pem_blocks(text: str, what: str) -> list[bytes]:
    """Certificates and nothing else; line ends may have become spaces."""
    blocks: list[bytes] = []
    at = 0
    text = text.strip()
    while at < len(text):
        block = _PEM.match(text, at)
        if block is None or len(blocks) == CHAIN_MAX:
            raise Unreadable(f"{what} is not PEM, or more than {CHAIN_MAX} certificates")
        blocks.append(_from_base64("".join(block[1].split()), what))
        at = block.end()
    return blocks


def _unescape(text: str, what: str) -> str:
    if "%" not in text:
        return text
    try:
        return unquote_to_bytes(text).decode("ascii")
    except UnicodeDecodeError:
        raise Unreadable(f"{what} is not url-escaped PEM") from None


def _one_pem(text: str, what: str) -> Handed:
    blocks = _pem_blocks(_unescape(text, what), what)
    if len(blocks) != 1:
        raise Unreadable(f"{what} holds {len(blocks)} certificates, not one")
    return Handed(blocks[0])


def _pem_chain(text: str, what: str) -> Handed:
    blocks = _pem_blocks(_unescape(text, what), what)
    if not blocks:
        raise Unreadable(f"{what} holds no certificate")
    return Handed(blocks[0], tuple(blocks[1:]))


def _one_base64(text: str, what: str) -> Handed:
    return Handed(_from_base64(text.strip(), what))


def _base64_list(text: str, what: str) -> Handed:
    """Traefik: the client's certificate, then what it sent besides."""
    parts = [part.strip() for part in text.split(",")]
    if len(parts) > CHAIN_MAX:
        raise Unreadable(f"{what} holds more than {CHAIN_MAX} certificates")
    # Line ends and the PEM armour are left out; some versions escape what is left.
    ders = [_from_base64(_unescape(part, what), what) for part in parts]
    return Handed(ders[0], tuple(ders[1:]))


def _byte_sequences(text: str, what: str) -> list[bytes]:
    items = [item.strip(" \t") for item in text.split(",")]
    if len(items) > CHAIN_MAX:
        raise Unreadable(f"{what} holds more than {CHAIN_MAX} certificates")
    matches = [_BYTE_SEQUENCE.fullmatch(item) for item in items]
    if not all(matches):
        raise Unreadable(f"{what} is not a list of byte sequences (RFC 8941 section 3.3.5)")
    return [_from_base64(match[1], what) for match in matches if match]


def _rfc9440(text: str, what: str) -> Handed:
    ders = _byte_sequences(text, what)
    if len(ders) != 1:
        raise Unreadable(f"{what} holds {len(ders)} certificates, not one (RFC 9440 section 2.2)")
    return Handed(ders[0])


def _xfcc_elements(text: str, what: str) -> Iterator[dict[str, str]]:
    """x-forwarded-client-cert: elements by ",", pairs by ";", values may be quoted."""
    pair = re.compile(r'\s*([A-Za-z]+)=("(?:[^"\\]|\\.)*"|[^",;]*)\s*([,;]|$)')
    element: dict[str, str] = {}
    at = 0
    while True:
        found = pair.match(text, at)
        if found is None:
            raise Unreadable(f"{what} is not a list of key=value pairs")
        key, value, end = found[1].lower(), found[2], found[3]
        if value.startswith('"'):
            value = re.sub(r"\\(.)", r"\1", value[1:-1])
        # As many as the proxy's and the client's certificates have names of these types.
        if key in element and key not in ("by", "uri", "dns"):
            raise Unreadable(f"{what} has {found[1]} twice")
        element[key] = value
        at = found.end()
        if end != ";":
            yield element
            element = {}
        if end == "":
            return


def _envoy(text: str, what: str) -> Handed:
    elements = list(_xfcc_elements(text, what))
    # Of several proxies in a row: which one is the client's is not for us to guess.
    if len(elements) != 1:
        raise Unreadable(f"{what} holds {len(elements)} clients, not one")
    element = elements[0]
    chain = _pem_chain(element["chain"], f"{what} Chain") if element.get("chain") else None
    if element.get("cert"):
        handed = _one_pem(element["cert"], f"{what} Cert")
        if chain is not None:
            handed = replace(handed, chain=chain.chain)
    elif chain is not None:
        handed = chain
    else:
        raise Unreadable(f"{what} has no Cert: set_current_client_cert_details must ask for it")
    if chain is not None and chain.leaf != handed.leaf:
        raise Unreadable(f"{what}: Cert and Chain disagree")
    digest = element.get("hash")
    if digest and digest.lower() != hashlib.sha256(handed.leaf).hexdigest():
        raise Unreadable(f"{what}: Cert and Hash disagree")
    return handed


Reader = Callable[[str, str], Handed]


@dataclass(frozen=True, slots=True)
class Form:
    """Where a terminator puts the certificate, and how it writes it.

    certificate: header names and how each is read; where several are there they must agree.
    chain: a header with what the client sent besides; "": none.
    verify: a header with the terminator's own result; anything but SUCCESS is no identity; "": none.
    variables: the same certificate, result and chain as server variables, which no header can make
        (PEP 3333: those are HTTP_…).
    """

    certificate: tuple[tuple[str, Reader], ...]
    chain: str = ""
    verify: str = ""
    variables: tuple[str, ...] = ()
    verify_variable: str = ""
    chain_variable: str = ""  # a prefix: _0, _1 …

    def headers(self) -> tuple[str, ...]:
        names = [name for name, _ in self.certificate]
        return (*names, *[name for name in (self.chain, self.verify) if name])

    def renamed(self, certificate: str | None, verify: str | None, chain: str | None) -> Form:
        form = self
        if certificate is not None:
            own = {name.lower(): reader for name, reader in self.certificate}
            reader = own.get(certificate.lower(), self.certificate[0][1])
            form = replace(form, certificate=((certificate, reader),))
        if verify is not None:
            form = replace(form, verify=verify)
        if chain is not None:
            form = replace(form, chain=chain)
        return form

    def read(self, get: Callable[[str], str | None]) -> Handed | None:
        """What the headers say; None where none of them is there.

        get: the value of a header by its name, None where it is absent.

        Raises:
            Unreadable: they are there and do not name exactly one client.
        """
        found: Handed | None = None
        for name, reader in self.certificate:
            text = get(name)
            if text is None or text in _NOTHING:
                continue
            handed = reader(_bounded(text, name), name)
            if found is not None and handed.leaf != found.leaf:
                raise Unreadable(f"{name} names another certificate than the header beside it")
            found = handed if found is None or handed.chain else found
        self._check_result(get(self.verify) if self.verify else None, self.verify, found)
        chain = get(self.chain) if self.chain else None
        if chain is not None and chain not in _NOTHING:
            if found is None:
                raise Unreadable(f"{self.chain} came without a client's certificate")
            found = replace(found, chain=self._read_chain(chain))
        return found

    def variable_texts(self, environ: Mapping[str, object]) -> tuple[str | None, ...]:
        """All that `read_variables` reads."""
        names = [*self.variables, self.verify_variable]
        if self.chain_variable:
            names += [f"{self.chain_variable}{n}" for n in range(CHAIN_MAX)]
        values = [environ.get(name) for name in names]
        return tuple([value if isinstance(value, str) else None for value in values])

    def read_variables(self, environ: Mapping[str, object]) -> Handed | None:
        """The same from server variables."""
        found: Handed | None = None
        for name in self.variables:
            text = environ.get(name)
            if not isinstance(text, str) or not text:
                continue
            handed = _one_pem(_bounded(text, name), name)
            if found is not None and handed.leaf != found.leaf:
                raise Unreadable(f"{name} names another certificate than the variable beside it")
            found = handed
        result = environ.get(self.verify_variable) if self.verify_variable else None
        self._check_result(result if isinstance(result, str) else None, self.verify_variable, found)
        if found is None or not self.chain_variable:
            return found
        return replace(found, chain=tuple(self._variable_chain(environ)))

    def _variable_chain(self, environ: Mapping[str, object]) -> Iterator[bytes]:
        for n in range(CHAIN_MAX):
            name = f"{self.chain_variable}{n}"
            text = environ.get(name)
            if not isinstance(text, str) or not text:
                return
            yield _one_pem(_bounded(text, name), name).leaf

    def _read_chain(self, text: str) -> tuple[bytes, ...]:
        text = _bounded(text, self.chain)
        if "BEGIN" in text:
            return tuple(_pem_blocks(_unescape(text, self.chain), self.chain))
        return tuple(_byte_sequences(text, self.chain))

    @staticmethod
    def _check_result(result: str | None, name: str, found: Handed | None) -> None:
        if result is None or (found is None and result in _NO_RESULT):
            return
        if found is None:
            raise Unreadable(f"{name} says {result[:100]!r} and there is no certificate")
        if result not in _SUCCESS:
            raise Unreadable(f"{name} says {result[:100]!r}, not SUCCESS")


def _bounded(text: str, what: str) -> str:
    if len(text) > TEXT_MAX:
        raise Unreadable(f"{what} is longer than {TEXT_MAX} characters")
    return text


_MOD_SSL = ("SSL_CLIENT_CERT",)

FORMS: Mapping[str, Form] = {
    "rfc9440": Form((("Client-Cert", _rfc9440),), chain="Client-Cert-Chain"),
    "nginx": Form(
        (("X-SSL-Client-Cert", _one_pem),),
        verify="X-SSL-Client-Verify",
        variables=("SSL_CLIENT_CERT", "X_SSL_CLIENT_CERT"),
        verify_variable="SSL_CLIENT_VERIFY",
    ),
    "apache": Form(
        (("X-SSL-Client-Cert", _one_pem),),
        verify="X-SSL-Client-Verify",
        variables=_MOD_SSL,
        verify_variable="SSL_CLIENT_VERIFY",
        chain_variable="SSL_CLIENT_CERT_CHAIN_",
    ),
    "haproxy": Form((("X-SSL-Client-Cert", _one_base64),), verify="X-SSL-Client-Verify"),
    "envoy": Form((("X-Forwarded-Client-Cert", _envoy),)),
    "traefik": Form((("X-Forwarded-Tls-Client-Cert", _base64_list),)),
    "aws-alb": Form(
        (("X-Amzn-Mtls-Clientcert-Leaf", _one_pem), ("X-Amzn-Mtls-Clientcert", _pem_chain)),
    ),
}
