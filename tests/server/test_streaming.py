"""Responses while they are made, clients that leave in the middle, and lanes between the front's threads."""

from __future__ import annotations

import contextlib
import hashlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import Server, eventually, running
from wire import Cut, Wire, chunked, request

APPS = Path(__file__).parent / "apps"


@pytest.fixture(scope="module")
def probe(program, state, tmp_path_factory) -> Iterator[Server]:
    """One lane: if it is lost, nothing is served any more."""
    folder = tmp_path_factory.mktemp("probe")
    with running(program, state, folder, "probe:app", pythonpath=APPS, threads=1) as server:
        yield server


@pytest.fixture
def fifo(tmp_path) -> Path:
    path = tmp_path / "go-on"
    os.mkfifo(path)
    return path


# --- as it comes ---


def test_block_is_with_the_client_before_the_next_is_made(probe, fifo):
    with Wire(probe) as wire:
        wire.send(request(f"/stream?fifo={fifo}&name=lazy"))
        wire.head()
        assert wire.chunk() == b"first"
        fifo.write_bytes(b"")  # only now is there a second one
        assert wire.chunk() == b"second"
        assert wire.chunk() == b""
    probe.wait_for("closed lazy")


def test_streams_of_http_1_0_are_flushed_too(probe, fifo):
    with Wire(probe) as wire:
        wire.send(request(f"/stream?fifo={fifo}&name=old", version="1.0"))
        wire.head()
        assert wire.exactly(5) == b"first"
        fifo.write_bytes(b"")
        assert wire.rest() == b"second"


def test_other_requests_run_beside_a_stream(server, fifo):
    with server("probe:app", pythonpath=APPS, threads=2) as running_server, Wire(running_server) as wire:
        wire.send(request(f"/stream?fifo={fifo}&name=beside"))
        wire.head()
        assert wire.chunk() == b"first"
        with Wire(running_server) as other:
            for _ in range(10):
                assert other.get("/").status == 200
        fifo.write_bytes(b"")
        assert wire.chunk() == b"second"


@pytest.mark.parametrize("length", ["", "&length"])
@pytest.mark.parametrize("size", [65536, 1_000_003, 30_000_000])
def test_large_response_arrives_whole(probe, size, length):
    with Wire(probe) as wire:
        reply = wire.get(f"/large?size={size}{length}")
        assert len(reply.body) == size
        assert hashlib.sha256(reply.body).hexdigest() == reply.header("X-SHA256")
        assert wire.get("/next").status == 200


def test_large_responses_to_pipelined_requests_arrive_whole(probe):
    with Wire(probe, receive_buffer=4096) as wire:
        wire.send(b"".join(request(f"/large?size={n * 400_000}") for n in range(1, 6)))
        for n in range(1, 6):
            reply = wire.response()
            assert len(reply.body) == n * 400_000
            assert hashlib.sha256(reply.body).hexdigest() == reply.header("X-SHA256")


def test_body_that_goes_back_while_the_client_reads_nothing(probe):
    """10 MB both ways, through both spools."""
    body = os.urandom(10 << 20)
    with Wire(probe, receive_buffer=4096) as wire:
        wire.send(request("/mirror", "Transfer-Encoding: chunked", method="POST") + chunked(body))
        with Wire(probe) as other:
            assert other.get("/").status == 200
        assert wire.response().body == body


# --- the client leaves ---


@pytest.mark.parametrize("way", ["close", "reset", "notify"])
def test_client_that_leaves_a_stream_ends_it(probe, way):
    with Wire(probe) as wire:
        wire.send(request(f"/endless?name=left-by-{way}&pause=0.001"))
        wire.head()
        wire.chunk()
        if way == "notify":
            wire.socket.settimeout(0)
            try:
                wire.socket._sslobj.shutdown()
            except OSError:
                pass
        if way == "reset":
            wire.reset()
    probe.wait_for(f"closed left-by-{way}", timeout=5)
    with Wire(probe) as other:  # the only lane is free again
        assert other.get("/").status == 200


def test_client_that_leaves_before_the_response_costs_nobody_anything(probe, fifo):
    """The request runs to its end: nothing can stop a view but itself."""
    wire = Wire(probe)
    wire.send(request(f"/hold?fifo={fifo}&name=abandoned"))
    probe.wait_for("holding abandoned")
    wire.close()
    fifo.write_bytes(b"")
    with Wire(probe) as other:
        assert other.get("/").status == 200


def test_request_of_a_client_that_left_while_it_waited_is_not_run(probe, fifo):
    holder, waiter = Wire(probe), Wire(probe)
    holder.send(request(f"/hold?fifo={fifo}&name=first-of-two"))
    probe.wait_for("holding first-of-two")
    waiter.send(request("/waited-in-vain"))
    front = probe.front_pid()
    sockets = count_sockets(front)
    waiter.close()
    eventually(lambda: count_sockets(front) < sockets, "the front saw that the client has gone")
    fifo.write_bytes(b"")
    assert holder.response().body == b"held"
    assert "/waited-in-vain" not in holder.get("/ran").json()
    holder.close()


def count_sockets(pid: int) -> int:
    found = 0
    for fd in Path(f"/proc/{pid}/fd").iterdir():
        try:
            found += os.readlink(fd).startswith("socket:")
        except OSError:
            continue
    return found


def test_hundred_clients_that_leave_at_any_point_lose_no_lane(probe):
    octets = request("/mirror", "Content-Length: 100000", method="POST") + b"x" * 100_000
    for n in range(100):
        with Wire(probe, receive_buffer=4096) as wire:
            wire.send(octets[: len(octets) * (n + 1) // 100])
            if n % 2:
                wire.reset()
    with Wire(probe) as wire:
        assert wire.get("/").status == 200


# --- lanes move between the front's threads ---


def hammer(server: Server, connections: int, each: int, paths: list[str]) -> list[str]:
    """What went wrong in `connections` times `each` requests, that many connections at once."""
    wrong: list[str] = []
    context = server.ssl_context()

    def run(number: int) -> None:
        try:
            with Wire(server, context=context) as wire:
                for n in range(each):
                    path = f"{paths[n % len(paths)]}-{number}-{n}"
                    reply = wire.get(path)
                    if (reply.status, reply.body) != (200, f"GET {path}".encode()):
                        wrong.append(f"{path}: {reply.status} {reply.body[:80]!r}")
        except Exception as failure:  # noqa: BLE001 - the test shows it
            wrong.append(f"{number}: {failure!r}")

    threads = [threading.Thread(target=run, args=(n,)) for n in range(connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    return wrong


@pytest.mark.parametrize(("workers", "threads"), [(1, 1), (2, 2)])
def test_no_lane_is_lost_between_two_front_threads(server, workers, threads):
    options = {"workers": workers, "threads": threads, "front_threads": 2}
    with server("probe:app", pythonpath=APPS, **options) as running_server:
        assert hammer(running_server, 16, 125, ["/a", "/b"]) == []
        assert hammer(running_server, 1, 20, ["/c"]) == []
        assert not [line for line in running_server.log() if "ERROR" in line or "Traceback" in line]


def test_stop_in_the_middle_of_load_ends_in_good_order(server):
    """Without grace: connections, requests and lanes that move are dropped where they are."""
    options = {"front_threads": 4, "workers": 2, "threads": 2, "graceful_timeout": "10ms"}
    with server("probe:app", pythonpath=APPS, **options) as running_server:
        context = running_server.ssl_context()
        begun = threading.Barrier(13)
        ends = (OSError, Cut, pytest.fail.Exception)

        def run() -> None:
            with contextlib.suppress(*ends), Wire(running_server, context=context) as wire:
                wire.get("/")
                begun.wait(20)
                while True:
                    wire.get("/")

        threads = [threading.Thread(target=run) for _ in range(12)]
        for thread in threads:
            thread.start()
        begun.wait(20)
        assert running_server.stop() == 0
        for thread in threads:
            thread.join(30)


def test_each_connection_of_many_gets_its_own_responses(server):
    with server("probe:app", pythonpath=APPS, front_threads=4, threads=3) as running_server:
        assert hammer(running_server, 40, 25, ["/mine"]) == []
