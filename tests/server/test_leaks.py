"""Memory and descriptors after thousands of clients of every kind: what the first of them needed is enough for all.

`pytest -m soak` runs these alone; HANDCLASP_SOAK=100000 makes it that many connections.
"""

from __future__ import annotations

import contextlib
import os
import re
import socket
import ssl
import threading
from pathlib import Path

import pytest
from conftest import Server, eventually
from wire import Cut, Wire, request

APP = """
def app(environ, start_response):
    body = environ["wsgi.input"].read()
    start_response("200 OK", [])
    return [body or b"x" * int(environ["QUERY_STRING"] or 1)]
"""

CONNECTIONS = int(os.environ.get("HANDCLASP_SOAK", "5000"))
WARM_UP = 1000
AT_ONCE = 4
#: 1.5 MiB in the 4,000 connections behind the warm-up would be 400 octets each: less than anything kept by
#: mistake for a connection weighs together with what it holds. It does not grow with CONNECTIONS.
GROWTH_KIB = 1536
WORKER_GROWTH_KIB = 1024

pytestmark = pytest.mark.soak


def anonymous_kib(pid: int) -> int:
    """Memory that is the process's own: pages of the program's file come and go."""
    return int(re.search(r"RssAnon:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())[1])


def descriptors(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))


class Visitors:
    """Each connection differs from the one before it; one in ten ends badly."""

    def __init__(self, server: Server, stranger: ssl.SSLContext) -> None:
        self.server = server
        self.stranger = stranger
        self.contexts = [server.ssl_context(who) for who in ("alice", "bob") for _ in range(AT_ONCE)]
        self.contexts[0].maximum_version = self.contexts[AT_ONCE].maximum_version = ssl.TLSVersion.TLSv1_2
        self.answered = 0
        self.resumed = 0
        self.wrong: list[str] = []

    def come(self, connections: int) -> None:
        lock = threading.Lock()

        def some(thread: int) -> None:
            sessions: dict[ssl.SSLContext, ssl.SSLSession | None] = {}
            answered = resumed = 0
            try:
                for n in range(thread, connections, AT_ONCE):
                    context = self.contexts[n // AT_ONCE % 2 * AT_ONCE + thread]
                    got, session, was_resumed = self.visit(n // AT_ONCE % 20, context, sessions.get(context))
                    sessions[context] = session
                    answered += got
                    resumed += was_resumed
            except Exception as failure:  # noqa: BLE001 - the test shows it
                self.wrong.append(repr(failure))
            with lock:
                self.answered += answered
                self.resumed += resumed

        threads = [threading.Thread(target=some, args=(n,)) for n in range(AT_ONCE)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert self.wrong == []

    def visit(
        self, kind: int, context: ssl.SSLContext, session: ssl.SSLSession | None
    ) -> tuple[int, ssl.SSLSession | None, bool]:
        if kind == 0:
            with contextlib.suppress(Cut, OSError), Wire(self.server, context=self.stranger) as wire:
                wire.more()
                self.wrong.append("a stranger was let in")
            return 0, session, False
        # A full handshake now and then, and where there is nothing to resume.
        with Wire(self.server, context=context, session=None if kind % 4 == 1 else session) as wire:
            was_resumed = bool(wire.socket.session_reused)
            # Behind a resumed handshake of TLS 1.2 a request would wait for the acknowledgement of the last flight.
            wire.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if kind == 2:
                wire.send(request("/", "Content-Length: 100000", method="POST") + b"x" * 50_000)
                wire.reset()
                return 0, session, was_resumed
            octets = b"y" * 100_000 if kind == 3 else b""
            replies = [wire.post("/", octets) if octets else wire.get("/?100000" if kind == 5 else "/")]
            replies.append(wire.get("/nothing" if kind % 2 else "/"))
            if any(reply.status != 200 for reply in replies):
                self.wrong.append(str(replies))
            return 2, wire.socket.session, was_resumed


@pytest.fixture
def stranger(other_state, state) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=state / "ca/ca.pem")
    context.load_cert_chain(other_state / "clients/alice.pem", other_state / "clients/alice.key")
    return context


def test_memory_and_descriptors_do_not_grow_with_the_number_of_clients(program, server, stranger, tmp_path):
    if program.sanitizer:
        pytest.skip("a sanitizer keeps what is freed")
    # The session store is full after the warm-up.
    options = {"session_cache": 200, "front_threads": 2, "access_logfile": tmp_path / "access.log"}
    with server(APP, threads=2, **options) as running:
        visitors = Visitors(running, stranger)
        pids = {"front": running.front_pid(), "worker": running.worker_pids()[0]}
        visitors.come(WARM_UP)
        before = {name: (anonymous_kib(pid), descriptors(pid)) for name, pid in pids.items()}
        visitors.come(CONNECTIONS - WARM_UP)
        eventually(lambda: descriptors(pids["front"]) <= before["front"][1], "the front has closed its sockets")
        after = {name: (anonymous_kib(pid), descriptors(pid)) for name, pid in pids.items()}
        for name in pids:
            (memory, files), (memory_after, files_after) = before[name], after[name]
            print(f"{name}: {memory} KiB, {files} descriptors; then {memory_after} KiB, {files_after} descriptors")
        print(f"{CONNECTIONS} connections, {visitors.resumed} resumed, {visitors.answered} requests")
        assert visitors.resumed > CONNECTIONS // 3
        assert after["front"][0] - before["front"][0] < GROWTH_KIB
        assert after["worker"][0] - before["worker"][0] < WORKER_GROWTH_KIB
        assert after["worker"][1] == before["worker"][1]
        assert (pids["front"], [pids["worker"]]) == (running.front_pid(), running.worker_pids())


def test_front_frees_everything_when_it_ends(program, server, stranger, tmp_path):
    """In the middle of things: with connections open, a request half sent, and one with the application."""
    if program.sanitizer != "asan":
        pytest.skip("only a program with LeakSanitizer can tell")
    options = {"front_threads": 2, "access_logfile": tmp_path / "access.log", "graceful_timeout": "1s"}
    with server(APP, threads=2, **options) as running:
        Visitors(running, stranger).come(400)
        with contextlib.ExitStack() as stack:
            idle, half, reading = (stack.enter_context(Wire(running, receive_buffer=4096)) for _ in range(3))
            assert idle.get("/").status == 200
            half.send(request("/", "Content-Length: 200000", method="POST") + b"x" * 100_000)
            reading.send(request("/?3000000"))
            reading.head()
            assert running.stop(timeout=60) == 0
        assert not [line for line in running.log() if "Sanitizer" in line]
