"""handclasp.forwarded: what it costs a request in process, and over gunicorn with and without it."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import socket
import statistics
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

from measure import cpu_ns
from servers import APPS, Setup, free_port, parents

CONNECTIONS = 4
TURNS = 5

# figure, text, limit
PROMISES = [
    ("seen_us", "a request with a certificate that was seen, in us of CPU", 15),
    ("gunicorn_ratio", "Flask hello over gunicorn, CPU with it by CPU without", 1.10),
]
OTHERS = [
    ("absent_us", "a request without a certificate, in us of CPU"),
    ("new_us", "one with a certificate that is new, in us of CPU"),
    ("gunicorn_without_us", "Flask hello over gunicorn without it, in us of CPU"),
    ("gunicorn_with_us", "with it"),
]


def environ_of(setup: Setup) -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(APPS), "PYTHONDONTWRITEBYTECODE": "1", "BENCH_STATE": str(setup.state)}


def in_process(setup: Setup, seconds: float) -> dict[str, float]:
    command = [str(setup.python), str(APPS / "in_process_forwarded.py"), str(seconds), str(setup.state)]
    ran = subprocess.run([*command, setup.client[0]], capture_output=True, text=True, env=environ_of(setup))
    if ran.returncode:
        raise SystemExit(ran.stderr[-2000:])
    return json.loads(ran.stdout)


@contextlib.contextmanager
def gunicorn(setup: Setup, app: str) -> Iterator[tuple[int, int]]:
    """Its port and its process."""
    port = free_port()
    command = [setup.program("gunicorn"), app, "--bind", f"127.0.0.1:{port}", "--workers", "1"]
    command += ["--threads", str(CONNECTIONS), "--worker-class", "gthread", "--keep-alive", "75"]
    with open(setup.work / "gunicorn.log", "ab") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env=environ_of(setup))
    try:
        end = time.monotonic() + 20
        while True:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            if process.poll() is not None or time.monotonic() > end:
                raise SystemExit((setup.work / "gunicorn.log").read_text()[-2000:])
            time.sleep(0.02)
        yield port, process.pid
    finally:
        process.terminate()
        process.wait(30)


def tree(root: int) -> list[int]:
    parent = parents()
    return [pid for pid in parent if pid == root or parent[pid] == root]


def header(setup: Setup) -> str:
    end = "-----END CERTIFICATE-----\n"
    text = Path(setup.client[0]).read_text()
    return quote(text[: text.index(end) + len(end)], safe="")


def check(port: int, certificate: str) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    connection.request("GET", "/verdict", headers={"X-SSL-Client-Cert": certificate})
    said = connection.getresponse().read().decode()
    connection.close()
    if said != "ok alice":
        raise SystemExit(f"the application behind gunicorn says {said!r}")


def load(port: int, pid: int, certificate: str, seconds: float) -> float:
    """Microseconds of the server's CPU a request, on kept connections that take turns."""
    lines = f"GET / HTTP/1.1\r\nHost: localhost\r\nX-SSL-Client-Cert: {certificate}\r\n"
    request = f"{lines}X-SSL-Client-Verify: SUCCESS\r\n\r\n".encode()
    with contextlib.ExitStack() as stack:
        peers = [stack.enter_context(socket.create_connection(("127.0.0.1", port))) for _ in range(CONNECTIONS)]

        def turn() -> None:
            for peer in peers:
                peer.sendall(request)
            for peer in peers:
                got = b""
                while not got.endswith(b"hello\n"):
                    more = peer.recv(4096)
                    if not more:
                        raise SystemExit("gunicorn closed a kept connection")
                    got += more

        for _ in range(20):
            turn()
        done, before, until = 0, cpu_ns(tree(pid)), time.monotonic() + seconds
        while time.monotonic() < until:
            turn()
            done += CONNECTIONS
        return (cpu_ns(tree(pid)) - before) / 1000 / done


def measure(setup: Setup, rounds: int, seconds: float) -> dict[str, float]:
    certificate = header(setup)
    taken: dict[str, list[float]] = {}
    with gunicorn(setup, "hello:app") as without, gunicorn(setup, "hello_forwarded:app") as behind:
        check(behind[0], certificate)
        for _ in range(rounds):
            figures = in_process(setup, seconds / 3)
            # In short turns, so that what else the machine does is in both.
            for _ in range(TURNS):
                figures["gunicorn_without_us"] = load(*without, certificate, seconds / TURNS)
                figures["gunicorn_with_us"] = load(*behind, certificate, seconds / TURNS)
                figures["gunicorn_ratio"] = figures["gunicorn_with_us"] / figures["gunicorn_without_us"]
                for name, value in figures.items():
                    taken.setdefault(name, []).append(value)
    return {name: statistics.median(values) for name, values in taken.items()}


def text(figures: dict) -> str:
    lines = ["\nhandclasp.forwarded"]
    lines += [f"  {label:62}{figures[name]:>11,.1f}" for name, label in OTHERS]
    return "\n".join(lines)
