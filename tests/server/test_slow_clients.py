"""A hundred clients that send, and a hundred that read, a byte a second, beside one who does not.

test_deadlines.py has clients that stand still; these go on all the time, so no deadline ends them.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import statistics
import threading
import time
from collections.abc import Iterator

import pytest
from conftest import Server
from wire import Wire, request

SLOW = 100
TICKS = 3
TICK_S = 1.0
RESPONSE_BYTES = 300_000

APP = """
import sys

running = []


class Blocks:
    def __init__(self, path, size):
        self.path, self.left = path, size

    def __iter__(self):
        return self

    def __next__(self):
        if not self.left:
            raise StopIteration
        taken = min(self.left, 65536)
        self.left -= taken
        return b"r" * taken

    def close(self):
        running.remove(self.path)
        print(f"done with {self.path}", file=sys.stderr, flush=True)


def app(environ, start_response):
    path = environ["PATH_INFO"]
    running.append(path)
    if path == "/read":
        start_response("200 OK", [])
        return Blocks(path, int(environ["QUERY_STRING"]))
    try:
        size = len(environ["wsgi.input"].read())
        start_response("200 OK", [("X-Running", " ".join(running))])
        return [b"%d" % size]
    finally:
        running.remove(path)
"""


class Slow:
    """Many connections, each moved on by one octet at every tick."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.context = server.ssl_context()
        self.senders: list[Wire] = []
        self.readers: list[Wire] = []
        self.ticks = threading.Semaphore(0)
        self.over = threading.Event()
        self.failures: list[BaseException] = []

    def connect(self, stack: contextlib.ExitStack) -> None:
        for n in range(SLOW):
            wire = stack.enter_context(Wire(self.server, context=self.context))
            head = request("/sent", "Content-Length: 1000", method="POST")
            wire.send(head[: len(head) // 2] if n % 2 else head)  # half of them are slow from the head on
            wire.rest_to_send = head[len(head) // 2 :] + b"s" * 1000 if n % 2 else b"s" * 1000
            self.senders.append(wire)
        for _ in range(SLOW):
            wire = stack.enter_context(Wire(self.server, context=self.context, receive_buffer=4096))
            wire.send(request(f"/read?{RESPONSE_BYTES}"))
            self.readers.append(wire)

    def tick(self) -> None:
        for wire in self.senders:
            wire.send(wire.rest_to_send[:1])
            wire.rest_to_send = wire.rest_to_send[1:]
        for wire in self.readers:
            wire.buffer += wire.socket.recv(1)

    def go_on(self) -> None:
        try:
            while not self.over.wait(TICK_S):
                self.tick()
                self.ticks.release()
        except BaseException as failure:  # noqa: BLE001 - the test shows it
            self.failures.append(failure)

    @contextlib.contextmanager
    def going_on(self) -> Iterator[None]:
        thread = threading.Thread(target=self.go_on)
        thread.start()
        try:
            yield
        finally:
            self.over.set()
            thread.join(30)

    def finish(self) -> None:
        """Each of them is served in the end, whole."""
        for wire in self.senders:
            wire.send(wire.rest_to_send)
            assert wire.response().body == b"1000"
        for wire in self.readers:
            assert wire.response().body == b"r" * RESPONSE_BYTES


def ask(honest: Wire, times_ms: list[float]) -> None:
    began = time.monotonic()
    reply = honest.get("/honest")
    times_ms.append((time.monotonic() - began) * 1000)
    assert reply.status == 200
    assert reply.header("X-Running") == "/honest", "a slow client's request is with the worker"


def in_words(times_ms: list[float]) -> str:
    parts = statistics.quantiles(times_ms, n=100)
    return f"{len(times_ms)} requests, median {parts[49]:.2f} ms, 99 % within {parts[98]:.2f} ms"


@pytest.mark.parametrize("threads", [1, 2])
def test_slow_clients_never_hold_a_worker(server, threads):
    with server(APP, threads=threads) as running, contextlib.ExitStack() as stack:
        honest = stack.enter_context(Wire(running))
        alone_ms: list[float] = []
        for _ in range(300):
            ask(honest, alone_ms)
        slow = Slow(running)
        slow.connect(stack)
        # The worker has handed over all 100 responses of which nobody has read an octet.
        running.wait_for("done with /read", count=SLOW)
        beside_ms: list[float] = []
        with slow.going_on():
            for _ in range(TICKS):
                while not slow.ticks.acquire(blocking=False):
                    assert not slow.failures
                    ask(honest, beside_ms)
        assert not slow.failures
        assert len(beside_ms) > 100
        assert all(len(wire.buffer) == TICKS for wire in slow.readers)
        print(f"alone: {in_words(alone_ms)}; beside {2 * SLOW} slow clients: {in_words(beside_ms)}")
        # 20 times would be one slow client in the way; a loaded machine makes it a few times.
        assert statistics.median(beside_ms) < 20 * statistics.median(alone_ms)
        slow.finish()


def hello_of(context: ssl.SSLContext) -> bytes:
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(incoming, outgoing, server_hostname="localhost")
    with pytest.raises(ssl.SSLWantReadError):
        tls.do_handshake()
    return outgoing.read()


def test_stalled_handshakes_delay_no_other_connection(server):
    with server(APP, threads=1, front_threads=1) as running, contextlib.ExitStack() as stack:
        context = running.ssl_context()
        stalled = []
        for n in range(50):
            plain = stack.enter_context(socket.create_connection(("127.0.0.1", running.port), 10))
            hello = hello_of(context)
            plain.sendall([b"", hello[:1], hello[: len(hello) // 2], hello[:-1], hello][n % 5])
            if n % 5 == 4:
                assert plain.recv(1)  # the server's flight, which is left unanswered
            plain.setblocking(False)
            stalled.append((plain, n % 5 == 4))
        times_ms: list[float] = []
        for _ in range(20):
            began = time.monotonic()
            with Wire(running, context=context) as wire:
                assert wire.get("/honest").status == 200
            times_ms.append((time.monotonic() - began) * 1000)
        print(f"{in_words(times_ms)}, each on a connection of its own beside 50 stalled handshakes")
        for plain, answered in stalled:  # none of them was given up meanwhile
            if answered:
                plain.recv(65536)
            with pytest.raises(BlockingIOError):
                plain.recv(1)
        assert not [line for line in running.log() if "handshake timed out" in line]


def test_end_of_a_response_is_told_apart_from_a_cut_however_full_the_socket_is(server):
    """Without a length the close_notify is the end; it finds no room where the last octets took all of it."""
    with server(APP, bind="unix:socket") as running:
        context = running.ssl_context()
        for n in range(60):
            size = 400_000 + n * 4999
            with socket.socket(socket.AF_UNIX) as plain:
                plain.settimeout(20)
                plain.connect(running.path)
                with context.wrap_socket(plain, server_hostname="localhost", suppress_ragged_eofs=False) as tls:
                    tls.sendall(request(f"/read?{size}", version="1.0"))
                    running.wait_for("done with /read", count=n + 1)
                    got = 0
                    while octets := tls.recv(65536):  # SSLEOFError where it is cut
                        got += len(octets)
                    assert got > size
