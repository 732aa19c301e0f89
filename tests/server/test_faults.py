"""System calls and allocations of the front fail while it serves: nobody comes in by that, nothing is mixed up, and
when it is over everything works as before.

faults/shim.c is preloaded into the front and makes every n-th call of a kind fail.
"""

from __future__ import annotations

import collections
import contextlib
import errno
import mmap
import os
import random
import shutil
import ssl
import struct
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import Server, eventually, is_running
from wire import Cut, Reply, Wire, request

APP = """
import threading
from urllib.parse import parse_qs

both = threading.Barrier(2)


def app(environ, start_response):
    body = environ["wsgi.input"].read()
    query = parse_qs(environ["QUERY_STRING"])
    if environ["PATH_INFO"] == "/both":
        both.wait(20)  # for the other lane
    if "size" in query:
        seed = query["seed"][0].encode()
        body = (seed * (int(query["size"][0]) // len(seed) + 1))[: int(query["size"][0])]
    headers = [("X-Verify", environ["SSL_CLIENT_VERIFY"]), ("X-Client", environ.get("SSL_CLIENT_S_DN_CN", ""))]
    if "length" in query:
        headers.append(("Content-Length", str(len(body))))
    start_response("200 OK", headers)
    return [body[at : at + 50_000] for at in range(0, len(body), 50_000)]
"""

KINDS = ["alloc", "accept", "send", "receive", "file", "epoll"]
FAULT = struct.Struct("IiII")  # every, mode, calls, failed
BODY_BYTES = 200_000  # more than is kept in memory, so that spool files and descriptors take part


class Faults:
    """The control file of faults/shim.c."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.write_bytes(bytes(FAULT.size * len(KINDS)))
        with path.open("r+b") as opened:
            self.shared = mmap.mmap(opened.fileno(), 0)

    @contextlib.contextmanager
    def every(self, number: int, kind: str, mode: int) -> Iterator[None]:
        at = FAULT.size * KINDS.index(kind)
        self.shared[at : at + FAULT.size] = FAULT.pack(number, mode, 0, 0)
        try:
            yield
        finally:
            self.shared[at : at + 4] = bytes(4)

    def failed(self, kind: str) -> int:
        return FAULT.unpack_from(self.shared, FAULT.size * KINDS.index(kind))[3]


@pytest.fixture(scope="session")
def shim(tmp_path_factory) -> Path:
    compiler = shutil.which(os.environ.get("CC", "cc")) or pytest.skip("no C compiler")
    made = tmp_path_factory.mktemp("faults") / "shim.so"
    source = Path(__file__).parent / "faults/shim.c"
    command = [compiler, "-O1", "-shared", "-fPIC", "-D_GNU_SOURCE", source, "-o", made, "-ldl"]
    subprocess.run(command, check=True, timeout=60)
    return made


@pytest.fixture
def faults(tmp_path) -> Faults:
    return Faults(tmp_path / "faults")


@pytest.fixture
def faulty(program, server, shim, faults) -> Iterator[Server]:
    """Two front threads and two lanes. The handshake lets everybody through, so that each refusal is decided for a
    request."""
    if program.sanitizer:
        pytest.skip("a sanitizer's own malloc stands where the shim's would")
    with server(
        APP,
        env={"LD_PRELOAD": str(shim), "HANDCLASP_FAULTS": str(faults.path)},
        client_cert=["required", "/any=request"],
        front_threads=2,
        threads=2,
        timeout="20s",
    ) as running:
        for _ in range(8):
            # What OpenSSL sets up with its first use, and fails to, it does not try again.
            assert running.request("/").status == 200
        yield running


class Load:
    """Clients with and without a right to come in, all at once, and what became of their requests."""

    def __init__(self, server: Server, stranger: ssl.SSLContext) -> None:
        self.server = server
        self.contexts = {"alice": server.ssl_context(), "stranger": stranger, "nobody": server.ssl_context(None)}
        self.outcomes: collections.Counter[str] = collections.Counter()
        self.wrong: list[str] = []

    def run(self, connections: int = 160, at_once: int = 4) -> None:
        def one(number: int) -> None:
            chance = random.Random(number)
            for n in range(number, connections, at_once):
                who = ["alice", "alice", "alice", "stranger", "nobody"][n % 5]
                try:
                    self.connection(who, chance)
                except (Cut, OSError, pytest.fail.Exception):
                    self.outcomes[f"{who} cut"] += 1
                except Exception as failure:  # noqa: BLE001 - the test shows it
                    self.wrong.append(f"{who}: {failure!r}")

        threads = [threading.Thread(target=one, args=(n,)) for n in range(at_once)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(180)
        assert not [thread for thread in threads if thread.is_alive()], "a client waits without end"

    def connection(self, who: str, chance: random.Random) -> None:
        with Wire(self.server, context=self.contexts[who]) as wire:
            for _ in range(3):
                seed = f"{who}-{chance.randrange(1 << 60)}-"
                way = chance.choice(["small", "large", "sized", "sent", "any"])
                path, body = "/", seed.encode()
                if way in ("large", "sized"):
                    path = f"/?size={BODY_BYTES}&seed={seed}" + ("&length" if way == "sized" else "")
                    wire.send(request(path))
                    body = (body * BODY_BYTES)[:BODY_BYTES]
                else:
                    path = "/any" if way == "any" else "/"
                    body = (body * BODY_BYTES)[:BODY_BYTES] if way == "sent" else body
                    wire.send(request(path, f"Content-Length: {len(body)}", method="POST") + body)
                reply = wire.response()
                self.judge(who, path, body, reply)
                if reply.header("Connection") == "close":
                    return

    def judge(self, who: str, path: str, expected: bytes, reply: Reply) -> None:
        self.outcomes[f"{who} {reply.status}"] += 1
        if reply.status != 200:
            return
        if who != "alice" and path != "/any":
            self.wrong.append(f"{who} was let in to {path}")
        if who != "alice" and reply.header("X-Verify") == "SUCCESS":
            self.wrong.append(f"{who} was taken for {reply.header('X-Client')!r}")
        if who == "alice" and path != "/any" and reply.header("X-Client") != "alice":
            self.wrong.append(f"alice was taken for {reply.header('X-Client')!r}")
        if reply.body != expected:
            self.wrong.append(f"{who} {path}: {len(reply.body)} octets that differ from the {len(expected)} expected")


def assert_all_is_well(server: Server, stranger: ssl.SSLContext) -> None:
    """Every lane serves, on connections through every thread of the front, and strangers stay out."""
    load = Load(server, stranger)
    load.run(20)
    assert load.wrong == []
    assert not [outcome for outcome in load.outcomes if "cut" in outcome or outcome.startswith("alice 5")], (
        load.outcomes
    )
    with Wire(server) as first, Wire(server) as second:
        first.send(request("/both"))
        second.send(request("/both"))
        assert (first.response().status, second.response().status) == (200, 200)


@pytest.fixture
def stranger(other_state, state) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=state / "ca/ca.pem")
    context.load_cert_chain(other_state / "clients/alice.pem", other_state / "clients/alice.key")
    return context


CASES = [
    ("accept", errno.EMFILE, 3),
    ("accept", errno.ECONNABORTED, 2),
    ("accept", errno.ENOMEM, 3),
    ("send", 0, 2),
    ("send", errno.EAGAIN, 3),
    ("send", errno.ECONNRESET, 40),
    ("send", errno.ENOBUFS, 40),
    ("receive", 0, 2),
    ("receive", errno.EAGAIN, 3),
    ("receive", errno.ECONNRESET, 40),
    ("receive", errno.ENOMEM, 250),
    ("epoll", errno.ENOSPC, 31),
    ("file", 0, 2),
    ("file", errno.ENOSPC, 5),
    ("file", errno.EMFILE, 3),
]


@pytest.mark.parametrize(
    ("kind", "mode", "every"), CASES, ids=[f"{kind}-{errno.errorcode.get(mode, 'part')}" for kind, mode, _ in CASES]
)
def test_call_that_fails_admits_nobody_and_mixes_nothing(faulty, faults, stranger, kind, mode, every):
    front = faulty.front_pid()
    load = Load(faulty, stranger)
    with faults.every(every, kind, mode):
        load.run()
    print(f"{faults.failed(kind)} calls failed: {dict(load.outcomes)}")
    assert load.wrong == []
    assert faults.failed(kind) >= 3
    assert load.outcomes["alice 200"] > 0
    assert_all_is_well(faulty, stranger)
    assert faulty.front_pid() == front


@pytest.mark.parametrize("every", [5003, 1511, 199])
def test_allocation_that_fails_admits_nobody_and_mixes_nothing(faulty, faults, stranger, every):
    front = faulty.front_pid()
    load = Load(faulty, stranger)
    with faults.every(every, "alloc", errno.ENOMEM):
        load.run()
    print(f"{faults.failed('alloc')} allocations failed: {dict(load.outcomes)}")
    assert load.wrong == []
    assert faults.failed("alloc") >= 10
    eventually(lambda: faulty.front_pid(), "there is a front")
    assert_all_is_well(faulty, stranger)
    if faulty.front_pid() != front:
        assert not is_running(front)
        faulty.wait_for("the front ended|the front died")
