"""A front in a few lines of Python: the other end of a lane, for tests of the worker alone."""

from __future__ import annotations

import array
import json
import os
import socket
import struct
from dataclasses import dataclass, field

HEADER = struct.Struct("<IBBH")
CERT, REQUEST, SERVER, CANCEL, CLIENT, ANSWER = range(1, 7)
HELLO, HEAD, DATA, FILE, END, REFUSED, ASK = range(16, 23)
HAS_FD = 1
NO_SLOT = 0xFFFF


@dataclass
class Response:
    """What came back for one request. ``frames`` are the types in their order."""

    status: int = 0
    reason: str = ""
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: bytes = b""
    failed: bool = False
    refused: list[tuple[str, str]] = field(default_factory=list)  # verdict, reason
    questions: list[bytes] = field(default_factory=list)
    frames: list[int] = field(default_factory=list)

    def __getitem__(self, name: str) -> str:
        """The value of the only header of this name."""
        (value,) = (v for n, v in self.headers if n.lower() == name.lower())
        return value


class LaneClosed(Exception):
    """The worker closed the lane."""


def pack16(octets: bytes) -> bytes:
    return struct.pack("<H", len(octets)) + octets


def pack32(octets: bytes) -> bytes:
    return struct.pack("<I", len(octets)) + octets


def octets_of(value: str | bytes) -> bytes:
    return value if isinstance(value, bytes) else value.encode()


def pack_pairs(pairs) -> bytes:
    packed = [pack16(octets_of(n)) + pack32(octets_of(v)) for n, v in pairs]
    return struct.pack("<H", len(packed)) + b"".join(packed)


def frame(kind: int, payload: bytes, flags: int = 0) -> bytes:
    return HEADER.pack(len(payload), kind, flags, 0) + payload


def cert_frame(slot, variables, der=b"leaf", chain=()) -> bytes:
    payload = struct.pack("<H", slot) + pack_pairs(variables) + pack32(der)
    payload += struct.pack("<H", len(chain)) + b"".join(pack32(c) for c in chain)
    return frame(CERT, payload)


def client_frame(slot, name="", roles="", attributes="", *, known=True) -> bytes:
    payload = struct.pack("<HB", slot, known) + pack16(octets_of(name))
    payload += pack16(octets_of(roles)) + pack32(octets_of(attributes))
    return frame(CLIENT, payload)


def request_frame(
    method="GET",
    target="/",
    headers=(("Host", "localhost:8443"),),
    body=b"",
    *,
    path=None,
    query=None,
    file_size=None,
    slot=NO_SLOT,
    connection=1,
    days_left=30,
    error=0,
    depth=0,
    cipher_bits=256,
    cipher_algorithm_bits=256,
    remote_port=40000,
    server_port=8443,
    verdict=1,
    http_minor=1,
    resumed=0,
    verdict_name="ok",
    verdict_detail="",
    client_verify="SUCCESS",
    remote_user="",
    host="localhost:8443",
    remote_address="127.0.0.1",
    server_address="127.0.0.1",
    tls_protocol="TLSv1.3",
    tls_cipher="TLS_AES_256_GCM_SHA384",
    tls_session_id="",
    tls_sni="localhost",
) -> bytes:
    raw_path, _, raw_query = octets_of(target).partition(b"?")
    integers = struct.pack(
        "<QQqIIHHHHHBBBB",
        connection,
        len(body) if file_size is None else file_size,
        days_left,
        error,
        depth,
        cipher_bits,
        cipher_algorithm_bits,
        remote_port,
        server_port,
        slot,
        verdict,
        http_minor,
        0 if file_size is None else 1,
        resumed,
    )
    strings = (
        verdict_name,
        verdict_detail,
        client_verify,
        remote_user,
        method,
        target,
        raw_path if path is None else path,
        raw_query if query is None else query,
        host,
        remote_address,
        server_address,
        tls_protocol,
        tls_cipher,
        tls_session_id,
        tls_sni,
    )
    payload = integers + b"".join(pack32(octets_of(s)) for s in strings)
    payload += pack_pairs(headers) + pack32(body)
    return frame(REQUEST, payload, 0 if file_size is None else HAS_FD)


class Front:
    """The front's end of a lane; calls block, and fail after ten seconds."""

    def __init__(self, peer: socket.socket) -> None:
        self.peer = peer
        self.peer.settimeout(10)
        self._octets = bytearray()
        self._fds: list[int] = []

    def close(self) -> None:
        self.peer.close()

    def read(self) -> tuple[int, bytes, int | None]:
        """The next frame: type, payload, descriptor."""
        while len(self._octets) < HEADER.size:
            self._receive()
        size, kind, flags, zero = HEADER.unpack_from(self._octets)
        assert zero == 0
        while len(self._octets) < HEADER.size + size:
            self._receive()
        payload = bytes(self._octets[HEADER.size : HEADER.size + size])
        del self._octets[: HEADER.size + size]
        return kind, payload, self._fds.pop(0) if flags & HAS_FD else None

    def _receive(self) -> None:
        octets, control, _, _ = self.peer.recvmsg(1 << 18, socket.CMSG_SPACE(16))
        for level, kind, data in control:
            assert (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS)
            fds = array.array("i")
            fds.frombytes(data)
            self._fds.extend(fds)
        if not octets:
            raise LaneClosed
        self._octets += octets

    def hello(self) -> int:
        kind, payload, _ = self.read()
        assert kind == HELLO
        return struct.unpack("<I", payload)[0]

    def send_server(self, variables, multiprocess=False, multithread=False) -> None:
        flags = bytes([multiprocess, multithread])
        self.peer.sendall(frame(SERVER, pack_pairs(variables) + flags))

    def send_cert(self, *arguments, **keywords) -> None:
        self.peer.sendall(cert_frame(*arguments, **keywords))

    def send_client(self, *arguments, **keywords) -> None:
        self.peer.sendall(client_frame(*arguments, **keywords))

    def question(self):
        """What a view asks, decoded."""
        kind, payload, _ = self.read()
        assert kind == ASK
        return json.loads(payload)

    def answer(self, answer) -> None:
        octets = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        self.peer.sendall(frame(ANSWER, octets))

    def answer_next(self, answer):
        question = self.question()
        self.answer(answer)
        return question

    def send(self, *arguments, **keywords) -> None:
        self.peer.sendall(request_frame(*arguments, **keywords))

    def send_with_file(self, fd: int, size: int, *arguments, **keywords) -> None:
        octets = request_frame(*arguments, file_size=size, **keywords)
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [fd]))]
        assert self.peer.sendmsg([octets], rights) == len(octets)

    def cancel(self) -> None:
        """The client has gone."""
        self.peer.sendall(frame(CANCEL, b""))

    def receive(self) -> Response:
        """Frames up to END, put together."""
        response = Response()
        while True:
            kind, payload, fd = self.read()
            response.frames.append(kind)
            if kind == HEAD:
                assert not response.status, "a second HEAD"
                self._head(response, payload)
            elif kind == DATA:
                assert response.status and payload
                response.body += payload
            elif kind == FILE:
                assert response.status and fd is not None
                offset, size = struct.unpack("<QQ", payload)
                response.body += os.pread(fd, size, offset)
                os.close(fd)
            elif kind == REFUSED:
                response.refused.append(self._refusal(payload))
            elif kind == ASK:
                response.questions.append(payload)  # answered before
            else:
                assert kind == END and payload in (b"\0", b"\1")
                response.failed = payload == b"\1"
                return response

    def receive_rest(self) -> bytes:
        """The octets of DATA frames up to END, which must not be a failure."""
        octets = []
        while True:
            kind, payload, _ = self.read()
            if kind == END:
                assert payload == b"\0"
                return b"".join(octets)
            assert kind == DATA
            octets.append(payload)

    @staticmethod
    def _refusal(payload: bytes) -> tuple[str, str]:
        (size,) = struct.unpack_from("<H", payload)
        verdict, rest = payload[2 : 2 + size], payload[2 + size :]
        assert rest[:2] == struct.pack("<H", len(rest) - 2)
        return verdict.decode(), rest[2:].decode()

    @staticmethod
    def _head(response: Response, payload: bytes) -> None:
        status, size = struct.unpack_from("<HH", payload)
        at = 4 + size
        response.status, response.reason = status, payload[4:at].decode("latin-1")
        (count,) = struct.unpack_from("<H", payload, at)
        at += 2
        for _ in range(count):
            (size,) = struct.unpack_from("<H", payload, at)
            name = payload[at + 2 : at + 2 + size]
            at += 2 + size
            (size,) = struct.unpack_from("<I", payload, at)
            value = payload[at + 4 : at + 4 + size]
            at += 4 + size
            response.headers.append((name.decode("latin-1"), value.decode("latin-1")))
        assert at == len(payload)

    def ask(self, *arguments, **keywords) -> Response:
        self.send(*arguments, **keywords)
        return self.receive()
