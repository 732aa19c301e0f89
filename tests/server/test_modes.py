"""Client-certificate modes and path rules: who may ask for what."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import Program, Response, Server, running
from pki import Identity, Pki
from tls_client import (
    ECHO,
    VERSIONS,
    Alert,
    answer,
    ask,
    attempt,
    client_context,
    connected,
    refusals,
    seen_by_app,
    verdict_of,
)

each_version = pytest.mark.parametrize("version", VERSIONS)


class World:
    def __init__(self, folder: Path) -> None:
        self.pki = Pki(folder)
        self.ca = self.pki.authority("Client CA")
        self.server = self.ca.issue_server()
        self.clients: dict[str, Identity | None] = {
            "nobody": None,
            "alice": self.ca.issue("alice"),
            "eve": self.pki.authority("Stranger CA").issue("eve"),
            "expired": self.ca.issue("old", ends=-5),
        }
        self.options = {
            "certfile": self.server.certfile,
            "keyfile": self.server.keyfile,
            "ca_certs": self.ca.certfile,
        }

    def context(self, client: str, version: str | None = None):
        return client_context(self.ca.certfile, self.clients[client], version)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(tmp_path_factory.mktemp("modes"))


@pytest.fixture(scope="module")
def serve(world: World, program: Program, state: Path, tmp_path_factory: pytest.TempPathFactory):
    def begin(**options: object):
        return running(program, state, tmp_path_factory.mktemp("served"), ECHO, **world.options, **options)

    return begin


def outcome(answer: Response | Alert) -> str:
    """What a table can hold."""
    if isinstance(answer, Alert):
        return "alert"
    return verdict_of(answer) if answer.status == 403 else f"in: {seen_by_app(answer)['verdict']}"


# mode → client → (refused by alert, refused by HTTP)
MODES = {
    "required": {
        "nobody": ("alert", "no-certificate"),
        "alice": ("in: ok", "in: ok"),
        "eve": ("alert", "untrusted-issuer"),
        "expired": ("alert", "expired"),
    },
    "optional": {
        "nobody": ("in: no-certificate", "in: no-certificate"),
        "alice": ("in: ok", "in: ok"),
        "eve": ("alert", "untrusted-issuer"),
        "expired": ("alert", "expired"),
    },
    "request": {
        "nobody": ("in: no-certificate", "in: no-certificate"),
        "alice": ("in: ok", "in: ok"),
        "eve": ("in: untrusted-issuer", "in: untrusted-issuer"),
        "expired": ("in: expired", "in: expired"),
    },
    "none": dict.fromkeys(["nobody", "alice", "eve", "expired"], ("in: no-certificate", "in: no-certificate")),
}


@pytest.mark.parametrize("refuse_with", ["alert", "http"])
@pytest.mark.parametrize("mode", MODES)
def test_mode_decides_who_comes_in(world: World, serve, mode: str, refuse_with: str) -> None:
    with serve(client_cert=mode, refuse_with=refuse_with) as server:
        for client, outcomes in MODES[mode].items():
            for version in VERSIONS:
                before = len(refusals(server))
                got = outcome(attempt(server, world.context(client, version)))
                assert got == outcomes[refuse_with == "http"], (client, version)
                refused = 0 if got.startswith("in:") else 1
                if refused:
                    server.wait_for("client refused", count=before + 1)
                assert len(refusals(server)) == before + refused


@pytest.mark.parametrize(("number", "mode"), [("0", "none"), ("1", "optional"), ("2", "required")])
def test_modes_have_the_numbers_of_pythons_ssl_module(world: World, serve, number: str, mode: str) -> None:
    with serve(cert_reqs=number) as server:
        for client, outcomes in MODES[mode].items():
            assert outcome(attempt(server, world.context(client))) == outcomes[0]


# Path rules


@pytest.fixture(scope="module")
def ruled(serve) -> Iterator[Server]:
    rules = ["required", "/healthz=none", "/api=optional", "/api/admin=required", "/api/admin/ping=request"]
    with serve(client_cert=[*rules, "/a b=none", "/%C3%A9=none"]) as server:
        yield server


@pytest.fixture(scope="module")
def raised(serve) -> Iterator[Server]:
    with serve(client_cert=["none", "/admin=required", "/maybe=optional", "/=none"]) as server:
        yield server


NOBODY = [
    ("/", "no-certificate"),
    ("/healthz", "in: no-certificate"),
    ("/healthz/", "in: no-certificate"),
    ("/healthz/deep/er", "in: no-certificate"),
    ("/healthz?x=/", "in: no-certificate"),
    ("/healthzz", "no-certificate"),
    ("/health", "no-certificate"),
    ("/Healthz", "no-certificate"),
    ("/healthz;x", "no-certificate"),
    ("/healthz%3f", "no-certificate"),
    ("/h%65althz", "in: no-certificate"),
    ("/%68%65%61%6C%74%68%7a", "in: no-certificate"),
    ("/x/healthz", "no-certificate"),
    ("/?/healthz", "no-certificate"),
    ("/api", "in: no-certificate"),
    ("/api/x", "in: no-certificate"),
    ("/api/admin", "no-certificate"),
    ("/api/%61dmin", "no-certificate"),
    ("/api/admin/x", "no-certificate"),
    ("/api/administrator", "in: no-certificate"),
    ("/api/admin/ping", "in: no-certificate"),
    ("/api/admin/pingpong", "no-certificate"),
    ("/a%20b", "in: no-certificate"),
    ("/%c3%a9", "in: no-certificate"),
    ("https://localhost/healthz", "in: no-certificate"),
    ("https://localhost/api/admin", "no-certificate"),
    ("https://localhost", "no-certificate"),
]


@pytest.mark.parametrize(("path", "expected"), NOBODY)
def test_rule_is_for_whole_segments_and_the_longest_wins(world: World, ruled: Server, path: str, expected: str) -> None:
    assert outcome(attempt(ruled, world.context("nobody"), path)) == expected


@pytest.mark.parametrize(("path", "expected"), [
    ("/", "expired"),
    ("/healthz", "in: expired"),
    ("/api", "expired"),
    ("/api/admin", "expired"),
    ("/api/admin/ping", "in: expired"),
])  # fmt: skip
def test_rule_decides_about_a_certificate_that_does_not_verify(
    world: World, ruled: Server, path: str, expected: str
) -> None:
    assert outcome(attempt(ruled, world.context("expired"), path)) == expected


@pytest.mark.parametrize("path", ["/", "/healthz", "/api/admin", "/api/admin/ping"])
def test_rules_hinder_nobody_who_is_welcome(world: World, ruled: Server, path: str) -> None:
    assert outcome(attempt(ruled, world.context("alice"), path)) == "in: ok"


AMBIGUOUS = [
    "/healthz/../api/admin", "/healthz/%2e%2e/api/admin", "/healthz/%2E./api/admin", "/healthz/..", "/./healthz",
    "/healthz%2fx", "/healthz/%2Fx", "//healthz", "/healthz//api/admin", "/api//admin", "/healthz\\..\\api",
    "/healthz%5c..%5capi", "/healthz%00", "/%00", "/healthz/..;/api/admin", "/healthz/.;x/api",
    "https://localhost//healthz", "/healthz%", "/healthz%4", "/healthz%zz",
]  # fmt: skip


@pytest.mark.parametrize("path", AMBIGUOUS)
@pytest.mark.parametrize("client", ["nobody", "alice"])
def test_path_that_can_be_read_in_two_ways_is_refused(world: World, ruled: Server, path: str, client: str) -> None:
    answer = attempt(ruled, world.context(client), path)
    assert isinstance(answer, Response) and answer.status == 400


@each_version
@pytest.mark.parametrize(("path", "client", "expected"), [
    ("/", "nobody", "in: no-certificate"),
    ("/", "alice", "in: ok"),
    ("/admin", "nobody", "no-certificate"),
    ("/admin", "alice", "in: ok"),
    ("/admin", "eve", "untrusted-issuer"),
    ("/admin", "expired", "expired"),
    ("/admin/", "nobody", "no-certificate"),
    ("/%61dmin", "nobody", "no-certificate"),
    ("/adm%69n/x", "nobody", "no-certificate"),
    ("/ADMIN", "nobody", "in: no-certificate"),
    ("/maybe", "nobody", "in: no-certificate"),
    ("/maybe", "eve", "untrusted-issuer"),
    ("https://localhost/admin", "nobody", "no-certificate"),
    ("http://localhost/admin?x", "nobody", "no-certificate"),
])  # fmt: skip
def test_rule_can_raise_the_mode(
    world: World, raised: Server, path: str, client: str, expected: str, version: str
) -> None:
    assert outcome(attempt(raised, world.context(client, version), path)) == expected


def test_rule_for_a_method_is_for_that_method_alone(world: World, serve) -> None:
    """Browsers send CORS preflights without a certificate."""
    with (
        serve(client_cert=["required", "OPTIONS /api=none"]) as server,
        connected(server, world.context("nobody")) as secure,
    ):
        for method, path, expected in [
            ("OPTIONS", "/api/x", "in: no-certificate"),
            ("GET", "/api/x", "no-certificate"),
            ("OPTIONS", "/", "no-certificate"),
            ("OPTIONS", "/api", "in: no-certificate"),
        ]:
            assert outcome(ask(secure, path, method=method)) == expected


def test_every_request_of_a_connection_is_held_against_the_rules(world: World, ruled: Server) -> None:
    with connected(ruled, world.context("nobody")) as secure:
        for path, expected in [*NOBODY[:6], *reversed(NOBODY[:6])]:
            assert outcome(ask(secure, path)) == expected


def test_pipelined_request_behind_an_open_path_is_refused(world: World, ruled: Server) -> None:
    with connected(ruled, world.context("nobody")) as secure:
        secure.sendall(
            b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
            b"GET /api/admin HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        )
        got = b""
        while part := secure.recv(65536):
            got += part
    assert re.findall(rb"HTTP/1\.1 (\d+)", got) == [b"200", b"403"]


def test_server_with_rules_of_two_kinds_makes_the_looser_handshake(world: World, serve) -> None:
    """All required, so the handshake may require: no rule is lowered."""
    with serve(client_cert=["required", "/x=required"]) as server:
        assert isinstance(attempt(server, world.context("nobody"), "/x"), Alert)
    with serve(client_cert=["required", "/x=optional"]) as server:
        assert outcome(attempt(server, world.context("nobody"), "/")) == "no-certificate"
        assert isinstance(attempt(server, world.context("eve"), "/x"), Alert)
        assert outcome(attempt(server, world.context("nobody"), "/x")) == "in: no-certificate"


@pytest.mark.parametrize(
    "rules",
    [
        *(["sometimes"], ["/x"], ["x=none"], ["/x=none", "/x=required"], ["GET=none"]),
        *(["/a//b=none"], ["/a/../b=none"], ["/a%2fb=none"]),
    ],
    ids=str,
)
def test_rule_that_makes_no_sense_is_refused_at_start(world: World, start, rules: list[str]) -> None:
    server = start(ECHO, **world.options, client_cert=rules)
    assert server.wait() == 2
    assert any("client-cert" in line for line in server.log())


def test_body_of_a_refused_request_is_not_taken_for_the_next(world: World, ruled: Server) -> None:
    smuggled = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with connected(ruled, world.context("nobody")) as secure:
        answer = ask(secure, "/api/admin", method="POST", body=smuggled)
        assert verdict_of(answer) == "no-certificate"
        assert secure.recv(65536) == b"", "nothing else is answered"


def test_refused_request_that_waits_to_be_told_is_told_at_once(world: World, ruled: Server) -> None:
    head = "POST /api/admin HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\nExpect: 100-continue\r\n\r\n"
    with connected(ruled, world.context("nobody")) as secure:
        secure.sendall(head.encode())
        assert verdict_of(answer(secure)) == "no-certificate"
