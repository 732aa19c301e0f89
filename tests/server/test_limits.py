"""Every limit on a request, at its default and by its option: what fits is served, one octet more is refused."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import Server, running
from wire import Wire, chunked, request

APPS = Path(__file__).parent / "apps"


@pytest.fixture(scope="module")
def usual(program, state, tmp_path_factory) -> Iterator[Server]:
    with running(program, state, tmp_path_factory.mktemp("usual"), "probe:app", pythonpath=APPS) as server:
        yield server


@pytest.fixture(scope="module")
def narrow(program, state, tmp_path_factory) -> Iterator[Server]:
    options = {
        "limit_request_line": 100,
        "limit_request_fields": 5,
        "limit_request_field_size": 60,
        "limit_request_body": 1000,
    }
    folder = tmp_path_factory.mktemp("narrow")
    with running(program, state, folder, "probe:app", pythonpath=APPS, **options) as server:
        yield server


def line_of(size: int) -> bytes:
    path = "/" + "a" * (size - len("GET / HTTP/1.1"))
    return request(path)


def fields(count: int) -> bytes:
    return request("/", *(f"X-{n}: y" for n in range(count - 1)))


def field_of(size: int) -> bytes:
    return request("/", "X: " + "y" * (size - 3))


def answer(server: Server, octets: bytes) -> int:
    """The status; where it is a refusal, the end of the connection too."""
    with Wire(server) as wire:
        wire.send(octets)
        reply = wire.response()
        if reply.status != 200:
            assert reply.header("Connection") == "close"
            assert wire.is_closed()
        return reply.status


@pytest.mark.parametrize(
    ("make", "default", "narrowed", "status"),
    [(line_of, 8190, 100, 414), (fields, 100, 5, 431), (field_of, 8190, 60, 431)],
    ids=["line", "fields", "field"],
)
def test_head_is_limited(usual, narrow, make, default, narrowed, status):
    assert answer(usual, make(default)) == 200
    assert answer(usual, make(default + 1)) == status
    assert answer(narrow, make(narrowed)) == 200
    assert answer(narrow, make(narrowed + 1)) == status


def test_head_as_a_whole_is_limited(usual):
    assert answer(usual, request("/", *(f"X-{n}: " + "y" * 4000 for n in range(30)))) == 200
    assert answer(usual, request("/", *(f"X-{n}: " + "y" * 4000 for n in range(40)))) == 431


def test_endless_line_is_refused_while_it_is_sent(usual):
    with Wire(usual) as wire:
        wire.send(b"GET /" + b"a" * 20000)  # no end in sight
        assert wire.response().status == 414
        assert wire.is_closed()


def test_body_is_limited_by_the_length_it_says(narrow):
    assert answer(narrow, request("/echo", "Content-Length: 1000", method="POST") + b"x" * 1000) == 200
    assert answer(narrow, request("/echo", "Content-Length: 1001", method="POST")) == 413


def test_chunked_body_is_limited_as_it_comes(narrow):
    head = request("/echo", "Transfer-Encoding: chunked", method="POST")
    assert answer(narrow, head + chunked(b"x" * 500, b"y" * 500)) == 200
    assert answer(narrow, head + chunked(b"x" * 500, b"y" * 501)) == 413


def test_client_that_sends_on_after_413_reads_its_response(narrow):
    """Closing at once would reset the connection, and the response with it."""
    with Wire(narrow) as wire:
        wire.send(request("/echo", "Content-Length: 500000", method="POST") + b"x" * 500000)
        assert wire.response().status == 413
        assert wire.is_closed()


def test_refusal_by_limit_reaches_nobody_else(narrow):
    with Wire(narrow) as wire:
        for _ in range(20):
            assert answer(narrow, line_of(101)) == 414
            assert wire.get("/").status == 200


def test_chunk_extension_and_trailers_are_limited(usual):
    head = request("/echo", "Transfer-Encoding: chunked", method="POST")
    assert answer(usual, head + b"1;" + b"e" * 5000 + b"\r\na\r\n0\r\n\r\n") == 400
    trailers = b"".join(b"X-%d: %b\r\n" % (n, b"y" * 1000) for n in range(30))
    assert answer(usual, head + b"0\r\n" + trailers + b"\r\n") in (400, 431)


def test_connections_past_the_limit_wait_for_a_place(server):
    with server("probe:app", pythonpath=APPS, worker_connections=2, keep_alive="300ms") as running_server:
        first, second = Wire(running_server), Wire(running_server)
        assert first.get("/").status == second.get("/").status == 200
        with Wire(running_server) as third:  # its handshake begins when one of the two is closed
            assert third.get("/").status == 200
        first.close()
        second.close()
