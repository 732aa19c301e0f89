"""Every deadline by its option, and that nobody slow holds up somebody who is not.

A deadline cannot be seen but by letting it pass: the servers here have short ones.
"""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import Server, eventually, running
from wire import Cut, Wire, request

APPS = Path(__file__).parent / "apps"


@pytest.fixture(scope="module")
def hasty(program, state, tmp_path_factory) -> Iterator[Server]:
    """One lane, and little patience with clients."""
    options = {
        "handshake_timeout": "300ms",
        "header_timeout": "300ms",
        "body_timeout": "300ms",
        "keep_alive": "300ms",
        "send_timeout": "300ms",
        "threads": 1,
    }
    folder = tmp_path_factory.mktemp("hasty")
    with running(program, state, folder, "probe:app", pythonpath=APPS, **options) as server:
        yield server


@pytest.fixture(scope="module")
def patient(program, state, tmp_path_factory) -> Iterator[Server]:
    """One lane, and the usual deadlines."""
    folder = tmp_path_factory.mktemp("patient")
    with running(program, state, folder, "probe:app", pythonpath=APPS, threads=1) as server:
        yield server


@contextlib.contextmanager
def within(low_s: float, high_s: float) -> Iterator[None]:
    began = time.monotonic()
    yield
    assert low_s <= time.monotonic() - began < high_s


# --- each deadline ---


def test_handshake_that_does_not_begin_is_ended(hasty):
    with socket.create_connection(("127.0.0.1", hasty.port), 10) as plain, within(0.2, 5):
        assert plain.recv(1) == b""
    hasty.wait_for("handshake timed out.*address=127.0.0.1")


def test_handshake_that_trickles_is_ended(hasty):
    hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"
    with socket.create_connection(("127.0.0.1", hasty.port), 10) as plain, within(0.2, 5):
        plain.settimeout(0.05)
        with contextlib.suppress(ConnectionError):
            for octet in hello * 20:
                plain.send(bytes([octet]))
                with contextlib.suppress(TimeoutError):
                    if plain.recv(1) == b"":
                        break
            else:
                pytest.fail("the handshake was let go on")


def test_client_that_says_nothing_is_closed_in_good_order(hasty):
    with Wire(hasty) as wire, within(0.2, 5):
        assert wire.is_closed()


def test_head_that_does_not_end_is_408(hasty):
    with Wire(hasty) as wire:
        wire.send(b"GET / HTTP/1.1\r\nHost: local")
        with within(0.2, 5):
            assert wire.response().status == 408
        assert wire.is_closed()
    hasty.wait_for("request refused.*status=408.*--header-timeout")


def test_head_that_trickles_is_408(hasty):
    """The deadline counts from the first octet, and no later one moves it."""
    with Wire(hasty) as wire, within(0.2, 5):
        with contextlib.suppress(Cut, OSError):
            wire.send(b"GET / HTTP/1.1\r\n")
            for _ in range(200):
                wire.send(b"X: y\r\n")
                wire.socket.settimeout(0.05)
                with contextlib.suppress(TimeoutError):
                    if not wire.more():
                        break
        assert wire.buffer.startswith(b"HTTP/1.1 408 ")


def test_body_that_stops_is_408_and_not_run(hasty):
    with Wire(hasty) as wire:
        wire.send(request("/stopped", "Content-Length: 10", method="POST") + b"12345")
        with within(0.2, 5):
            assert wire.response().status == 408
        assert wire.is_closed()
    hasty.wait_for("request refused.*status=408.*--body-timeout")
    with Wire(hasty) as wire:
        assert "/stopped" not in wire.get("/ran").json()


def test_body_that_goes_on_is_waited_for(hasty):
    """Its deadline is between two pieces."""
    with Wire(hasty) as wire, within(0.6, 10):
        wire.send(request("/echo", "Content-Length: 8", method="POST"))
        for _ in range(8):
            time.sleep(0.1)
            wire.send(b"x")
        assert wire.response().json()["body"] == "x" * 8


def test_idle_connection_is_closed_in_good_order(hasty):
    with Wire(hasty) as wire:
        assert wire.get("/").status == 200
        with within(0.2, 5):
            assert wire.is_closed()


def test_request_within_keep_alive_renews_it(hasty):
    with Wire(hasty) as wire:
        for _ in range(8):
            assert wire.get("/").status == 200
            time.sleep(0.1)


def test_keep_alive_0_closes_behind_each_response(server):
    with server("probe:app", pythonpath=APPS, keep_alive=0) as running_server, Wire(running_server) as wire:
        reply = wire.get("/")
        assert (reply.status, reply.header("Connection")) == (200, "close")
        with within(0, 5):
            assert wire.is_closed()


def sends_nothing_more(wire: Wire) -> None:
    with pytest.raises((Cut, OSError)):
        wire.rest()


def test_client_that_takes_nothing_is_cut_and_its_worker_long_free(hasty):
    with Wire(hasty, receive_buffer=4096) as wire:
        wire.send(request("/large?size=20000000&name=stalled"))
        hasty.wait_for("closed stalled")  # the application is done: its response is the front's
        with Wire(hasty) as other:
            assert other.get("/").status == 200
        time.sleep(1)  # nothing is read for longer than --send-timeout
        sends_nothing_more(wire)


def test_client_that_stalls_a_response_without_end_is_cut(hasty):
    """Small blocks that are sent one by one: the deadline begins when the first is not taken."""
    with Wire(hasty, receive_buffer=4096) as wire:
        wire.send(request("/endless?name=stalled-stream&size=3000"))
        hasty.wait_for("closed stalled-stream", timeout=10)
    with Wire(hasty) as other:
        assert other.get("/").status == 200


def test_client_that_takes_its_response_slowly_gets_all_of_it(hasty):
    with Wire(hasty, receive_buffer=4096) as wire, within(0.6, 15):
        wire.send(request("/large?size=6000000&length"))
        reply = wire.head()
        for _ in range(8):
            time.sleep(0.1)
            wire.exactly(100_000)
        assert reply.header("Content-Length") == "6000000"
        assert len(wire.exactly(5_200_000)) == 5_200_000


def test_wait_for_the_application_counts_against_no_deadline_of_the_client(hasty, tmp_path):
    fifo = tmp_path / "go-on"
    os.mkfifo(fifo)
    with Wire(hasty) as wire:
        wire.send(request(f"/stream?fifo={fifo}&name=waited-for"))
        wire.head()
        assert wire.chunk() == b"first"
        time.sleep(0.8)
        fifo.write_bytes(b"")
        assert wire.chunk() == b"second"


# --- the application's ---


def test_view_over_the_timeout_is_503_and_its_worker_replaced(server):
    with server("probe:app", pythonpath=APPS, timeout="500ms", threads=1) as running_server:
        before = running_server.worker_pids()
        with Wire(running_server) as wire:
            with within(0.4, 6):
                reply = wire.get("/hang")
            assert reply.status == 503
            assert "--timeout" in reply.json()["detail"]
            # The new one may need longer to start than a request may wait here.
            eventually(lambda: wire.get("/who").status == 200, "a new worker answers")
            assert int(wire.get("/who").body) not in before
        running_server.wait_for("no response from the application.*status=503.*path=/hang")
        eventually(lambda: not set(before) & set(running_server.worker_pids()), "the worker that hung has ended")


def test_request_that_finds_no_worker_in_time_is_503(server, tmp_path):
    fifo = tmp_path / "go-on"
    os.mkfifo(fifo)
    with (
        server("probe:app", pythonpath=APPS, timeout="700ms", threads=1) as running_server,
        Wire(running_server) as first,
        Wire(running_server) as second,
    ):
        first.send(request(f"/stream?fifo={fifo}&name=busy"))  # begun in time, so let go on
        first.head()
        assert first.chunk() == b"first"
        with within(0.5, 6):
            reply = second.get("/")
        assert reply.status == 503
        assert "no worker was free" in reply.json()["detail"]
        fifo.write_bytes(b"")
        assert first.chunk() == b"second"


def test_timeout_0_waits_for_ever(server, tmp_path):
    fifo = tmp_path / "go-on"
    os.mkfifo(fifo)
    with server("probe:app", pythonpath=APPS, timeout=0) as running_server, Wire(running_server) as wire:
        wire.send(request(f"/hold?fifo={fifo}&name=long"))
        running_server.wait_for("holding long")
        time.sleep(0.6)
        fifo.write_bytes(b"")
        assert wire.response().body == b"held"


# --- one lane, many slow clients, one honest one ---


def assert_served_at_once(server: Server) -> None:
    with Wire(server) as honest, within(0, 2):
        for _ in range(20):
            assert honest.get("/").status == 200


def test_slow_senders_hold_no_worker(patient):
    with contextlib.ExitStack() as stack:
        for n in range(60):
            wire = stack.enter_context(Wire(patient))
            if n % 3 == 0:
                wire.send(b"GET / HTTP/1.1\r\nHo")
            elif n % 3 == 1:
                wire.send(request("/slow-sender", "Content-Length: 1000", method="POST") + b"x" * n)
            else:
                wire.send(request("/slow-sender", "Transfer-Encoding: chunked", method="POST") + b"ff\r\nx")
        for _ in range(30):  # and some that do not even shake hands
            stack.enter_context(socket.create_connection(("127.0.0.1", patient.port), 10))
        assert_served_at_once(patient)
        with Wire(patient) as wire:
            assert "/slow-sender" not in wire.get("/ran").json()


def test_slow_readers_hold_no_worker(patient):
    with contextlib.ExitStack() as stack:
        wires = []
        for _ in range(20):
            wire = stack.enter_context(Wire(patient, receive_buffer=4096))
            wire.send(request("/large?size=4000000&name=slow-reader"))
            wires.append(wire)
        patient.wait_for("closed slow-reader", count=20)
        assert_served_at_once(patient)
        for wire in wires:  # and each has all of its response in the end
            assert len(wire.response().body) == 4_000_000


def test_slow_readers_of_files_hold_no_worker(patient, tmp_path):
    made = tmp_path / "file"
    made.write_bytes(os.urandom(4_000_000))
    with contextlib.ExitStack() as stack:
        wires = [stack.enter_context(Wire(patient, receive_buffer=4096)) for _ in range(20)]
        for wire in wires:
            wire.send(request(f"/file?file={made}"))
        assert_served_at_once(patient)
        for wire in wires:
            assert wire.response().body == made.read_bytes()
