"""The PROXY protocol: peers that were named say who the client is; nobody else does."""

from __future__ import annotations

import os
import socket
import struct
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from conftest import Program, Server, eventually, running
from pki import Pki
from tls_client import ECHO, Alert, Wire, attempt, client_context, fields_of, seen_by_app

V2 = b"\r\n\r\n\x00\r\nQUIT\n"
REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"


def v2(command: int, family: int, body: bytes) -> bytes:
    return V2 + bytes([0x20 | command, family]) + struct.pack("!H", len(body)) + body


def tcp4(source: str = "192.0.2.7", port: int = 1234) -> bytes:
    return socket.inet_aton(source) + socket.inet_aton("198.51.100.1") + struct.pack("!HH", port, 443)


def tcp6(source: str) -> bytes:
    ends = socket.inet_pton(socket.AF_INET6, source) + socket.inet_pton(socket.AF_INET6, "2001:db8::1")
    return ends + struct.pack("!HH", 1234, 443)


V1 = b"PROXY TCP4 192.0.2.7 198.51.100.1 1234 443\r\n"
# header → the address that the application sees
GOOD = {
    "version 1, TCP4": (V1, "192.0.2.7"),
    "version 1, TCP6": (b"PROXY TCP6 2001:db8::7 2001:db8::1 1234 443\r\n", "2001:db8::7"),
    "version 1, unknown": (b"PROXY UNKNOWN\r\n", "127.0.0.1"),
    "version 1, unknown with more": (b"PROXY UNKNOWN ffff::1 ::2 1 2\r\n", "127.0.0.1"),
    "version 2, TCP4": (v2(1, 0x11, tcp4()), "192.0.2.7"),
    "version 2, TCP6": (v2(1, 0x21, tcp6("2001:db8::7")), "2001:db8::7"),
    "version 2, with more behind": (v2(1, 0x11, tcp4() + b"\x04\x00\x03abc"), "192.0.2.7"),
    "version 2, a health check": (v2(0, 0x00, b""), "127.0.0.1"),
    "version 2, a health check with addresses": (v2(0, 0x11, tcp4()), "127.0.0.1"),
}
BAD = {
    "none": b"",
    "a request": REQUEST,
    "version 1, no such family": b"PROXY TCP9 192.0.2.7 198.51.100.1 1234 443\r\n",
    "version 1, no address": b"PROXY TCP4 localhost 198.51.100.1 1234 443\r\n",
    "version 1, port out of range": b"PROXY TCP4 192.0.2.7 198.51.100.1 65536 443\r\n",
    "version 1, a field too few": b"PROXY TCP4 192.0.2.7 198.51.100.1 1234\r\n",
    "version 1, a line feed alone": b"PROXY TCP4 192.0.2.7 198.51.100.1 1234 443\n",
    "version 1, lower case": V1.replace(b"PROXY", b"proxy"),
    "version 1, a space before it": b" " + V1,
    "version 1, too long": b"PROXY UNKNOWN " + b"x" * 5000 + b"\r\n",
    "version 2, no such version": V2 + b"\x31\x11" + struct.pack("!H", 12) + tcp4(),
    "version 2, no such command": v2(7, 0x11, tcp4()),
    "version 2, addresses cut": v2(1, 0x11, tcp4()[:8]),
    "twice": V1 + V1,
    "in two versions": V1 + v2(1, 0x11, tcp4()),
    "in front of a request in clear": V1 + REQUEST,
}  # fmt: skip


class World:
    def __init__(self, folder: Path) -> None:
        self.ca = Pki(folder).authority("Client CA")
        self.alice = self.ca.issue("alice")
        own = self.ca.issue_server()
        self.options = {"certfile": own.certfile, "keyfile": own.keyfile, "ca_certs": self.ca.certfile}
        self.context = client_context(self.ca.certfile, self.alice)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(tmp_path_factory.mktemp("proxy"))


Serve = Callable[..., object]


@pytest.fixture(scope="module")
def serve(world: World, program: Program, state: Path, tmp_path_factory: pytest.TempPathFactory) -> Serve:
    def begin(**options: object):
        return running(program, state, tmp_path_factory.mktemp("served"), ECHO, **world.options, **options)

    return begin


@pytest.fixture(scope="module")
def named(serve: Serve) -> Iterator[Server]:
    with serve(proxy_protocol=True, proxy_allow_from="127.0.0.0/8") as server:
        yield server


@pytest.fixture(scope="module")
def unnamed(serve: Serve) -> Iterator[Server]:
    with serve(proxy_protocol=True, proxy_allow_from="10.0.0.0/8") as server:
        yield server


def with_header(server: Server, world: World, header: bytes, *, apart: bool = False):
    """`apart`: each octet in a segment of its own."""
    with Wire(server, world.context) as wire:
        if apart:
            for at in range(len(header)):
                wire.send(header[at : at + 1])
            header = b""
        failed = wire.handshake(lambda flight, octets: header + octets if flight == 0 else octets)
        return failed or wire.request()


@pytest.mark.parametrize("apart", [False, True], ids=["in one piece", "octet by octet"])
@pytest.mark.parametrize("label", GOOD)
def test_named_peer_says_who_the_client_is(world: World, named: Server, label: str, apart: bool) -> None:
    header, address = GOOD[label]
    seen = seen_by_app(with_header(named, world, header, apart=apart))
    assert seen["REMOTE_ADDR"] == address
    assert seen["certificate"] == world.alice.sha256
    if address != "127.0.0.1":
        assert seen["REMOTE_PORT"] == "1234"


@pytest.mark.parametrize("label", BAD)
def test_named_peer_without_a_good_header_is_cut_off(world: World, named: Server, label: str) -> None:
    answer = with_header(named, world, BAD[label])
    assert isinstance(answer, Alert)
    assert attempt(named, world.context) == Alert("closed"), "nor does it come in without one"


def test_missing_header_is_in_the_log(world: World, named: Server) -> None:
    assert with_header(named, world, b"") == Alert("closed")
    line = named.wait_for("no PROXY header")
    assert fields_of(line)["address"] == "127.0.0.1"
    assert fields_of(line)["reason"]


def test_refusal_names_the_clients_address(world: World, named: Server) -> None:
    nobody = client_context(world.ca.certfile)
    with Wire(named, nobody) as wire:
        assert wire.handshake(lambda n, octets: V1 + octets if n == 0 else octets) or wire.read()
    named.wait_for("client refused verdict=no-certificate address=192.0.2.7")


@pytest.mark.parametrize("label", GOOD)
def test_header_of_a_peer_that_is_not_named_is_noise(world: World, unnamed: Server, label: str) -> None:
    assert isinstance(with_header(unnamed, world, GOOD[label][0]), Alert)
    assert seen_by_app(attempt(unnamed, world.context))["REMOTE_ADDR"] == "127.0.0.1"


def test_header_is_noise_where_the_option_is_off(world: World, serve: Serve) -> None:
    with serve() as server:
        assert isinstance(with_header(server, world, V1), Alert)
        assert seen_by_app(attempt(server, world.context))["REMOTE_ADDR"] == "127.0.0.1"


def cpu_ticks(pid: int) -> int:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


@pytest.mark.parametrize("part", [V1[:5], V1[:-1], V2, v2(1, 0x11, tcp4())[:-1]], ids=repr)
def test_half_a_header_costs_no_time(named: Server, part: bytes) -> None:
    """What was only peeked at makes a socket readable for ever."""
    front = named.front_pid()
    with socket.create_connection(("127.0.0.1", named.port)) as plain:
        plain.sendall(part)
        before = cpu_ticks(front)
        time.sleep(0.3)  # the time that is measured
        assert cpu_ticks(front) - before < 0.1 * os.sysconf("SC_CLK_TCK")


def test_connection_without_a_header_ends_with_the_handshakes_deadline(world: World, serve: Serve) -> None:
    with serve(proxy_protocol=True, proxy_allow_from="127.0.0.1", handshake_timeout="300ms") as server:
        for part in (b"", V1[:-2], V2):
            with socket.create_connection(("127.0.0.1", server.port), 10) as plain:
                plain.sendall(part)
                assert plain.recv(1) == b""
        eventually(lambda: sum("handshake timed out" in line for line in server.log()) == 3, "three lines")
