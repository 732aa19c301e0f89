"""At the door: who has a record comes in as that client, and nobody else, from one moment to the next."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from conftest import Program, eventually
from door import PROMISED_S, Door, make_door, seen, until
from records import REVOKED, SUSPENDED
from tls_client import VERSIONS, answer, ask, attempt, connected, fields_of, verdict_of

each_version = pytest.mark.parametrize("version", VERSIONS)


@pytest.fixture
def door(program: Program, state: Path, tmp_path: Path) -> Door:
    return make_door(program, state, tmp_path)


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


def test_a_client_whose_record_is_removed_is_refused_on_a_connection_that_is_open(door):
    alice = door.issue("alice")
    with door.serve() as server, connected(server, door.context(alice)) as kept:
        assert seen(ask(kept))["name"] == "alice"
        door.registry.remove("alice")
        until(lambda: ask(kept).status == 403, "refused")
        assert verdict_of(ask(kept)) == "not-in-registry"


def test_a_client_that_is_added_comes_in_on_a_connection_that_was_refused(door):
    bob = door.ca.issue("bob")
    with door.serve() as server, connected(server, door.context(bob)) as kept:
        assert verdict_of(ask(kept)) == "not-in-registry"
        door.registry.add("bob", bob.certificate)
        until(lambda: ask(kept).status == 200, "known")


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
