"""Every limit on a request, at its default and by its option: what fits is served, one octet more is refused."""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import Server, running
from wire import Cut, Wire, chunked, request

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


# --- what the system does not give ---


@pytest.fixture
def on_a_full_disk(server) -> Iterator[Server]:
    """No file may grow past 300 000 octets."""
    limited = ("prlimit", "--fsize=300000:300000")
    with server("probe:app", pythonpath=APPS, threads=1, prefix=limited) as running_server:
        yield running_server


def test_body_that_finds_no_room_is_500_and_costs_nobody_else_anything(on_a_full_disk):
    front = on_a_full_disk.front_pid()
    with Wire(on_a_full_disk) as wire:
        wire.send(request("/not-run", "Content-Length: 900000", method="POST") + b"x" * 900_000)
        assert wire.response().status == 500
        assert wire.is_closed()
    on_a_full_disk.wait_for("a request body is lost: .*File too large")
    with Wire(on_a_full_disk) as wire:
        assert wire.get("/ran").json() == []
    assert on_a_full_disk.front_pid() == front


def test_response_that_finds_no_room_is_cut(on_a_full_disk):
    front = on_a_full_disk.front_pid()
    with Wire(on_a_full_disk, receive_buffer=4096) as wire:
        wire.send(request("/large?size=9000000&name=no-room"))
        with pytest.raises(Cut):
            wire.rest()
    on_a_full_disk.wait_for("the application's response is cut status=200.*File too large")
    on_a_full_disk.wait_for("closed no-room")
    with Wire(on_a_full_disk) as wire:
        assert wire.get("/").status == 200
    assert on_a_full_disk.front_pid() == front


def test_folder_for_bodies_that_went_away_is_500(server, tmp_path):
    folder = tmp_path / "bodies"
    folder.mkdir()
    with server("probe:app", pythonpath=APPS, worker_tmp_dir=folder) as running_server:
        folder.rmdir()
        with Wire(running_server) as wire:
            assert wire.post("/echo", b"small").status == 200
            wire.send(request("/echo", "Content-Length: 100000", method="POST") + b"x" * 100_000)
            assert wire.response().status == 500
        running_server.wait_for(f"a request body is lost: .*{folder}")


def test_folder_for_bodies_that_was_never_there_is_refused_at_the_start(start):
    starting = start("probe:app", pythonpath=APPS, worker_tmp_dir="/nowhere/at/all")
    assert starting.wait() != 0
    starting.wait_for("--worker-tmp-dir.*/nowhere/at/all")


def cpu_ticks(pid: int) -> int:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def test_server_without_descriptors_waits_instead_of_turning_in_circles(server):
    limited = ("prlimit", "--nofile=80:80")
    with server("probe:app", pythonpath=APPS, prefix=limited) as running_server:
        front = running_server.front_pid()
        with contextlib.ExitStack() as stack:
            for _ in range(120):
                stack.enter_context(socket.create_connection(("127.0.0.1", running_server.port), 10))
            running_server.wait_for("connections wait and cannot be accepted: Too many open files")
            before = cpu_ticks(front)
            time.sleep(1)
            assert cpu_ticks(front) - before < 30  # of 100 a second for each thread
        with Wire(running_server) as wire:
            assert wire.get("/").status == 200
        assert len([line for line in running_server.log() if "cannot be accepted" in line]) <= 2 * (os.cpu_count() or 1)
