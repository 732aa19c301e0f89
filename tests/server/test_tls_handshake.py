"""The handshake itself: versions, keys of the server, and clients that do not play by the rules."""

from __future__ import annotations

import functools
import socket
import ssl
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from conftest import Program, Server, running
from pki import Identity, Pki
from tls_client import (
    ALERT,
    CERTIFICATE_VERIFY,
    ECHO,
    HANDSHAKE,
    VERSIONS,
    Alert,
    Wire,
    ask,
    attempt,
    change_encrypted,
    client_context,
    connected,
    record,
    records,
    seen_by_app,
    the_refusal,
)

each_version = pytest.mark.parametrize("version", VERSIONS)
COUNTING = """
count = 0

def app(environ, start_response):
    global count
    count += 1
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(count).encode()]
"""


class World:
    def __init__(self, folder: Path) -> None:
        self.pki = Pki(folder)
        self.ca = self.pki.authority("Client CA")
        self.server = self.ca.issue_server()
        self.alice = self.ca.issue("alice")

    def options(self, server: Identity | None = None, **more: object) -> dict[str, object]:
        server = server or self.server
        own = {"certfile": server.certfile, "keyfile": server.keyfile, "ca_certs": self.ca.certfile}
        return {name: value for name, value in (own | more).items() if value is not None}

    def context(self, client: Identity | None, version: str | None = None, **options) -> ssl.SSLContext:
        return client_context(self.ca.certfile, client, version, **options)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(tmp_path_factory.mktemp("handshake"))


@pytest.fixture(scope="module")
def server(world: World, program: Program, state: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(program, state, tmp_path_factory.mktemp("served"), ECHO, **world.options()) as server:
        yield server


@pytest.fixture
def serve(program: Program, state: Path, tmp_path: Path, world: World) -> Callable[..., object]:
    def begin(server: Identity | None = None, app: str = ECHO, **options: object):
        return running(program, state, tmp_path, app, **world.options(server, **options))

    return begin


# The server's own certificate


@pytest.mark.parametrize("kind", ["p256", "p384", "p521", "rsa2048", "ed25519", "ed448"])
def test_servers_key_may_be(world: World, serve, kind: str) -> None:
    own = world.ca.issue_server(kind=kind)
    with serve(own) as server:
        for version in VERSIONS:
            seen = seen_by_app(attempt(server, world.context(world.alice, version)))
            assert seen["certificate"] == world.alice.sha256
            assert seen["SSL_SERVER_M_SERIAL"].lower().lstrip("0") == f"{own.serial:x}"


def test_server_sends_the_chain_of_its_file(world: World, serve) -> None:
    own = world.ca.intermediate("One").intermediate("Two").issue_server()
    with serve(own) as server, connected(server, world.context(world.alice)) as secure:
        assert ask(secure).status == 200
        assert len(secure._sslobj.get_unverified_chain()) == 3


@pytest.mark.parametrize("old", [False, True], ids=["PKCS#8", "the old form"])
@pytest.mark.parametrize("end", ["", "\n", "\r\n", "\nmore that is not part of it\n"], ids=repr)
def test_encrypted_key_is_opened_by_the_passphrase_in_a_file(
    world: World, serve, tmp_path: Path, old: bool, end: str
) -> None:
    (tmp_path / "passphrase").write_text("correct horse" + end)
    (tmp_path / "passphrase").chmod(0o600)
    own = world.ca.issue_server()
    keyfile = own.encrypted_keyfile(b"correct horse", old=old)
    with serve(own, keyfile=keyfile, keyfile_passphrase_file=tmp_path / "passphrase") as server:
        assert attempt(server, world.context(world.alice)).status == 200


def test_key_and_certificate_may_be_in_one_file(world: World, serve, tmp_path: Path) -> None:
    both = tmp_path / "both.pem"
    both.write_bytes(world.server.pem() + world.server.keyfile.read_bytes())
    both.chmod(0o600)
    with serve(certfile=both, keyfile=None) as server:
        assert attempt(server, world.context(world.alice)).status == 200


# Versions and ciphers


@each_version
def test_both_versions_are_spoken(world: World, server: Server, version: str) -> None:
    assert seen_by_app(attempt(server, world.context(world.alice, version)))["SSL_PROTOCOL"] == version


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_older_versions_are_not(world: World, server: Server, version: ssl.TLSVersion) -> None:
    context = world.context(world.alice, ciphers="ALL:@SECLEVEL=0")
    context.minimum_version = context.maximum_version = version
    assert attempt(server, context) == Alert("protocol_version")
    server.wait_for("no TLS version or cipher in common")


def test_modern_policy_speaks_tls_1_3_alone(world: World, serve) -> None:
    with serve(tls_policy="modern") as server:
        assert attempt(server, world.context(world.alice, "TLSv1.2")) == Alert("protocol_version")
        assert seen_by_app(attempt(server, world.context(world.alice, "TLSv1.3")))["SSL_PROTOCOL"] == "TLSv1.3"


def test_modern_policy_has_no_group_beyond_mozillas(world: World, serve) -> None:
    """P-521 is there for TLS 1.2 alone, where a client's certificate on it needs the group."""
    context = world.context(world.alice, "TLSv1.3")
    context.set_ecdh_curve("secp521r1")
    with serve() as server:
        assert seen_by_app(attempt(server, context))["SSL_PROTOCOL"] == "TLSv1.3"
    with serve(tls_policy="modern") as server:
        assert attempt(server, context) == Alert("handshake_failure")


@pytest.mark.parametrize("cipher", ["AES128-GCM-SHA256", "ECDHE-ECDSA-AES128-SHA", "DHE-RSA-AES128-GCM-SHA256", "NULL"])
def test_ciphers_outside_the_policy_are_not_spoken(world: World, server: Server, cipher: str) -> None:
    context = world.context(world.alice, "TLSv1.2", ciphers=f"{cipher}:@SECLEVEL=0")
    assert attempt(server, context) == Alert("handshake_failure")


def test_protocol_of_application_layer_is_http_1_1(world: World, server: Server) -> None:
    context = world.context(world.alice)
    context.set_alpn_protocols(["h2", "http/1.1"])
    with connected(server, context) as secure:
        assert secure.selected_alpn_protocol() == "http/1.1"
    context.set_alpn_protocols(["smtp"])
    assert attempt(server, context) == Alert("no_application_protocol")


def test_client_is_told_which_cas_are_trusted(world: World, serve, tmp_path: Path) -> None:
    second = world.pki.authority("Second CA")
    with serve(ca_certs=[world.ca.certfile, second.certfile]) as server:
        said = s_client(server, "-CAfile", world.ca.certfile)
        assert "CN = Client CA" in said and "CN = Second CA" in said
        for client in (world.alice, second.issue("bob")):
            assert attempt(server, world.context(client)).status == 200


def s_client(server: Server, *more: object, text: str = "") -> str:
    command = ["openssl", "s_client", "-connect", f"127.0.0.1:{server.port}", *map(str, more)]
    done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=30)
    return done.stdout + done.stderr


# Octets that are not what they should be


def plain_connection(server: Server) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), 20)


def everything(plain: socket.socket) -> bytes:
    got = b""
    while True:
        try:
            part = plain.recv(65536)
        except ConnectionResetError:
            return got
        if not part:
            return got
        got += part


def test_request_in_clear_never_reaches_the_application(world: World, serve) -> None:
    request = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with serve(app=COUNTING) as server:
        with plain_connection(server) as plain:
            plain.sendall(request)
            plain.shutdown(socket.SHUT_WR)
            assert not everything(plain).startswith(b"HTTP")
        server.wait_for("client does not speak TLS")
        assert attempt(server, world.context(world.alice)).text == "1"


@each_version
@pytest.mark.parametrize("flight", [0, 1])
def test_request_in_clear_within_the_handshake_is_not_read_as_the_clients(
    world: World, serve, version: str, flight: int
) -> None:
    request = b"GET /forged HTTP/1.1\r\nHost: localhost\r\n\r\n"
    for clear in (request, record(23, request)):
        with serve(app=COUNTING) as server:
            with Wire(server, world.context(world.alice, version)) as wire:
                before = wire.handshake(lambda n, octets, c=clear: c + octets if n == flight else octets)
                answer = before or wire.request("/own")
                assert isinstance(answer, Alert)
            assert attempt(server, world.context(world.alice)).text == "1"


@each_version
def test_client_hello_may_come_octet_by_octet(world: World, server: Server, version: str) -> None:
    with Wire(server, world.context(world.alice, version)) as wire:

        def slowly(flight: int, octets: bytes) -> bytes:
            if flight:
                return octets
            for at in range(len(octets)):
                wire.send(octets[at : at + 1])
            return b""

        assert wire.handshake(slowly) is None
        assert seen_by_app(wire.request())["SSL_TLS_SNI"] == "localhost"


@each_version
@pytest.mark.parametrize("size", [1, 5, 100])
def test_client_hello_may_be_split_over_records(world: World, server: Server, version: str, size: int) -> None:
    def split(flight: int, octets: bytes) -> bytes:
        if flight:
            return octets
        ((kind, content),) = records(octets)
        return b"".join(record(kind, content[at : at + size]) for at in range(0, len(content), size))

    with Wire(server, world.context(world.alice, version)) as wire:
        assert wire.handshake(split) is None
        seen = seen_by_app(wire.request())
        assert seen["SSL_TLS_SNI"] == "localhost" and seen["certificate"] == world.alice.sha256


@each_version
def test_split_client_hello_is_asked_for_a_certificate_all_the_same(world: World, server: Server, version: str) -> None:
    def split(flight: int, octets: bytes) -> bytes:
        if flight:
            return octets
        ((kind, content),) = records(octets)
        return record(kind, content[:3]) + record(kind, content[3:])

    with Wire(server, world.context(None, version)) as wire:
        refused = wire.handshake(split) or wire.read()
        assert refused in (Alert("handshake_failure"), Alert("certificate_required"))


@pytest.mark.parametrize(
    "octets",
    [
        b"",
        b"\x16",
        b"\x16\x03\x01\xff\xff",
        b"\x16\x03\x01\x00\x00",
        record(HANDSHAKE, b"\x01\xff\xff\xff"),
        record(HANDSHAKE, b"\x02\x00\x00\x00"),
        record(ALERT, b"\x02\x28"),
        record(20, b"\x01"),
        b"\x80\x2e\x01\x00\x02",
        bytes(range(256)) * 20,
        b"SSH-2.0-OpenSSH_9.2\r\n",
    ],
    ids=lambda octets: octets[:12].hex(),
)
def test_noise_ends_its_own_connection_and_no_other(world: World, server: Server, octets: bytes) -> None:
    with connected(server, world.context(world.alice)) as kept:
        assert ask(kept).status == 200
        with plain_connection(server) as plain:
            plain.sendall(octets)
            plain.shutdown(socket.SHUT_WR)
            assert not everything(plain).startswith(b"HTTP")
        assert ask(kept).status == 200


@each_version
def test_control_characters_in_the_server_name_do_not_reach_the_log(
    world: World, serve, tmp_path: Path, version: str
) -> None:
    name = "a\x1b[2J\r\nclient"
    files = ["-cert", world.alice.certfile, "-key", world.alice.keyfile, "-CAfile", world.ca.certfile]
    request = "GET / HTTP/1.1\nHost: localhost\nConnection: close\n\n"
    options = {"access_logfile": tmp_path / "access.log", "access_logformat": "%(h)s sni=%({SSL_TLS_SNI}e)s"}
    with serve(client_cert="request", **options) as server:
        said = s_client(server, *files, "-servername", name, "-crlf", "-ign_eof", S_CLIENT[version], text=request)
        assert "200 OK" in said
        assert "\\u001b" in said, "the application sees the name as it was sent"
        lines = (tmp_path / "access.log").read_text().splitlines()
        assert len(lines) == 1
        for line in lines + server.log():
            assert all(" " <= c for c in line), line


S_CLIENT = {"TLSv1.2": "-tls1_2", "TLSv1.3": "-tls1_3"}


# Renegotiation and certificates after the handshake


def test_renegotiation_is_refused(world: World, server: Server) -> None:
    files = ["-cert", world.alice.certfile, "-key", world.alice.keyfile, "-CAfile", world.ca.certfile]
    command = ["openssl", "s_client", "-connect", f"127.0.0.1:{server.port}", "-tls1_2", *map(str, files)]
    done = subprocess.run(command, input="R\n", capture_output=True, text=True, timeout=30)
    assert "RENEGOTIATING" in done.stdout + done.stderr
    assert "no renegotiation" in done.stdout + done.stderr
    assert "Secure Renegotiation IS supported" in done.stdout
    assert attempt(server, world.context(world.alice)).status == 200


def test_certificate_after_the_handshake_is_never_asked_for(world: World, serve) -> None:
    context = world.context(world.alice, "TLSv1.3")
    context.post_handshake_auth = True
    nobody = world.context(None, "TLSv1.3")
    nobody.post_handshake_auth = True
    with serve(client_cert=["none", "/in=required"]) as server:
        assert seen_by_app(attempt(server, context, "/in"))["verdict"] == "ok"
        assert attempt(server, nobody, "/in").status == 403
        assert attempt(server, nobody, "/out").status == 200
    with serve(client_cert="none") as server, connected(server, context) as secure:
        assert seen_by_app(ask(secure))["verdict"] == "no-certificate"


# A certificate without its key


@each_version
@pytest.mark.parametrize("kind", ["p256", "p384", "p521", "rsa2048"])
def test_certificate_without_its_key_is_not_proven(world: World, server: Server, version: str, kind: str) -> None:
    victim = world.ca.issue("victim", kind=kind)
    answer = attempt(server, world.context(victim.with_another_key(), version))
    assert answer == Alert("decrypt_error")
    line = the_refusal(server, victim)
    assert (line["verdict"], line["subject"]) == ("key-not-proven", "CN=victim")


def prove_otherwise(server: Server, world: World, client: Identity, version: str, change) -> Alert | None:
    context = world.context(client, version)
    context.keylog_filename = str(world.pki.folder / "keys.log")
    with Wire(server, context) as wire:
        return wire.handshake_with(CERTIFICATE_VERIFY, change)


@each_version
def test_proof_that_is_not_changed_is_taken(world: World, server: Server, version: str) -> None:
    """That the tests below change nothing else."""
    context = world.context(world.alice, version)
    context.keylog_filename = str(world.pki.folder / "keys.log")
    with Wire(server, context) as wire:
        if version == "TLSv1.2":
            assert wire.handshake_with(CERTIFICATE_VERIFY, lambda body: body) is None
        else:
            keys = world.pki.folder / "keys.log"
            same = functools.partial(change_encrypted, keys=keys, kind=CERTIFICATE_VERIFY, change=lambda body: body)
            assert wire.handshake(lambda flight, octets: same(octets) if flight else octets) is None
        assert seen_by_app(wire.request())["verdict"] == "ok"


@each_version
@pytest.mark.parametrize("kind", ["p256", "p384", "p521", "rsa2048", "ed25519", "ed448"])
def test_signature_with_one_bit_changed_is_not_proven(world: World, server: Server, kind: str, version: str) -> None:
    victim = world.ca.issue("victim", kind=kind)

    def flip(body: bytes) -> bytes:
        at = len(body) - 5
        return body[:at] + bytes([body[at] ^ 1]) + body[at + 1 :]

    assert prove_otherwise(server, world, victim, version, flip) == Alert("decrypt_error")
    assert the_refusal(server, victim)["verdict"] == "key-not-proven"


CHANGES = {
    "cut": lambda body: body[:4],
    "empty signature": lambda body: body[:2] + b"\x00\x00",
    "wrong length": lambda body: body[:2] + b"\xff\xff" + body[4:],
    "octet behind it": lambda body: body + b"\x00",
    "no algorithm": lambda body: b"\x00\x00" + body[2:],
    "SHA-1": lambda body: b"\x02\x01" + body[2:],
    "of another kind of key": lambda body: b"\x08\x08" + body[2:],  # ed448
    "empty": lambda body: b"",
}


@each_version
@pytest.mark.parametrize("kind", ["p256", "rsa2048", "ed25519"])
@pytest.mark.parametrize("label", CHANGES)
def test_proof_that_is_malformed_is_no_proof(world: World, server: Server, kind: str, label: str, version: str) -> None:
    victim = world.ca.issue("victim", kind=kind)
    assert prove_otherwise(server, world, victim, version, CHANGES[label])
    assert the_refusal(server, victim)["verdict"] == "key-not-proven"


@each_version
def test_proof_that_is_left_out_is_no_proof(world: World, server: Server, version: str) -> None:
    victim = world.ca.issue("victim")
    assert prove_otherwise(server, world, victim, version, lambda _: None) == Alert("unexpected_message")
    assert the_refusal(server, victim)["verdict"] == "key-not-proven"


@each_version
@pytest.mark.parametrize("mode", [{"client_cert": "request"}, {"refuse_with": "http"}, {"client_cert": "optional"}])
def test_certificate_without_its_key_ends_the_handshake_in_every_mode(
    world: World, serve, version: str, mode: dict
) -> None:
    victim = world.ca.issue("victim")
    with serve(app=COUNTING, **mode) as server:
        assert attempt(server, world.context(victim.with_another_key(), version)) == Alert("decrypt_error")
        assert the_refusal(server, victim)["verdict"] == "key-not-proven"
        assert attempt(server, world.context(world.alice)).text == "1"


@each_version
def test_who_has_not_proven_a_key_has_no_session(world: World, server: Server, version: str) -> None:
    """The thief's own session, from a certificate of his own, does not become the victim's either."""
    victim, thief = world.ca.issue("victim"), world.ca.issue("thief")
    context = world.context(thief, version)
    with connected(server, context) as secure:
        assert seen_by_app(ask(secure))["certificate"] == thief.sha256
        session = secure.session
    forged = victim.with_another_key()
    context.load_cert_chain(forged.certfile, forged.keyfile)
    with connected(server, context, session) as secure:
        assert seen_by_app(ask(secure))["certificate"] == thief.sha256
        assert secure.session_reused
    assert attempt(server, context) == Alert("decrypt_error")
