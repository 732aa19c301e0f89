"""Clients of a server under test that see what a refusal looks like from outside.

`attempt` makes one connection and one request, and returns a Response or an Alert; `Wire` has the records of a
handshake in its hands and may change them.
"""

from __future__ import annotations

import contextlib
import dataclasses
import http.client
import io
import json
import re
import socket
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path

from conftest import Response, Server
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand
from pki import Identity

CHANGE_CIPHER_SPEC, ALERT, HANDSHAKE, APPLICATION_DATA = 20, 21, 22, 23  # content types
CERTIFICATE, CERTIFICATE_VERIFY = 11, 15  # handshake types
VERSIONS = {"TLSv1.2": ssl.TLSVersion.TLSv1_2, "TLSv1.3": ssl.TLSVersion.TLSv1_3}

# Says what it saw; /whoami in JSON.
ECHO = """
import json

def app(environ, start_response):
    environ["wsgi.input"].read()
    seen = {k: v for k, v in environ.items() if isinstance(v, (str, int)) and k.isupper()}
    certificate = environ.get("handclasp.certificate")
    seen["certificate"] = certificate and certificate.fingerprint_sha256
    seen["verdict"] = environ.get("handclasp.verdict")
    body = json.dumps(seen).encode()
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]
"""


@dataclasses.dataclass(frozen=True)
class Alert:
    """How the server ended it: the name of RFC 8446 section 6; "closed" where it said nothing."""

    name: str


def alert_of(error: Exception) -> Alert:
    if isinstance(error, ssl.SSLError) and error.reason:
        found = re.fullmatch(r"(?:SSLV3|TLSV1|TLSV13)_ALERT_(\w+)", error.reason)
        if found:
            return Alert(found[1].lower())
        if "EOF" not in error.reason:
            raise error
    elif found := re.search(r"alert ([a-z ]+)", str(error)):  # one that Python has no name for
        return Alert(found[1].strip().replace(" ", "_"))
    return Alert("closed")


def client_context(
    server_ca: object,
    identity: Identity | None = None,
    version: str | None = None,
    *,
    ciphers: str | None = None,
) -> ssl.SSLContext:
    """`server_ca` is a path or PEM text. Without `identity` no certificate is sent."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if isinstance(server_ca, str) and "\n" in server_ca:
        context.load_verify_locations(cadata=server_ca)
    else:
        context.load_verify_locations(server_ca)
    if ciphers:
        context.set_ciphers(ciphers)
    if identity:
        context.load_cert_chain(identity.certfile, identity.keyfile)
    if version:
        context.minimum_version = context.maximum_version = VERSIONS[version]
    return context


@contextlib.contextmanager
def connected(
    server: Server,
    context: ssl.SSLContext,
    session: ssl.SSLSession | None = None,
    name: str = "localhost",
) -> Iterator[ssl.SSLSocket]:
    plain = socket.create_connection(("127.0.0.1", server.port), 20)
    with contextlib.closing(plain):
        secure = context.wrap_socket(plain, server_hostname=name, session=session)
        with contextlib.closing(secure):
            yield secure


class _Closed(Exception):
    pass


def ask(
    secure: ssl.SSLSocket,
    path: str = "/",
    headers: dict[str, str] | None = None,
    method: str = "GET",
    body: bytes = b"",
) -> Response:
    """One request on an open connection; octet for octet as given here."""
    lines = [
        f"{method} {path} HTTP/1.1",
        "Host: localhost",
        *(f"{k}: {v}" for k, v in (headers or {}).items()),
    ]
    if body:
        lines.append(f"Content-Length: {len(body)}")
    secure.sendall("\r\n".join([*lines, "", ""]).encode("latin-1") + body)
    return answer(secure)


def answer(secure: ssl.SSLSocket) -> Response:
    got = http.client.HTTPResponse(secure)
    try:
        got.begin()
    except (http.client.RemoteDisconnected, http.client.BadStatusLine) as error:
        raise _Closed from error
    return Response(got.status, got.headers, got.read())


def attempt(
    server: Server,
    context: ssl.SSLContext,
    path: str = "/",
    session: ssl.SSLSession | None = None,
    **request,
) -> Response | Alert:
    """Under TLS 1.3 a client's handshake is over before the server has seen its certificate: the alert comes then."""
    try:
        with connected(server, context, session) as secure:
            return ask(secure, path, **request)
    except (OSError, _Closed) as error:
        return alert_of(error)


def seen_by_app(response: Response | Alert) -> dict:
    assert isinstance(response, Response), response
    assert response.status == 200, response.text
    return json.loads(response.body)


def refusals(server: Server, identity: Identity | None = None) -> list[str]:
    """The lines about refused clients so far; of one certificate where it is named."""
    lines = [line for line in server.log() if " client refused " in line]
    return [line for line in lines if identity is None or f"sha256={identity.sha256}" in line]


def fields_of(line: str) -> dict[str, str]:
    """key=value and key="va lue" of a log line."""
    found = re.findall(r' (\w+)=(?:"((?:[^"\\]|\\.)*)"|(\S*))', line)
    return {key: quoted or plain for key, quoted, plain in found}


def the_refusal(server: Server, identity: Identity, count: int = 1) -> dict[str, str]:
    """Waits for the line about this certificate, and finds no other."""
    server.wait_for(f"client refused .*sha256={identity.sha256}", count=count)
    lines = refusals(server, identity)
    assert len(lines) == count, lines
    return fields_of(lines[-1])


def verdict_of(response: Response | Alert) -> str:
    """Of a refusal that can be read."""
    assert isinstance(response, Response), response
    assert response.headers["Content-Type"] == "application/problem+json"
    told = json.loads(response.body)
    assert told["status"] == response.status
    return told["verdict"]


class Wire:
    """A client's TLS over a socket, with every flight to the server passed through `change`."""

    def __init__(self, server: Server, context: ssl.SSLContext, name: str | None = "localhost") -> None:
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.incoming, self.outgoing, server_hostname=name)
        self.socket = socket.create_connection(("127.0.0.1", server.port), 20)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def close(self) -> None:
        self.socket.close()

    def __enter__(self) -> Wire:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def send(self, octets: bytes) -> None:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.socket.sendall(octets)

    def handshake(self, change: Callable[[int, bytes], bytes] = lambda flight, octets: octets) -> Alert | None:
        """`change` gets the number of the flight (0: ClientHello) and its octets."""
        return self._drive(self.tls.do_handshake, change)

    def handshake_with(self, kind: int, change: Callable[[bytes], bytes | None]) -> Alert | None:
        """With one of the client's messages changed, or left out where `change` returns None. The context says which
        version it is, and for TLS 1.3 has a `keylog_filename`."""
        context = self.tls.context
        if context.minimum_version == ssl.TLSVersion.TLSv1_2:
            return self.handshake(lambda _, octets: change_message(octets, kind, change))
        keys = Path(context.keylog_filename)
        alert = self.handshake(
            lambda flight, octets: change_encrypted(octets, keys, kind, change) if flight else octets
        )
        if alert:
            return alert
        said = self.read()
        return said if isinstance(said, Alert) else None

    def _drive(self, act: Callable[[], object], change: Callable[[int, bytes], bytes]) -> Alert | None:
        for flight in range(100):
            try:
                act()
                done = True
            except ssl.SSLWantReadError:
                done = False
            except (ssl.SSLError, OSError) as error:
                return alert_of(error)
            octets = self.outgoing.read()
            if octets:
                self.send(change(flight, octets))
            if done:
                return None
            self.receive()
        raise AssertionError("a handshake without end")

    def receive(self) -> bool:
        try:
            octets = self.socket.recv(65536)
        except ConnectionResetError:
            octets = b""
        if octets:
            self.incoming.write(octets)
        else:
            self.incoming.write_eof()
        return bool(octets)

    def read(self) -> bytes | Alert:
        got: list[bytes] = []
        end = self._drive(lambda: got.append(self.tls.read(65536)), lambda _, octets: octets)
        return end or b"".join(got)

    def write(self, octets: bytes) -> None:
        self.tls.write(octets)
        self.send(self.outgoing.read())

    def request(self, path: str = "/") -> Response | Alert:
        self.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        whole = b""
        while isinstance(part := self.read(), bytes) and part:
            whole += part
        if not whole:
            return part if isinstance(part, Alert) else Alert("closed")
        got = http.client.HTTPResponse(_Fake(whole))
        got.begin()
        return Response(got.status, got.headers, got.read())


class _Fake:
    """What HTTPResponse wants of a socket."""

    def __init__(self, octets: bytes) -> None:
        self.octets = octets

    def makefile(self, *_: object) -> io.BytesIO:
        return io.BytesIO(self.octets)


def records(octets: bytes) -> list[tuple[int, bytes]]:
    """Type and content of each TLS record."""
    found = []
    while octets:
        size = int.from_bytes(octets[3:5], "big")
        found.append((octets[0], octets[5 : 5 + size]))
        octets = octets[5 + size :]
    return found


def record(kind: int, content: bytes) -> bytes:
    return bytes([kind, 3, 3]) + len(content).to_bytes(2, "big") + content


def handshake_messages(octets: bytes) -> list[tuple[int, bytes]]:
    """Type and body of each handshake message of records that are not encrypted."""
    whole = b"".join(content for kind, content in records(octets) if kind == HANDSHAKE)
    found = []
    while whole:
        size = int.from_bytes(whole[1:4], "big")
        found.append((whole[0], whole[4 : 4 + size]))
        whole = whole[4 + size :]
    return found


def change_message(octets: bytes, kind: int, change: Callable[[bytes], bytes | None]) -> bytes:
    """A TLS 1.2 flight with one message changed, or left out where `change` returns None. Each message is a record of
    its own; behind ChangeCipherSpec they are encrypted."""
    out = b""
    encrypted = False
    for record_kind, content in records(octets):
        encrypted = encrypted or record_kind == CHANGE_CIPHER_SPEC
        if record_kind == HANDSHAKE and content[0] == kind and not encrypted:
            assert int.from_bytes(content[1:4], "big") + 4 == len(content)
            body = change(content[4:])
            if body is None:
                continue
            content = bytes([kind]) + len(body).to_bytes(3, "big") + body
        out += b"".join(record(record_kind, content[at : at + 16384]) for at in range(0, len(content), 16384))
    return out


def change_encrypted(octets: bytes, keys: Path, kind: int, change: Callable[[bytes], bytes | None]) -> bytes:
    """The same for the client's second flight in TLS 1.3, with the keys that its library has written down."""
    lines = [line.split() for line in keys.read_text().splitlines()]
    secret = bytes.fromhex([line[2] for line in lines if line[0] == "CLIENT_HANDSHAKE_TRAFFIC_SECRET"][-1])
    assert len(secret) == 32, "TLS_AES_128_GCM_SHA256 is what the server prefers"
    aead, iv = AESGCM(expand(secret, b"key", 16)), int.from_bytes(expand(secret, b"iv", 12), "big")
    out, clear = b"", b""
    for number, (_, content) in enumerate([one for one in records(octets) if one[0] == APPLICATION_DATA]):
        opened = aead.decrypt((iv ^ number).to_bytes(12, "big"), content, header(len(content)))
        clear += opened.rstrip(b"\0")[:-1]
    out = b"".join(record(*one) for one in records(octets) if one[0] == CHANGE_CIPHER_SPEC)
    for number, part in enumerate(changed_parts(clear, kind, change)):
        sealed = part + bytes([HANDSHAKE])
        out += header(len(sealed) + 16)
        out += aead.encrypt((iv ^ number).to_bytes(12, "big"), sealed, header(len(sealed) + 16))
    return out


def changed_parts(clear: bytes, kind: int, change: Callable[[bytes], bytes | None]) -> Iterator[bytes]:
    while clear:
        size = int.from_bytes(clear[1:4], "big")
        body: bytes | None = clear[4 : 4 + size]
        if clear[0] == kind:
            body = change(clear[4 : 4 + size])
        if body is not None:
            message = clear[:1] + len(body).to_bytes(3, "big") + body
            yield from (message[at : at + 16000] for at in range(0, len(message), 16000))
        clear = clear[4 + size :]


def header(size: int) -> bytes:
    return bytes([APPLICATION_DATA, 3, 3]) + size.to_bytes(2, "big")


def expand(secret: bytes, label: bytes, size: int) -> bytes:
    """HKDF-Expand-Label, RFC 8446 section 7.1."""
    label = b"tls13 " + label
    info = size.to_bytes(2, "big") + bytes([len(label)]) + label + b"\0"
    return HKDFExpand(hashes.SHA256(), size, info).derive(secret)


def certificate_message(version: str, *certificates: bytes) -> bytes:
    """RFC 5246 section 7.4.6, RFC 8446 section 4.4.2."""
    context, extensions = (b"\0", b"\0\0") if version == "TLSv1.3" else (b"", b"")
    each = b"".join(len(one).to_bytes(3, "big") + one + extensions for one in certificates)
    return context + len(each).to_bytes(3, "big") + each
