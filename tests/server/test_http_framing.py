"""Requests that two readers could understand in two ways, and others that are none: 400, and the connection ends.

One row of `REFUSED` each; behind every one stands a second request, which must not be run: that is the smuggled one.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import Server, running
from wire import Wire, chunked, request

APPS = Path(__file__).parent / "apps"
number = itertools.count()


@pytest.fixture(scope="module")
def probe(program, state, tmp_path_factory) -> Iterator[Server]:
    with running(program, state, tmp_path_factory.mktemp("probe"), "probe:app", pythonpath=APPS, threads=2) as server:
        yield server


def ran(server: Server) -> list[str]:
    with Wire(server) as wire:
        return wire.get("/ran").json()


def post(*headers: str, body: bytes = b"") -> bytes:
    return request("/first", *headers, method="POST") + body


def body_of(octets: bytes) -> bytes:
    return post("Transfer-Encoding: chunked", body=octets)


LAST = b"0\r\n\r\n"

REFUSED = {
    # Transfer-Encoding
    "coding and length": post("Transfer-Encoding: chunked", "Content-Length: 5", body=LAST),
    "length and coding": post("Content-Length: 5", "Transfer-Encoding: chunked", body=LAST),
    "two codings in two fields": post("Transfer-Encoding: chunked", "Transfer-Encoding: chunked", body=LAST),
    "two codings in one field": post("Transfer-Encoding: chunked, chunked", body=LAST),
    "chunked then identity": post("Transfer-Encoding: chunked, identity", body=LAST),
    "identity": post("Transfer-Encoding: identity", body=LAST),
    "xchunked": post("Transfer-Encoding: xchunked", body=LAST),
    "chunkedx": post("Transfer-Encoding: chunkedx", body=LAST),
    "empty coding": post("Transfer-Encoding:", body=LAST),
    "coding with a parameter": post("Transfer-Encoding: chunked;q=1", body=LAST),
    "quoted coding": post('Transfer-Encoding: "chunked"', body=LAST),
    "vertical tab before the coding": post("Transfer-Encoding: \x0bchunked", body=LAST),
    "coding in HTTP/1.0": request("/first", "Transfer-Encoding: chunked", method="POST", version="1.0") + LAST,
    "space before the colon": post("Transfer-Encoding : chunked", body=LAST),
    "tab before the colon": post("Content-Length\t: 0"),
    "folded coding": post("Transfer-Encoding:\r\n chunked", body=LAST),
    # Content-Length
    "two lengths": post("Content-Length: 0", "Content-Length: 1"),
    "two equal lengths": post("Content-Length: 0", "Content-Length: 0"),
    "list of lengths": post("Content-Length: 0, 0"),
    "empty length": post("Content-Length:"),
    "length with a sign": post("Content-Length: +0"),
    "negative length": post("Content-Length: -1"),
    "length in hexadecimal": post("Content-Length: 0x0"),
    "length with an underscore": post("Content-Length: 0_0"),
    "length past 64 bits": post("Content-Length: 18446744073709551616"),
    "length in other digits": post("Content-Length: \xb2"),
    "length with space in it": post("Content-Length: 1 0"),
    # chunks
    "chunk size with prefix": body_of(b"0x1\r\na\r\n" + LAST),
    "chunk size with underscore": body_of(b"1_0\r\n" + b"a" * 16 + b"\r\n" + LAST),
    "chunk size with plus": body_of(b"+1\r\na\r\n" + LAST),
    "chunk size minus nothing": body_of(b"-0\r\n\r\n"),
    "negative chunk size": body_of(b"-1\r\na\r\n" + LAST),
    "no chunk size": body_of(b"\r\n\r\n"),
    "chunk size past 64 bits": body_of(b"10000000000000000\r\na\r\n" + LAST),
    "space before the chunk size": body_of(b" 1\r\na\r\n" + LAST),
    "bare LF behind the chunk size": body_of(b"1\na\r\n" + LAST),
    "bare CR behind the chunk size": body_of(b"1\ra\r\n" + LAST),
    "CR in a chunk extension": body_of(b"1;a=\rb\r\na\r\n" + LAST),
    "LF in a chunk extension": body_of(b"1;a\nb\r\na\r\n" + LAST),
    "bad end of a chunk": body_of(b"1\r\naXX" + LAST),
    "bare LF at the end of a chunk": body_of(b"1\r\na\n" + LAST),
    "chunk longer than its size": body_of(b"1\r\nab\r\n" + LAST),
    "bare LF behind the last chunk": body_of(b"0\n\n"),
    "trailer without a colon": body_of(b"0\r\nnonsense\r\n\r\n"),
    "trailer with space before the colon": body_of(b"0\r\nX : y\r\n\r\n"),
    "bare LF behind a trailer": body_of(b"0\r\nX: y\n\r\n"),
    # the head
    "no host": b"GET /first HTTP/1.1\r\n\r\n",
    "two hosts": request("/first", "Host: other"),
    "empty host": b"GET /first HTTP/1.1\r\nHost:\r\n\r\n",
    "host with a path": b"GET /first HTTP/1.1\r\nHost: a/b\r\n\r\n",
    "host with a user": b"GET /first HTTP/1.1\r\nHost: user@localhost\r\n\r\n",
    "host with a space": b"GET /first HTTP/1.1\r\nHost: a b\r\n\r\n",
    "host with a comma": b"GET /first HTTP/1.1\r\nHost: a, b\r\n\r\n",
    "host with a bad port": b"GET /first HTTP/1.1\r\nHost: localhost:x\r\n\r\n",
    "absolute target without host field": b"GET https://localhost/first HTTP/1.1\r\n\r\n",
    "absolute target with a user": b"GET https://user@localhost/first HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "target without a slash": b"GET first HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "target with a fragment": b"GET /first#x HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "NUL in the target": b"GET /first%00 HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "broken percent": b"GET /first%zz HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "star for another method": b"GET * HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "empty name": request("/first", ": value"),
    "name with a space": request("/first", "Na me: value"),
    "line without a colon": request("/first", "nonsense"),
    "folded header": request("/first", "X-A: b", " c"),
    "first header folded": b"GET /first HTTP/1.1\r\n Host: localhost\r\n\r\n",
    "NUL in a value": request("/first", "X-A: b\0c"),
    "CR in a value": request("/first", "X-A: b\rc"),
    "bare LF behind a header": b"GET /first HTTP/1.1\r\nHost: localhost\nX: y\r\n\r\n",
    "bare LF behind the request line": b"GET /first HTTP/1.1\nHost: localhost\r\n\r\n",
    "octet above 127 in a name": request("/first", "X-\xe4: b"),
    # the request line
    "HTTP/0.9": b"GET /first\r\n",
    "HTTP/0.9 with a host": b"GET /first\r\nHost: localhost\r\n\r\n",
    "no version": b"GET /first \r\nHost: localhost\r\n\r\n",
    "version in lower case": b"GET /first http/1.1\r\nHost: localhost\r\n\r\n",
    "version with two digits": b"GET /first HTTP/1.10\r\nHost: localhost\r\n\r\n",
    "two spaces": b"GET  /first HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "space behind the version": b"GET /first HTTP/1.1 \r\nHost: localhost\r\n\r\n",
    "tab for a space": b"GET\t/first HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "space in the target": b"GET /fir st HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "octet above 127 in the target": b"GET /first\xff HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "method that is no token": b"G(T /first HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "space before the method": b" GET /first HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "endless empty lines": b"\r\n" * 20 + request("/first"),
}

# Known to the letter, but not done here.
NOT_DONE = {
    "CONNECT": (501, b"CONNECT localhost:443 HTTP/1.1\r\nHost: localhost:443\r\n\r\n"),
    "another coding before chunked": (501, post("Transfer-Encoding: gzip, chunked", body=LAST)),
    "HTTP/2.0": (505, b"GET /first HTTP/2.0\r\nHost: localhost\r\n\r\n"),
    "the preface of HTTP/2": (505, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    "another expectation": (417, post("Expect: 200-ok", "Content-Length: 0")),
}


def assert_refused(server: Server, octets: bytes, status: int) -> None:
    smuggled = f"/smuggled-{next(number)}"
    with Wire(server) as wire:
        wire.send(octets + request(smuggled))
        reply = wire.response()
        assert reply.status == status, reply
        assert reply.header("Connection") == "close"
        assert reply.header("Content-Type") == "application/problem+json"
        assert reply.json()["status"] == status
        assert wire.is_closed()
    assert smuggled not in ran(server)


@pytest.mark.parametrize("name", REFUSED)
def test_ambiguous_request_is_400_and_what_stands_behind_it_is_not_run(probe, name):
    assert_refused(probe, REFUSED[name], 400)


@pytest.mark.parametrize("name", NOT_DONE)
def test_what_is_not_done_here_is_refused_by_its_name(probe, name):
    status, octets = NOT_DONE[name]
    assert_refused(probe, octets, status)


def test_none_of_the_refused_requests_reached_the_application(probe):
    for octets in REFUSED.values():
        with Wire(probe) as wire:
            wire.send(octets)
            assert wire.response().status == 400
    assert "/first" not in ran(probe)


def test_the_log_says_why_a_request_was_refused(probe):
    assert_refused(probe, REFUSED["coding and length"], 400)
    line = probe.wait_for("request refused.*Transfer-Encoding and Content-Length")
    assert "status=400" in line and "address=127.0.0.1" in line


def test_octets_that_are_split_anywhere_mean_the_same(probe):
    octets = request("/echo", "Transfer-Encoding: chunked", "X-A: b", method="POST") + chunked(b"hello ", b"world")
    with Wire(probe) as wire:
        for at in range(1, len(octets), 7):
            wire.send(octets[:at])
            wire.send(octets[at:])
            assert wire.response().json()["body"] == "hello world"


def test_one_octet_a_record_is_a_request(probe):
    octets = request("/echo", "Content-Length: 5", method="POST") + b"hello"
    with Wire(probe) as wire:
        for at in range(len(octets)):
            wire.send(octets[at : at + 1])
        assert wire.response().json()["body"] == "hello"


def test_http_spoken_without_tls_is_not_answered(probe):
    import socket

    with socket.create_connection(("127.0.0.1", probe.port), 10) as plain:
        plain.sendall(request("/"))
        answer = b""
        while part := plain.recv(1000):
            answer += part
    assert b"HTTP/1.1 200" not in answer
