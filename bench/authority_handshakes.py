"""What a full two-way handshake costs with a revocation list of many entries and without: Handclasp beside nginx.

CPU of the whole process tree for each connection with its one request, as `bench/run` measures it elsewhere. CA,
certificates, list and application are the same for all. The client is the same one again and again, so that Handclasp
may remember what it decided; what it costs to decide about one that it has not seen is `crl_cost_us`.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import measure
from servers import Server, Setup, all_servers

FULL = next(s for s in measure.SCENARIOS if s.name == "full")
NAMES = {"handclasp": "serve", "nginx+uwsgi": "nginx"}

OTHERS = [
    ("serve_us", "full handshake and hello, Handclasp, in µs of CPU"),
    ("serve_crl_us", "the same with the list (--crl)"),
    ("nginx_us", "the same, nginx + uWSGI"),
    ("nginx_crl_us", "the same with the list (ssl_crl)"),
    ("nginx_crl_ratio", "nginx + uWSGI, with the list by without"),
    ("crl_ratio_to_nginx", "with the list, Handclasp by nginx + uWSGI"),
]


def with_list(server: Server, crl: Path) -> Server:
    """The same server, which has the list too."""
    plain = server.commands

    def handclasp(s: Server, setup: Setup) -> list[list[str]]:
        return [[*plain(s, setup)[0], "--crl", str(crl)]]

    def nginx(s: Server, setup: Setup) -> list[list[str]]:
        commands, conf = plain(s, setup), s.folder / "nginx.conf"
        before, verify, after = conf.read_text().partition("ssl_verify_client on;")
        assert verify, "nginx.conf has another form"
        conf.write_text(f"{before}{verify} ssl_crl {crl};{after}")
        return commands

    commands = {"handclasp": handclasp, "nginx+uwsgi": nginx}[server.name]
    name, label = f"{server.name}-crl", f"{server.label} with a list"
    return replace(server, name=name, label=label, commands=commands, processes=[])


def run(setup: Setup, load: Path, crl: Path, rounds: int, seconds: float, say: Callable[[str], None]) -> dict:
    """Nothing of a server that cannot run here."""
    plain = [s for s in all_servers() if s.name in NAMES]
    taken: dict[str, list[float]] = {}
    running: list[Server] = []
    try:
        for server in plain:
            why = server.needs(setup)
            if why:
                say(f"skipped {server.label}: {why}")
                continue
            for one in (server, with_list(server, crl)):
                running.append(one)
                try:
                    one.start(setup)
                except RuntimeError as error:
                    raise SystemExit(f"{one.label}: {error}") from None
        generator = measure.Load(load, setup)
        for _ in range(rounds):
            for server in running:
                figures = generator.measure(server, FULL, seconds)
                if figures["failed"] or not figures["done"]:
                    raise SystemExit(f"{server.label}: {figures['failed']} of {figures['done']} failed")
                taken.setdefault(server.name, []).append(figures["cpu_us"])
    finally:
        for server in running:
            server.stop()
    return summary(taken)


def ratio(over: list[float], under: list[float]) -> float:
    return statistics.median(a / b for a, b in zip(over, under, strict=True))


def summary(taken: dict[str, list[float]]) -> dict:
    figures = {}
    for name, key in NAMES.items():
        if name in taken:
            plain, listed = taken[name], taken[f"{name}-crl"]
            figures[f"{key}_us"], figures[f"{key}_crl_us"] = statistics.median(plain), statistics.median(listed)
            figures[f"{key}_crl_ratio"] = ratio(listed, plain)
    if "nginx+uwsgi" in taken:
        figures["crl_ratio_to_nginx"] = ratio(taken["handclasp-crl"], taken["nginx+uwsgi-crl"])
    return figures
