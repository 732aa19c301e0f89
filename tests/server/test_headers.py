"""No header becomes identity, in whatever spelling; and nobody's identity is left behind for the next."""

from __future__ import annotations

import concurrent.futures
import itertools
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import Program, Server, running
from pki import Identity, Pki
from tls_client import ECHO, VERSIONS, answer, ask, attempt, client_context, connected, seen_by_app

FORGED = "forged-by-a-header"

# What the application takes for identity, and what other servers and frameworks forward it in.
OURS = [
    "SSL_CLIENT_VERIFY", "SSL_CLIENT_S_DN", "SSL_CLIENT_S_DN_CN", "SSL_CLIENT_CERT", "SSL_CLIENT_M_SERIAL",
    "SSL_CLIENT_I_DN", "SSL_CLIENT_SAN_DNS_0", "SSL_CLIENT_CERT_CHAIN_0", "SSL_PROTOCOL", "SSL_SESSION_ID",
    "SSL_TLS_SNI", "REMOTE_USER", "AUTH_TYPE", "HANDCLASP_VERDICT", "HANDCLASP_CLIENT", "handclasp.verdict",
    "handclasp.certificate", "handclasp.client", "Handclasp",
]  # fmt: skip
FORWARDED = [
    "X-SSL-Client-Cert", "X-SSL-Client-Verify", "X-SSL-Client-S-DN", "X-SSL-Cert", "SSL-Client-Cert", "Client-Cert",
    "Client-Cert-Chain", "X-Client-Cert", "X-Forwarded-Client-Cert", "X-Forwarded-Tls-Client-Cert",
    "X-Forwarded-Tls-Client-Cert-Info", "X-Amzn-Mtls-Clientcert", "X-Amzn-Mtls-Clientcert-Subject",
    "X-ARR-ClientCert", "Cf-Client-Cert-Der-Base64", "Proxy",
]  # fmt: skip


def spellings(name: str) -> Iterator[str]:
    for form in (name, name.upper(), name.lower(), name.swapcase()):
        for mark in "-_.":
            yield form.replace("-", mark).replace("_", mark)
    words = name.replace("-", "_").split("_")
    for marks in itertools.islice(itertools.product("-_", repeat=len(words) - 1), 8):
        yield "".join(itertools.chain.from_iterable(zip(words, [*marks, ""], strict=True)))


class World:
    def __init__(self, folder: Path) -> None:
        self.pki = Pki(folder)
        self.ca = self.pki.authority("Client CA")
        self.clients: dict[str, Identity | None] = {name: self.ca.issue(name) for name in ("alice", "bob", "carol")}
        self.clients["nobody"] = None
        self.clients["eve"] = self.pki.authority("Stranger CA").issue("eve")
        own = self.ca.issue_server()
        self.options = {"certfile": own.certfile, "keyfile": own.keyfile, "ca_certs": self.ca.certfile}

    def context(self, client: str, version: str | None = None):
        return client_context(self.ca.certfile, self.clients[client], version)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(tmp_path_factory.mktemp("headers"))


@pytest.fixture(scope="module")
def server(world: World, program: Program, state: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One worker with one thread: all requests take the same lane. Every client comes in, whoever it is."""
    options = world.options | {"threads": 1, "client_cert": "request", "remote_user": "SSL_CLIENT_S_DN_CN"}
    with running(program, state, tmp_path_factory.mktemp("served"), ECHO, **options) as server:
        yield server


def ours(seen: dict) -> dict:
    return {key: value for key, value in seen.items() if not key.startswith("HTTP_")}


@pytest.mark.parametrize("client", ["nobody", "alice"])
@pytest.mark.parametrize("name", OURS + FORWARDED)
def test_header_that_could_be_read_as_identity_is_dropped(world: World, server: Server, name: str, client: str) -> None:
    with connected(server, world.context(client)) as secure:
        honest = seen_by_app(ask(secure))
        for spelling in dict.fromkeys(spellings(name)):
            response = ask(secure, headers={spelling: FORGED})
            if response.status == 400:  # no header at all; the connection is closed behind it
                pytest.fail(f"{spelling}: {response.text}")
            seen = seen_by_app(response)
            assert FORGED not in json.dumps(seen), spelling
            assert seen == honest, spelling


NO_NAMES = ["SSL_CLIENT_VERIFY ", " SSL_CLIENT_VERIFY", "SSL CLIENT VERIFY", "SSL\x00CLIENT", "SSL\u00adCLIENT"]
LOOKALIKES = ["Content_Length", "Transfer_Encoding", "Host_", "X_Forwarded_For", "Content.Type", "X!Y"]


@pytest.mark.parametrize("spelling", NO_NAMES)
def test_name_that_is_no_name_is_refused(world: World, server: Server, spelling: str) -> None:
    answer = attempt(server, world.context("nobody"), headers={spelling: FORGED})
    assert answer.status == 400


@pytest.mark.parametrize("name", LOOKALIKES)
def test_name_that_wsgi_would_read_as_another_is_dropped(world: World, server: Server, name: str) -> None:
    seen = seen_by_app(attempt(server, world.context("nobody"), headers={name: "4711"}))
    assert "4711" not in json.dumps(seen)


def test_other_headers_come_through(world: World, server: Server) -> None:
    headers = {"X-Request-Id": "1", "Authorization": "Basic x", "Cookie": "a=b", "Sslx": "2", "X-Client": "3"}
    seen = seen_by_app(attempt(server, world.context("alice"), headers=headers))
    assert seen["HTTP_X_REQUEST_ID"] == "1"
    assert seen["HTTP_AUTHORIZATION"] == "Basic x"
    assert seen["HTTP_COOKIE"] == "a=b"
    assert (seen["HTTP_SSLX"], seen["HTTP_X_CLIENT"]) == ("2", "3")


def test_trailers_name_nobody(world: World, server: Server) -> None:
    with connected(server, world.context("nobody")) as secure:
        secure.sendall(
            b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
            b"1\r\nx\r\n0\r\nSSL-Client-Verify: SUCCESS\r\nRemote-User: forged\r\n\r\n"
        )
        seen = seen_by_app(answer(secure))
    assert "REMOTE_USER" not in seen and seen["SSL_CLIENT_VERIFY"] == "NONE"
    assert "forged" not in json.dumps(seen)


# One lane, many clients


def expected(world: World, client: str) -> tuple[str | None, str, str | None]:
    identity = world.clients[client]
    verdict = {"nobody": "no-certificate", "eve": "untrusted-issuer"}.get(client, "ok")
    return identity and identity.sha256, verdict, client if verdict == "ok" else None


def what_is_seen(seen: dict) -> tuple[str | None, str, str | None]:
    return seen["certificate"], seen["verdict"], seen.get("REMOTE_USER")


def test_nobodys_identity_is_left_behind_for_the_next_request(world: World, server: Server) -> None:
    """Open connections of all of them, taking turns on the same lane, in every order of two."""
    with connected(server, world.context("alice")) as a, connected(server, world.context("bob")) as b:
        with connected(server, world.context("nobody")) as n, connected(server, world.context("eve")) as e:
            connections = {"alice": a, "bob": b, "nobody": n, "eve": e}
            honest = {who: ours(seen_by_app(ask(secure))) for who, secure in connections.items()}
            for order in itertools.permutations(connections, 2):
                for who in order:
                    seen = seen_by_app(ask(connections[who]))
                    assert what_is_seen(seen) == expected(world, who)
                    assert ours(seen) == honest[who]
            assert not [key for key in honest["nobody"] if key.startswith("SSL_CLIENT_") and key != "SSL_CLIENT_VERIFY"]


@pytest.mark.parametrize("version", VERSIONS)
def test_many_clients_at_once_are_each_who_they_are(world: World, server: Server, version: str) -> None:
    def one(who: str) -> bool:
        with connected(server, world.context(who, version)) as secure:
            return all(what_is_seen(seen_by_app(ask(secure))) == expected(world, who) for _ in range(3))

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        assert all(pool.map(one, [*world.clients] * 8))


def test_more_certificates_than_a_lane_remembers(world: World, server: Server) -> None:
    """A lane knows 64 by number; the 65th takes a number over."""
    clients = [world.ca.issue(f"client-{n}", key=world.clients["alice"].key) for n in range(70)]
    for client in [*clients, *clients[:3], *clients[-3:]]:
        context = client_context(world.ca.certfile, client)
        seen = seen_by_app(attempt(server, context))
        assert seen["certificate"] == client.sha256
        assert seen["REMOTE_USER"] == client.subject.removeprefix("CN=")
