"""A client of mutual TLS that sends exactly the octets it is given and reads responses strictly.

with Wire(server) as wire:                      # as alice
    wire.send(b"GET / HTTP/1.1\\r\\nHost: localhost\\r\\n\\r\\n")
    assert wire.response().status == 200
"""

from __future__ import annotations

import dataclasses
import json
import socket
import ssl

import pytest

END = b""


class Cut(Exception):
    """The connection ended without close_notify: the client cannot take what it has for the whole."""


@dataclasses.dataclass
class Reply:
    status: int
    reason: str
    headers: list[tuple[str, str]]
    body: bytes = b""
    chunks: list[bytes] = dataclasses.field(default_factory=list)

    def header(self, name: str) -> str | None:
        """The only value of this header."""
        found = [value for key, value in self.headers if key.lower() == name.lower()]
        assert len(found) <= 1, f"{name} stands {len(found)} times in {self.headers}"
        return found[0] if found else None

    def json(self):
        return json.loads(self.body)


class Wire:
    def __init__(
        self,
        server,
        *,
        client: str | None = "alice",
        context: ssl.SSLContext | None = None,
        session: ssl.SSLSession | None = None,
        receive_buffer: int = 0,
        timeout: float = 20,
    ) -> None:
        self.buffer = b""
        self.ended = False
        plain = socket.socket()
        plain.settimeout(timeout)
        if receive_buffer:
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        try:
            plain.connect(("127.0.0.1", server.port))
            self.socket = (context or server.ssl_context(client)).wrap_socket(
                plain, server_hostname="localhost", suppress_ragged_eofs=False, session=session
            )
        except BaseException:
            plain.close()
            raise

    def __enter__(self) -> Wire:
        return self

    def __exit__(self, *failure: object) -> None:
        self.close()

    def close(self) -> None:
        """Without close_notify, as a program that is killed does."""
        self.socket.close()

    def reset(self) -> None:
        """By RST, as a machine that lost its mind does."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.socket.close()

    def send(self, octets: bytes) -> None:
        self.socket.sendall(octets)

    def get(self, path: str = "/", *headers: str, method: str = "GET") -> Reply:
        self.send(request(path, *headers, method=method))
        return self.response(method)

    def post(self, path: str, body: bytes, *headers: str) -> Reply:
        self.send(request(path, f"Content-Length: {len(body)}", *headers, method="POST") + body)
        return self.response()

    # reading

    def more(self) -> bool:
        """Reads once; False at an orderly end."""
        if self.ended:
            return False
        try:
            octets = self.socket.recv(65536)
        except (ssl.SSLEOFError, ConnectionResetError, BrokenPipeError) as failure:
            raise Cut(str(failure)) from failure
        self.ended = not octets
        self.buffer += octets
        return bool(octets)

    def line(self) -> bytes:
        while b"\r\n" not in self.buffer:
            if not self.more():
                pytest.fail(f"the connection ended within a line: {self.buffer!r}")
        line, _, self.buffer = self.buffer.partition(b"\r\n")
        assert b"\n" not in line and b"\r" not in line, line
        return line

    def exactly(self, size: int) -> bytes:
        parts = [self.buffer]
        have = len(self.buffer)
        self.buffer = b""
        while have < size:
            if not self.more():
                pytest.fail(f"the connection ended {size - have} octets early")
            parts.append(self.buffer)
            have += len(self.buffer)
            self.buffer = b""
        octets = b"".join(parts)
        self.buffer = octets[size:]
        return octets[:size]

    def head(self) -> Reply:
        version, status, reason = self.line().decode("latin-1").split(" ", 2)
        assert version == "HTTP/1.1"
        headers = []
        while line := self.line():
            name, colon, value = line.decode("latin-1").partition(":")
            assert colon and name and name == name.strip()
            headers.append((name, value.strip()))
        return Reply(int(status), reason, headers)

    def chunk(self) -> bytes:
        """The next chunk; empty for the last one, whose end is then read too."""
        size = int(self.line(), 16)
        octets = self.exactly(size)
        assert self.line() == b""
        return octets

    def response(self, method: str = "GET") -> Reply:
        reply = self.head()
        length, coding = reply.header("Content-Length"), reply.header("Transfer-Encoding")
        assert not (length and coding), reply.headers
        if method == "HEAD" or reply.status in (204, 304) or reply.status < 200:
            return reply
        if coding:
            assert coding == "chunked"
            while chunk := self.chunk():
                reply.chunks.append(chunk)
            reply.body = b"".join(reply.chunks)
        elif length is not None:
            reply.body = self.exactly(int(length))
        else:
            reply.body = self.rest()
        return reply

    def rest(self) -> bytes:
        """All there is until an orderly end; Cut where it is none."""
        while self.more():
            pass
        rest, self.buffer = self.buffer, b""
        return rest

    def is_closed(self) -> bool:
        """The server has nothing more to say and closed in good order."""
        return self.rest() == b""


def request(path: str = "/", *headers: str, method: str = "GET", version: str = "1.1") -> bytes:
    lines = [f"{method} {path} HTTP/{version}", *([] if version == "1.0" else ["Host: localhost"]), *headers]
    return "".join(line + "\r\n" for line in lines).encode("latin-1") + b"\r\n"


def chunked(*pieces: bytes) -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in (*pieces, END))


def send_and_end(server, octets: bytes, client: str = "alice") -> bytes:
    """Sends octets and close_notify, then reads to the end: what SSLSocket.unwrap() cannot do."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = server.ssl_context(client).wrap_bio(incoming, outgoing, server_hostname="localhost")
    with socket.create_connection(("127.0.0.1", server.port), 20) as plain:
        while True:
            try:
                tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                plain.sendall(outgoing.read())
                incoming.write(plain.recv(65536))
        tls.write(octets)
        with pytest.raises(ssl.SSLWantReadError):
            tls.unwrap()
        plain.sendall(outgoing.read())
        answer = b""
        while part := plain.recv(65536):
            incoming.write(part)
            answer += _decrypted(tls)
        return answer


def _decrypted(tls: ssl.SSLObject) -> bytes:
    parts = []
    while True:
        try:
            part = tls.read(65536)
        except (ssl.SSLWantReadError, ssl.SSLZeroReturnError):
            part = b""
        if not part:
            return b"".join(parts)
        parts.append(part)
