"""At the door: who has a record comes in as that client, and nobody else, from one moment to the next."""

from __future__ import annotations

import concurrent.futures
import contextlib
import dataclasses
import json
import os
import re
import signal
import ssl
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from conftest import Program, Response, Server, children, eventually, is_running, running
from pki import Authority, Identity, Pki
from records import REVOKED, SUSPENDED, Registry
from tls_client import (
    VERSIONS,
    answer,
    ask,
    attempt,
    client_context,
    connected,
    fields_of,
    refusals,
    verdict_of,
)

each_version = pytest.mark.parametrize("version", VERSIONS)
# What is promised, and what a machine that does much else at the same time may need.
PROMISED_S, PATIENCE_S = 1.0, 15.0

WHO = """
import json, os, time

def app(environ, start_response):
    environ["wsgi.input"].read()
    client = environ.get("handclasp.client")
    seen = {"user": environ.get("REMOTE_USER"), "verdict": environ.get("handclasp.verdict"),
            "name": client and client.name, "roles": client and sorted(client.roles),
            "resumed": environ.get("SSL_SESSION_RESUMED"), "pid": os.getpid()}
    if client and environ["PATH_INFO"] == "/attributes":
        seen["attributes"] = dict(client.attributes)
    if environ["PATH_INFO"] == "/slow":
        def parts():
            for i in range(40):
                yield b"x" * 1000
                time.sleep(0.05)
        start_response("200 OK", [])
        return parts()
    if environ["PATH_INFO"] == "/wait":
        time.sleep(1.5)
    if environ["PATH_INFO"] == "/ask":
        asked = {"certificates": lambda: [dict(serial=c.serial, status=c.status, current=c.current)
                                          for c in client.certificates]}
        seen["answer"] = asked["certificates"]()
    body = json.dumps(seen).encode()
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]
"""


@dataclasses.dataclass
class Door:
    """A CA, a registry, and how to serve with them."""

    pki: Pki
    ca: Authority
    server_identity: Identity
    registry: Registry
    begin: Callable[..., contextlib.AbstractContextManager[Server]]

    def issue(self, name: str, **record: object) -> Identity:
        identity = self.ca.issue(name)
        self.registry.add(name, identity.certificate, **record)
        return identity

    def context(self, client: Identity | None, version: str | None = None) -> ssl.SSLContext:
        return client_context(self.ca.certfile, client, version)

    def serve(self, app: str = WHO, **options: object):
        return self.begin(
            app,
            **{
                "certfile": self.server_identity.certfile,
                "keyfile": self.server_identity.keyfile,
                "ca_certs": self.ca.certfile,
                "registry": f"sqlite://{self.registry.path}",
            }
            | options,
        )


def make_door(program: Program, state: Path, folder: Path) -> Door:
    pki = Pki(folder)
    ca = pki.authority("Client CA")

    def begin(app: str, **options: object):
        served = folder / f"served-{len(list(folder.iterdir()))}"
        served.mkdir()
        return running(program, state, served, app, **options)

    return Door(pki, ca, ca.issue_server(), Registry.create(folder / "registry.db"), begin)


@pytest.fixture
def door(program: Program, state: Path, tmp_path: Path) -> Door:
    return make_door(program, state, tmp_path)


def seen(response: Response) -> dict:
    assert isinstance(response, Response), response
    assert response.status == 200, response.text
    return json.loads(response.body)


def authority_pid(server: Server) -> int:
    (found,) = [pid for pid, line in children(server.pid) if line[1:2] == ["authority"]]
    return found


def status_of(program: Program, door: Door, server: Server) -> dict:
    done = program.run("status", "--json", "--control-socket", server.control)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)


def until(what: Callable[[], bool], why: str) -> float:
    """How long it took. What is promised is measured; a test machine that is busy is no failure."""
    began = time.monotonic()
    eventually(what, why, PATIENCE_S)
    return time.monotonic() - began


# ---- every verdict, over both versions


@each_version
def test_a_client_on_record_comes_in_with_name_roles_and_attributes(door, version):
    alice = door.issue("alice", roles="meter staff", attributes='{"site": "north"}')
    with door.serve() as server:
        got = seen(attempt(server, door.context(alice, version), "/attributes"))
        assert (got["user"], got["name"], got["verdict"]) == ("alice", "alice", "ok")
        assert got["roles"] == ["meter", "staff"]
        assert got["attributes"] == {"site": "north"}


@each_version
def test_a_stranger_with_a_good_certificate_is_refused_by_a_403_that_names_the_verdict(door, version):
    stranger = door.ca.issue("stranger")
    with door.serve() as server:
        got = attempt(server, door.context(stranger, version))
        assert (got.status, verdict_of(got)) == (403, "not-in-registry")
        line = server.wait_for("client refused")
        assert fields_of(line)["verdict"] == "not-in-registry"
        assert "Retry-After" not in got.headers


@each_version
def test_suspended_and_revoked_clients_are_refused_and_the_log_names_them(door, version):
    alice, bob, carol = door.issue("alice"), door.issue("bob"), door.issue("carol")
    door.registry.set_status("alice", SUSPENDED)
    door.registry.set_status("bob", REVOKED)
    door.registry.revoke_certificates("carol")
    with door.serve() as server:
        for identity, name, verdict in [
            (alice, "alice", "suspended"),
            (bob, "bob", "revoked"),
            (carol, "carol", "revoked"),
        ]:
            got = attempt(server, door.context(identity, version))
            assert (got.status, verdict_of(got)) == (403, verdict)
            line = server.wait_for(f"client refused .*sha256={identity.sha256}")
            told = fields_of(line)
            assert (told["verdict"], told["client"]) == (verdict, name)


@each_version
def test_another_certificate_under_a_known_issuer_and_serial_is_a_mismatch(door, version):
    alice = door.issue("alice")
    door.registry.other_certificate("alice", alice.certificate)
    with door.serve() as server:
        got = attempt(server, door.context(alice, version))
        assert (got.status, verdict_of(got)) == (403, "record-mismatch")


def test_the_same_serial_of_another_ca_is_not_that_client(door):
    alice = door.issue("alice")
    other = door.pki.authority("Other CA")
    forged = other.issue("alice", serial=alice.serial)
    both = door.registry.path.parent / "both.pem"
    both.write_bytes(door.ca.certfile.read_bytes() + other.certfile.read_bytes())
    with door.serve(ca_certs=both) as server:
        assert seen(attempt(server, door.context(alice)))["name"] == "alice"
        assert verdict_of(attempt(server, door.context(forged))) == "not-in-registry"


@each_version
def test_unknown_admit_lets_a_stranger_in_as_nobody_known(door, version):
    stranger, alice = door.ca.issue("stranger"), door.issue("alice")
    door.registry.set_status("alice", SUSPENDED)
    with door.serve(unknown="admit") as server:
        got = seen(attempt(server, door.context(stranger, version)))
        assert (got["user"], got["name"], got["verdict"]) == (None, None, "ok")
        assert verdict_of(attempt(server, door.context(alice, version))) == "suspended"


def test_a_serial_alone_is_pinned_to_the_first_certificate_seen(door):
    alice = door.ca.issue("alice")
    second = door.ca.issue("alice", serial=alice.serial)
    door.registry.add("alice", alice.certificate, serial_alone=True)
    with door.serve() as server:
        assert seen(attempt(server, door.context(alice)))["name"] == "alice"
        assert verdict_of(attempt(server, door.context(second))) == "record-mismatch"
        eventually(
            lambda: door.registry.rows("SELECT sha256 FROM certificate")[0][0] is not None,
            "the pin is on disk",
        )
    ((pinned,),) = door.registry.rows("SELECT sha256 FROM certificate")
    assert pinned.hex() == alice.sha256
    with door.serve() as server:
        assert verdict_of(attempt(server, door.context(second))) == "record-mismatch"
        assert seen(attempt(server, door.context(alice)))["name"] == "alice"


def test_request_mode_hands_a_registry_verdict_to_the_application_and_knows_nobody(door):
    stranger, alice = door.ca.issue("stranger"), door.issue("alice")
    door.registry.set_status("alice", SUSPENDED)
    with door.serve(client_cert="request") as server:
        got = seen(attempt(server, door.context(stranger)))
        assert (got["verdict"], got["name"], got["user"]) == ("not-in-registry", None, None)
        got = seen(attempt(server, door.context(alice)))
        assert (got["verdict"], got["name"], got["user"]) == ("suspended", None, None)


def test_without_a_certificate_the_registry_is_not_asked(door):
    with door.serve(client_cert="optional") as server:
        assert seen(attempt(server, door.context(None)))["verdict"] == "no-certificate"


def test_with_registry_none_the_ca_alone_decides(door):
    stranger = door.ca.issue("stranger")
    with door.serve(registry="none") as server:
        assert seen(attempt(server, door.context(stranger)))["name"] is None
        assert "registry=none" in server.wait_for("listening on")


# ---- within a second


@each_version
def test_a_revoked_client_is_refused_on_a_connection_that_is_open(door, version):
    alice = door.issue("alice")
    with door.serve() as server, connected(server, door.context(alice, version)) as kept:
        assert seen(ask(kept))["name"] == "alice"
        door.registry.set_status("alice", REVOKED)
        took = until(lambda: ask(kept).status == 403, "the open connection is refused")
        assert verdict_of(ask(kept)) == "revoked"
        print(f"refused after {took:.3f} s; promised: {PROMISED_S} s")


def test_a_change_is_in_force_on_every_thread_and_every_worker(door):
    alice = door.issue("alice", roles="meter")
    with door.serve(front_threads=3, workers=2, threads=2) as server, contextlib.ExitStack() as all_of_them:
        kept = [all_of_them.enter_context(connected(server, door.context(alice))) for _ in range(24)]
        for one in kept:
            assert seen(ask(one))["roles"] == ["meter"]
        door.registry.set_roles("alice", "admin")
        until(lambda: all(seen(ask(one))["roles"] == ["admin"] for one in kept), "the roles are new everywhere")
        door.registry.set_status("alice", SUSPENDED)
        until(lambda: all(ask(one).status == 403 for one in kept), "suspended everywhere")
        door.registry.set_status("alice", 1)
        until(lambda: all(ask(one).status == 200 for one in kept), "back everywhere")
        workers = {seen(ask(one))["pid"] for one in kept}
        assert len(workers) == 2


@each_version
def test_a_session_of_a_revoked_client_is_not_resumed(door, version):
    alice = door.issue("alice")
    context = door.context(alice, version)
    with door.serve() as server:
        with connected(server, context) as first:
            assert seen(ask(first))["resumed"] == "Initial"
            session = first.session
        with connected(server, context, session) as second:
            assert seen(ask(second))["resumed"] == "Resumed"
            session = second.session
        door.registry.set_status("alice", REVOKED)
        until(lambda: attempt(server, context).status == 403, "revoked")
        with connected(server, context, session) as third:
            assert verdict_of(ask(third)) == "revoked"
            assert not third.session_reused


@each_version
def test_no_session_is_kept_for_a_client_that_is_refused(door, version):
    alice = door.issue("alice")
    door.registry.set_status("alice", SUSPENDED)
    context = door.context(alice, version)
    with door.serve() as server:
        with connected(server, context) as first:
            assert verdict_of(ask(first)) == "suspended"
            session = first.session
        door.registry.set_status("alice", 1)
        until(lambda: attempt(server, context).status == 200, "active again")
        if session:
            with connected(server, context, session) as second:
                assert seen(ask(second))["resumed"] == "Initial"


def test_a_resumed_connection_has_the_record_as_it_is_now(door):
    alice = door.issue("alice", roles="meter")
    context = door.context(alice)
    with door.serve() as server:
        with connected(server, context) as first:
            assert seen(ask(first))["roles"] == ["meter"]
            session = first.session
        door.registry.set_roles("alice", "admin")
        until(lambda: seen(attempt(server, context))["roles"] == ["admin"], "new roles")
        with connected(server, context, session) as second:
            got = seen(ask(second))
            assert (got["resumed"], got["roles"]) == ("Resumed", ["admin"])


def test_a_response_that_is_being_produced_ends_normally(door):
    alice = door.issue("alice")
    with door.serve() as server, connected(server, door.context(alice)) as kept:
        kept.sendall(b"GET /slow HTTP/1.1\r\nHost: localhost\r\n\r\n")
        first = kept.recv(100)
        assert b"200 OK" in first
        door.registry.set_status("alice", REVOKED)
        until(lambda: attempt(server, door.context(alice)).status == 403, "revoked for all others")
        whole = first
        while not whole.endswith(b"0\r\n\r\n"):
            more = kept.recv(65536)
            assert more, "the response was cut"
            whole += more
        assert whole.count(b"x") >= 40_000
        assert verdict_of(ask(kept)) == "revoked"


def test_a_request_that_waits_for_a_worker_is_decided_again(door):
    alice, bob = door.issue("alice"), door.issue("bob")
    with (
        door.serve(workers=1, threads=1, front_threads=1) as server,
        connected(server, door.context(bob)) as busy,
        connected(server, door.context(alice)) as waits,
    ):
        assert seen(ask(waits))["name"] == "alice"
        busy.sendall(b"GET /wait HTTP/1.1\r\nHost: localhost\r\n\r\n")
        waits.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        door.registry.set_status("alice", REVOKED)
        got = answer(waits)
        assert verdict_of(got) == "revoked"
        assert answer(busy).status == 200
