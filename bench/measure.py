"""What the processes of a server spend: CPU time in nanoseconds, memory in bytes; and the load that makes them."""

from __future__ import annotations

import json
import os
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from servers import Server, Setup

TICKS = os.sysconf("SC_CLK_TCK")
MEGABYTE = 1 << 20


@dataclass(frozen=True)
class Scenario:
    name: str
    label: str
    arguments: tuple[str, ...]
    floor: str  # of the floors, which one it is compared with


def kept(connections: int, *more: str) -> tuple[str, ...]:
    return ("--mode", "kept", "--connections", str(connections), *more)


SCENARIOS = [
    Scenario("kept", "hello, kept connection", kept(8), "in_process"),
    Scenario("full", "new connection, full handshake, hello", ("--mode", "full", "--connections", "4"), "full"),
    Scenario(
        "resumed_tls13", "the same, resumed, TLS 1.3", ("--mode", "resumed", "--connections", "4"), "resumed_tls13"
    ),
    Scenario(
        "resumed_tls12",
        "the same, resumed, TLS 1.2",
        ("--mode", "resumed", "--connections", "4", "--tls", "1.2"),
        "resumed_tls12",
    ),
    Scenario("down", "1 MB down", kept(2, "--path", "/large"), ""),
    Scenario("up", "1 MB up", kept(2, "--path", "/large", "--upload", str(MEGABYTE)), ""),
]


def cpu_ns(pids: list[int]) -> int:
    """Of these processes with all their threads, also ended ones, and of their children that have ended."""
    total = 0
    for pid in pids:
        try:
            total += time.clock_gettime_ns((~pid << 3) | 2)  # as clock_getcpuclockid(3) names it
            stat = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue  # it has ended: its parent has its time
        total += (int(stat[13]) + int(stat[14])) * 1_000_000_000 // TICKS
    return total


def memory_bytes(pids: list[int]) -> int:
    """Of these processes together: what several share counts once."""
    total = 0
    for pid in pids:
        try:
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1]) * 1024
        except OSError:
            pass
    return total


class Load:
    """The load generator, against one server."""

    def __init__(self, program: Path, setup: Setup):
        self.program = program
        cert, key = setup.client
        self.files = ["--ca", setup.ca, "--cert", cert, "--key", key]

    def command(self, server: Server, *arguments: str) -> list[str]:
        return [str(self.program), "--port", str(server.port), *self.files, *arguments]

    def measure(self, server: Server, scenario: Scenario, seconds: float) -> dict:
        """One run of one scenario: the generator's figures, and `cpu_us` of the server for each request done."""
        command = self.command(server, *scenario.arguments, "--requests", "2000000", "--seconds", str(seconds))
        pids = server.tree()
        before = cpu_ns(pids)
        ran = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 30)
        time.sleep(0.02)  # connections are closed by now, and what that costs belongs to them
        spent = cpu_ns(server.tree()) - before
        figures = json.loads(ran.stdout)
        figures["cpu_us"] = spent / 1000 / figures["done"] if figures["done"] else None
        return figures

    def idle(self, server: Server, count: int) -> dict:
        """Memory of a connection that has had one request and waits. What a server needs once, for its first
        requests, is taken before."""
        self.measure(server, SCENARIOS[0], 0.2)
        self.measure(server, SCENARIOS[1], 0.1)
        before = memory_bytes(server.tree())
        command = self.command(server, "--mode", "idle", "--connections", str(count), "--seconds", "60")
        holder = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        try:
            opened = json.loads(holder.stdout.readline())["open"]
            time.sleep(1)  # what is freed with a delay is given back
            held = memory_bytes(server.tree()) - before
            answers = server_answers(server, self)
        finally:
            holder.stdin.close()
            holder.wait(30)
        return {"asked": count, "open": opened, "bytes_each": held / opened if opened else None, "answers": answers}


def server_answers(server: Server, load: Load) -> bool:
    """Does it still take a new connection, with all those open?"""
    command = load.command(server, "--mode", "full", "--requests", "1", "--seconds", "5")
    return subprocess.run(command, capture_output=True, timeout=30).returncode == 0


def library_floors(program: Path, setup: Setup, count: int) -> dict[str, float]:
    cert, key = setup.client
    command = [str(program), "--ca", setup.ca, "--cert", cert, "--key", key, "--server-cert", setup.cert]
    command += ["--server-key", setup.key, "--count", str(count)]
    ran = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    return json.loads(ran.stdout)


def in_process_floor(setup: Setup, apps: Path, seconds: float) -> float:
    command = [str(setup.python), str(apps / "in_process.py"), str(seconds)]
    environ = os.environ | {"PYTHONDONTWRITEBYTECODE": "1"}
    ran = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60, env=environ)
    return float(ran.stdout)
