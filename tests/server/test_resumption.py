"""Resumed sessions: they save work, and let nobody in whom a full handshake would refuse."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import signal
import socket
import ssl
import struct
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import Program, Response, Server, running
from cryptography.hazmat.primitives.serialization import Encoding
from pki import Authority, Identity, Pki
from tls_client import (
    ECHO,
    VERSIONS,
    Alert,
    Wire,
    answer,
    ask,
    attempt,
    client_context,
    connected,
    refusals,
    seen_by_app,
    the_refusal,
    verdict_of,
)

each_version = pytest.mark.parametrize("version", VERSIONS)


def reload(server: Server) -> None:
    count = 1 + sum("is in force" in line for line in server.log())
    server.send_signal(signal.SIGHUP)
    server.wait_for("is in force", count=count)
    server.wait_for("the new workers serve", count=count)  # else the next SIGHUP waits for them


@dataclasses.dataclass
class World:
    """A server with files of its own that a test may replace before a reload."""

    pki: Pki
    ca: Authority
    second: Authority
    server_identity: Identity
    folder: Path
    server: Server = None

    def trust(self, *cas: Authority) -> None:
        (self.folder / "cas.pem").write_bytes(b"".join(one.pem() for one in cas))

    def revoke(self, *clients: Identity) -> None:
        (self.folder / "crl.pem").write_text(self.ca.crl(*clients) + self.second.crl())

    def reload(self) -> None:
        reload(self.server)

    def context(self, client: Identity | None, version: str) -> ssl.SSLContext:
        return client_context(self.ca.certfile, client, version)


def make_world(folder: Path) -> World:
    made = Pki(folder)
    ca = made.authority("Client CA")
    world = World(made, ca, made.authority("Second CA"), ca.issue_server(), folder)
    world.trust(world.ca, world.second)
    world.revoke()
    return world


@pytest.fixture(scope="module")
def world(program: Program, state: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Of one module: a test that replaces a file puts it back."""
    made = make_world(tmp_path_factory.mktemp("resumption"))
    own = made.server_identity
    options = {"certfile": own.certfile, "keyfile": own.keyfile}
    options |= {"ca_certs": made.folder / "cas.pem", "crl": made.folder / "crl.pem"}
    with running(program, state, tmp_path_factory.mktemp("served"), ECHO, **options) as made.server:
        yield made


@pytest.fixture
def back_to_normal(world: World) -> Iterator[None]:
    yield
    world.trust(world.ca, world.second)
    world.revoke()
    world.reload()


def session_of(server: Server, context: ssl.SSLContext) -> ssl.SSLSession:
    """Under TLS 1.3 the session comes behind the handshake: before the first answer."""
    with connected(server, context) as secure:
        assert ask(secure).status == 200
        assert not secure.session_reused
        return secure.session


def resumes(server: Server, context: ssl.SSLContext, session: ssl.SSLSession) -> bool:
    with connected(server, context, session) as secure:
        assert seen_by_app(ask(secure))["verdict"] == "ok"
        return bool(secure.session_reused)


@each_version
def test_session_resumes_and_names_the_same_client(world: World, version: str) -> None:
    alice = world.ca.issue("alice")
    context = world.context(alice, version)
    with connected(world.server, context) as secure:
        full = seen_by_app(ask(secure))
        session = secure.session
    with connected(world.server, context, session) as secure:
        resumed = seen_by_app(ask(secure))
        assert secure.session_reused
    assert (full["SSL_SESSION_RESUMED"], resumed["SSL_SESSION_RESUMED"]) == ("Initial", "Resumed")
    same = ["certificate", "verdict", "SSL_CLIENT_VERIFY", "SSL_CLIENT_S_DN", "SSL_CLIENT_I_DN", "SSL_CLIENT_CERT"]
    assert {key: full[key] for key in same} == {key: resumed[key] for key in same}
    assert resumed["certificate"] == alice.sha256


@each_version
def test_session_resumes_again_and_again(world: World, version: str) -> None:
    context = world.context(world.ca.issue(), version)
    session = session_of(world.server, context)
    for _ in range(5):
        with connected(world.server, context, session) as secure:
            assert ask(secure).status == 200
            assert secure.session_reused
            session = secure.session


def test_session_of_tls_1_3_is_replaced_by_the_one_that_it_became(world: World) -> None:
    context = world.context(world.ca.issue(), "TLSv1.3")
    first = session_of(world.server, context)
    assert resumes(world.server, context, first)
    assert not resumes(world.server, context, first)


def test_no_ticket_is_issued_in_tls_1_2(world: World) -> None:
    session = session_of(world.server, world.context(world.ca.issue(), "TLSv1.2"))
    assert not session.has_ticket
    assert len(session.id) == 32


@each_version
def test_chain_that_the_client_sent_survives(world: World, version: str) -> None:
    client = world.ca.issue("alice").sending(world.second.certificate)
    context = world.context(client, version)
    with connected(world.server, context) as secure:
        full = seen_by_app(ask(secure))
        session = secure.session
    with connected(world.server, context, session) as secure:
        assert seen_by_app(ask(secure))["SSL_CLIENT_CERT_CHAIN_0"] == full["SSL_CLIENT_CERT_CHAIN_0"]
        assert secure.session_reused


# What ends a session


@dataclasses.dataclass
class Expired:
    """What was made while the certificate was valid, and is looked at once it is not."""

    client: Identity
    contexts: dict[str, ssl.SSLContext]
    sessions: dict[str, ssl.SSLSession]
    open: dict[str, ssl.SSLSocket]


@pytest.fixture(scope="module")
def expired(world: World) -> Iterator[Expired]:
    client = world.ca.issue("shortlived", ends=4)
    end = time.time() + 4
    made = Expired(client, {}, {}, {})
    for version in VERSIONS:
        made.contexts[version] = world.context(client, version)
        made.sessions[version] = session_of(world.server, made.contexts[version])
        plain = socket.create_connection(("127.0.0.1", world.server.port), 20)
        made.open[version] = made.contexts[version].wrap_socket(plain, server_hostname="localhost")
        assert ask(made.open[version]).status == 200
        # TLS 1.3 renews what resumes: without care that goes on for ever
        with connected(world.server, made.contexts[version], made.sessions[version]) as secure:
            assert ask(secure).status == 200
            assert secure.session_reused
            made.sessions[version] = secure.session
    time.sleep(max(0.0, end + 0.1 - time.time()))  # for the certificate's end, which nothing announces
    yield made
    for secure in made.open.values():
        secure.close()


@each_version
def test_expired_certificate_does_not_resume(world: World, expired: Expired, version: str) -> None:
    before = len(refusals(world.server, expired.client))
    answer = attempt(world.server, expired.contexts[version], session=expired.sessions[version])
    assert answer == Alert("certificate_expired")
    assert the_refusal(world.server, expired.client, count=before + 1)["verdict"] == "expired"


@each_version
def test_certificate_that_expires_on_an_open_connection_is_refused(
    world: World, expired: Expired, version: str
) -> None:
    before = len(refusals(world.server, expired.client))
    assert verdict_of(ask(expired.open[version])) == "expired"
    assert the_refusal(world.server, expired.client, count=before + 1)["verdict"] == "expired"


@each_version
def test_ca_that_was_dropped_ends_sessions_and_open_connections(
    world: World, back_to_normal: None, version: str
) -> None:
    alice, bob = world.second.issue("alice"), world.ca.issue("bob")
    contexts = [world.context(one, version) for one in (alice, bob)]
    sessions = [session_of(world.server, context) for context in contexts]
    with connected(world.server, contexts[0]) as hers, connected(world.server, contexts[1]) as his:
        assert (ask(hers).status, ask(his).status) == (200, 200)
        world.trust(world.ca)
        (world.folder / "crl.pem").write_text(world.ca.crl())
        world.reload()
        assert verdict_of(ask(hers)) == "untrusted-issuer"
        assert ask(his).status == 200
    assert attempt(world.server, contexts[0], session=sessions[0]) == Alert("unknown_ca")
    assert resumes(world.server, contexts[1], sessions[1]), "who is still welcome keeps the session"


@each_version
def test_revoked_client_is_out_on_its_open_connection_and_its_session(
    world: World, back_to_normal: None, version: str
) -> None:
    alice, bob = world.ca.issue("alice"), world.ca.issue("bob")
    contexts = [world.context(one, version) for one in (alice, bob)]
    sessions = [session_of(world.server, context) for context in contexts]
    with connected(world.server, contexts[0]) as hers, connected(world.server, contexts[1]) as his:
        assert (ask(hers).status, ask(his).status) == (200, 200)
        world.revoke(alice)
        world.reload()
        assert verdict_of(ask(hers)) == "revoked"
        assert ask(his).status == 200
        world.revoke()  # as removeFromCRL would: the verdict is made anew, for good too
        world.reload()
        assert ask(hers).status == 200
        world.revoke(alice)
        world.reload()
        assert verdict_of(ask(hers)) == "revoked"
    assert attempt(world.server, contexts[0], session=sessions[0]) == Alert("certificate_revoked")
    assert resumes(world.server, contexts[1], sessions[1])


@each_version
@pytest.mark.parametrize("chunked", [False, True], ids=["of known length", "in chunks"])
def test_client_that_is_revoked_within_a_body_is_refused_at_its_end(
    world: World, back_to_normal: None, version: str, chunked: bool
) -> None:
    alice = world.ca.issue("alice")
    head, rest = ("Transfer-Encoding: chunked", b"2\r\ncd\r\n0\r\n\r\n") if chunked else ("Content-Length: 4", b"cd")
    with connected(world.server, world.context(alice, version)) as secure:
        assert ask(secure).status == 200
        secure.sendall(f"POST / HTTP/1.1\r\nHost: localhost\r\n{head}\r\nExpect: 100-continue\r\n\r\n".encode())
        assert secure.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n", "let in"
        secure.sendall(b"2\r\nab\r\n" if chunked else b"ab")
        world.revoke(alice)
        world.reload()
        secure.sendall(rest)
        assert verdict_of(answer(secure)) == "revoked"
    assert the_refusal(world.server, alice)["verdict"] == "revoked"


@each_version
def test_client_that_is_revoked_within_its_handshake_is_refused(
    world: World, back_to_normal: None, version: str
) -> None:
    alice = world.ca.issue("alice")

    def revoke_first(flight: int, octets: bytes) -> bytes:
        if flight == 1:
            world.revoke(alice)
            world.reload()
        return octets

    with Wire(world.server, world.context(alice, version)) as wire:
        refused = wire.handshake(revoke_first) or wire.request()
    assert refused == Alert("certificate_revoked") or verdict_of(refused) == "revoked"
    assert the_refusal(world.server, alice)["verdict"] == "revoked"


@each_version
def test_list_that_is_broken_at_a_reload_changes_nothing(world: World, back_to_normal: None, version: str) -> None:
    alice = world.ca.issue("alice")
    context = world.context(alice, version)
    world.revoke(alice)
    world.reload()
    (world.folder / "crl.pem").write_text("no list at all\n")
    refused = sum("reload refused" in line for line in world.server.log())
    world.server.send_signal(signal.SIGHUP)
    world.server.wait_for("reload refused.*crl.pem", count=refused + 1)
    assert attempt(world.server, context) == Alert("certificate_revoked")
    assert attempt(world.server, world.context(world.ca.issue(), version)).status == 200


@each_version
def test_ca_that_is_added_lets_in_who_was_refused_on_the_same_connection(
    world: World, program: Program, state: Path, tmp_path: Path, version: str
) -> None:
    """A refusal ages as an admission does."""
    own, cas = world.server_identity, tmp_path / "cas.pem"
    cas.write_bytes(world.ca.pem())
    options = {"certfile": own.certfile, "keyfile": own.keyfile, "ca_certs": cas, "refuse_with": "http"}
    eve = world.second.issue("eve")
    with running(program, state, tmp_path, ECHO, **options) as server:
        with connected(server, world.context(eve, version)) as secure:
            assert verdict_of(ask(secure)) == "untrusted-issuer"
            cas.write_bytes(world.ca.pem() + world.second.pem())
            reload(server)
            assert seen_by_app(ask(secure))["certificate"] == eve.sha256
            cas.write_bytes(world.ca.pem())
            reload(server)
            assert verdict_of(ask(secure)) == "untrusted-issuer"


@each_version
def test_server_certificate_that_was_replaced_is_shown_to_new_connections(
    world: World, program: Program, state: Path, tmp_path: Path, version: str
) -> None:
    own, new = world.ca.issue_server(), world.ca.issue_server(kind="ed25519")
    certfile, keyfile = tmp_path / "server.pem", tmp_path / "server.key"

    def install(identity: Identity) -> None:
        certfile.write_bytes(identity.pem())
        keyfile.write_bytes(identity.keyfile.read_bytes())
        keyfile.chmod(0o600)

    install(own)
    options = {"certfile": certfile, "keyfile": keyfile, "ca_certs": world.ca.certfile}
    context = world.context(world.ca.issue(), version)
    with running(program, state, tmp_path, ECHO, **options) as server:
        with connected(server, context) as kept:
            assert ask(kept).status == 200
            install(new)
            reload(server)
            assert ask(kept).status == 200
        with connected(server, context) as secure:
            assert secure.getpeercert(True) == new.certificate.public_bytes(Encoding.DER)
            assert ask(secure).status == 200


# What does not


def abort(secure: ssl.SSLSocket) -> None:
    """A reset, without close_notify."""
    secure.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    socket.socket.close(secure)


@each_version
def test_aborted_connection_keeps_the_session(world: World, version: str) -> None:
    context = world.context(world.ca.issue(), version)
    plain = socket.create_connection(("127.0.0.1", world.server.port), 20)
    secure = context.wrap_socket(plain, server_hostname="localhost")
    assert ask(secure).status == 200
    session = secure.session
    abort(secure)
    assert resumes(world.server, context, session)


def test_connection_aborted_while_it_resumes_keeps_the_session(world: World) -> None:
    context = world.context(world.ca.issue(), "TLSv1.2")
    session = session_of(world.server, context)
    for _ in range(3):
        plain = socket.create_connection(("127.0.0.1", world.server.port), 20)
        secure = context.wrap_socket(plain, server_hostname="localhost", session=session)
        assert secure.session_reused
        abort(secure)
    assert resumes(world.server, context, session)


# Who gets none


@pytest.fixture(scope="module")
def lax(world: World, program: Program, state: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Request mode: also those who are refused complete a handshake."""
    own = world.server_identity
    options = {"certfile": own.certfile, "keyfile": own.keyfile, "ca_certs": world.ca.certfile}
    with running(program, state, tmp_path_factory.mktemp("served"), ECHO, client_cert="request", **options) as server:
        yield server


@each_version
def test_certificate_that_did_not_verify_has_no_session(world: World, lax: Server, version: str) -> None:
    context = world.context(world.second.issue("eve"), version)
    with connected(lax, context) as secure:
        assert seen_by_app(ask(secure))["verdict"] == "untrusted-issuer"
        session = secure.session
    if session is None:
        return
    with connected(lax, context, session) as secure:
        assert seen_by_app(ask(secure))["verdict"] == "untrusted-issuer"
        assert not secure.session_reused


@each_version
def test_client_without_certificate_resumes_as_nobody(world: World, lax: Server, version: str) -> None:
    context = world.context(None, version)
    with connected(lax, context) as secure:
        assert seen_by_app(ask(secure))["verdict"] == "no-certificate"
        session = secure.session
    with connected(lax, context, session) as secure:
        seen = seen_by_app(ask(secure))
        assert seen["verdict"] == "no-certificate"
        assert "SSL_CLIENT_S_DN" not in seen
        assert secure.session_reused


# Between servers, and between policies


@each_version
def test_session_of_one_server_is_worth_nothing_at_another(world: World, lax: Server, version: str) -> None:
    context = world.context(world.ca.issue(), version)
    session = session_of(lax, context)
    with connected(world.server, context, session) as secure:
        assert ask(secure).status == 200
        assert not secure.session_reused


@each_version
def test_session_from_before_a_stricter_mode_does_not_skip_it(
    world: World, program: Program, state: Path, tmp_path: Path, version: str
) -> None:
    own = world.server_identity
    config = tmp_path / "handclasp.yaml"
    fixed = f"certfile: {own.certfile}\nkeyfile: {own.keyfile}\nca-certs: [{world.ca.certfile}]\n"
    config.write_text(fixed + "client-cert: optional\n")
    with running(program, state, tmp_path, ECHO, config=config) as server:
        nobody, alice = world.context(None, version), world.context(world.ca.issue(), version)
        session, hers = session_of_nobody(server, nobody), session_of(server, alice)
        with connected(server, nobody) as kept:
            assert ask(kept).status == 200
            config.write_text(fixed + "client-cert: required\n")
            reload(server)
            assert verdict_of(ask(kept)) == "no-certificate"
        answer = attempt(server, nobody, session=session)
        assert answer in (Alert("handshake_failure"), Alert("certificate_required"))
        assert not resumes(server, alice, hers), "sessions are keyed to the policy"


def session_of_nobody(server: Server, context: ssl.SSLContext) -> ssl.SSLSession:
    with connected(server, context) as secure:
        assert seen_by_app(ask(secure))["verdict"] == "no-certificate"
        return secure.session


# HelloRetryRequest: the session is asked for twice


def s_client(server: Server, context_files: list[object], *more: object) -> str:
    request = "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    command = ["openssl", "s_client", "-connect", f"127.0.0.1:{server.port}", "-ign_eof", *context_files, *more]
    done = subprocess.run([str(part) for part in command], input=request, capture_output=True, text=True, timeout=30)
    return done.stdout + done.stderr


def test_session_resumes_across_a_hello_retry_request(world: World, tmp_path: Path) -> None:
    client = world.ca.issue("alice")
    files = ["-cert", client.certfile, "-key", client.keyfile, "-CAfile", world.ca.certfile, "-tls1_3"]
    groups = ["-groups", "X448:P-256", "-msg"]  # the key share is for a group that the server does not take
    kept = tmp_path / "session.pem"
    first = s_client(world.server, files, "-sess_out", kept)
    assert "200 OK" in first
    second = s_client(world.server, files, "-sess_in", kept, *groups)
    assert second.count("ClientHello") >= 2, "there was no HelloRetryRequest"
    assert "Reused, TLSv1.3" in second
    assert client.sha256 in second and '"verdict": "ok"' in second


def test_full_handshake_across_a_hello_retry_request(world: World) -> None:
    client = world.ca.issue("alice")
    files = ["-cert", client.certfile, "-key", client.keyfile, "-CAfile", world.ca.certfile, "-tls1_3"]
    seen = s_client(world.server, files, "-groups", "X448:P-256", "-msg")
    assert seen.count("ClientHello") >= 2
    assert client.sha256 in seen


def test_revoked_client_does_not_resume_across_a_hello_retry_request(
    world: World, back_to_normal: None, tmp_path: Path
) -> None:
    client = world.ca.issue("alice")
    files = ["-cert", client.certfile, "-key", client.keyfile, "-CAfile", world.ca.certfile, "-tls1_3"]
    kept = tmp_path / "session.pem"
    assert "200 OK" in s_client(world.server, files, "-sess_out", kept)
    world.revoke(client)
    world.reload()
    seen = s_client(world.server, files, "-sess_in", kept, "-groups", "X448:P-256")
    assert "200 OK" not in seen
    assert the_refusal(world.server, client)["verdict"] == "revoked"


# Under load


@each_version
def test_many_resume_at_once_and_each_is_who_it_is(world: World, version: str) -> None:
    """TLS 1.2 sessions are one for all; in TLS 1.3 each resumption retires the one before."""
    clients = [world.ca.issue(f"client {n}") for n in range(4)]
    contexts = [world.context(client, version) for client in clients]
    sessions = [session_of(world.server, context) for context in contexts]

    def one(n: int) -> tuple[bool, bool]:
        which = n % len(clients)
        with connected(world.server, contexts[which], sessions[which]) as secure:
            seen, reused = seen_by_app(ask(secure)), bool(secure.session_reused)
            if n % 3 == 0:
                abort(secure)
            return seen["certificate"] == clients[which].sha256, reused

    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        results = list(pool.map(one, range(200)))
    assert all(right for right, _ in results)
    resumed = sum(reused for _, reused in results)
    assert resumed == 200 if version == "TLSv1.2" else resumed >= len(clients)


@each_version
def test_reloads_under_load_let_nobody_in_who_is_revoked(world: World, back_to_normal: None, version: str) -> None:
    alice, bob = world.ca.issue("alice"), world.ca.issue("bob")
    contexts = {one: world.context(one, version) for one in (alice, bob)}
    sessions = {one: session_of(world.server, context) for one, context in contexts.items()}

    def several(client: Identity) -> list[Response | Alert]:
        return [attempt(world.server, contexts[client], session=sessions[client]) for _ in range(15)]

    world.revoke(alice)
    world.reload()
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        hers = [pool.submit(several, alice) for _ in range(4)]
        his = [pool.submit(several, bob) for _ in range(4)]
        for _ in range(3):
            world.reload()
        assert all(answer == Alert("certificate_revoked") for done in hers for answer in done.result())
        assert all(answer.status == 200 for done in his for answer in done.result())


def test_session_is_not_kept_longer_than_its_life(world: World, program: Program, state: Path, tmp_path: Path) -> None:
    own = world.server_identity
    options = {"certfile": own.certfile, "keyfile": own.keyfile, "ca_certs": world.ca.certfile, "session_lifetime": 2}
    with running(program, state, tmp_path, ECHO, **options) as server:
        contexts = {version: world.context(world.ca.issue(), version) for version in VERSIONS}
        began = time.time()
        sessions = {version: session_of(server, context) for version, context in contexts.items()}
        for version, context in contexts.items():  # a renewed session is not younger than its handshake
            with connected(server, context, sessions[version]) as secure:
                assert ask(secure).status == 200
                sessions[version] = secure.session
        time.sleep(max(0.0, began + 3.1 - time.time()))
        for version, context in contexts.items():
            assert not resumes(server, context, sessions[version])


def test_nothing_resumes_without_a_store(world: World, program: Program, state: Path, tmp_path: Path) -> None:
    own = world.server_identity
    options = {"certfile": own.certfile, "keyfile": own.keyfile, "ca_certs": world.ca.certfile, "session_cache": 0}
    with running(program, state, tmp_path, ECHO, **options) as server:
        context = world.context(world.ca.issue(), "TLSv1.2")
        with connected(server, context) as secure:
            assert ask(secure).status == 200
            session = secure.session
        if session:
            with connected(server, context, session) as secure:
                assert ask(secure).status == 200
                assert not secure.session_reused
