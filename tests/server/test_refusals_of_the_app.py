"""What an application says of a client that it refused: the log repeats only what the server found itself."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import Program, Response, Server, running
from pki import Identity, Pki
from tls_client import attempt, client_context, fields_of, refusals, verdict_of

CLAIMING = """
from urllib.parse import unquote

def app(environ, start_response):
    environ["handclasp.refuse"]("because " + environ["REMOTE_PORT"], unquote(environ["QUERY_STRING"]))
    start_response("403 Forbidden", [("Content-Length", "0")])
    return []
"""

GUARDED = """
from flask import Flask
from handclasp.flask import ClientRefused, Handclasp, client_required

app = Flask(__name__)
hc = Handclasp(app)

@hc.verify_client
def verify(attempt):
    name = attempt.certificate and attempt.certificate.subject.common_name
    if name == "bob":
        raise ClientRefused("come back later", log_reason="bob is suspended here")
    return attempt.verdict in ("ok", "no-certificate")

@app.get("/guarded")
@client_required
def guarded():
    return "in"

@app.get("/invented")
def invented():
    raise ClientRefused("so there", verdict="revoked")
"""

Clients = dict[str, Identity | None]


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return Pki(tmp_path_factory.mktemp("pki"))


@pytest.fixture(scope="module")
def ca(pki: Pki):
    return pki.authority("Client CA")


@pytest.fixture(scope="module")
def clients(pki: Pki, ca) -> Clients:
    return {
        "nobody": None,
        "alice": ca.issue("alice"),
        "bob": ca.issue("bob"),
        "eve": pki.authority("Stranger CA").issue("eve"),
        "expired": ca.issue("old", ends=-5),
    }


@pytest.fixture(scope="module")
def serve(ca, program: Program, state: Path, tmp_path_factory: pytest.TempPathFactory):
    own = ca.issue_server()
    options = {"certfile": own.certfile, "keyfile": own.keyfile, "ca_certs": ca.certfile, "client_cert": "request"}

    def begin(text: str):
        return running(program, state, tmp_path_factory.mktemp("served"), text, **options)

    return begin


@pytest.fixture(scope="module")
def claiming(serve) -> Iterator[Server]:
    with serve(CLAIMING) as server:
        yield server


@pytest.fixture(scope="module")
def guarded(serve) -> Iterator[Server]:
    with serve(GUARDED) as server:
        yield server


def refused(server: Server, ca, client: Identity | None, path: str) -> tuple[Response, dict[str, str]]:
    """The response, and the only line that its refusal left."""
    before = len(refusals(server))
    response = attempt(server, client_context(ca.certfile, client), path)
    assert isinstance(response, Response) and response.status == 403, response
    server.wait_for("client refused", count=before + 1)
    (line,) = refusals(server)[before:]
    return response, fields_of(line)


@pytest.mark.parametrize(
    ("who", "claim", "logged"),
    [
        ("nobody", "no-certificate", "no-certificate"),
        ("nobody", "refused-by-app", "refused-by-app"),
        ("nobody", "expired", "refused-by-app"),
        ("nobody", "ok", "refused-by-app"),
        ("alice", "refused-by-app", "refused-by-app"),
        ("alice", "ok", "refused-by-app"),
        ("alice", "no-certificate", "refused-by-app"),
        ("alice", "revoked", "refused-by-app"),
        ("alice", "", "refused-by-app"),
        ("alice", "Refused-By-App", "refused-by-app"),
        ("alice", "unknown-verdict", "refused-by-app"),
        ("alice", "v%22%0d%0averdict=ok", "refused-by-app"),
        ("expired", "expired", "expired"),
        ("expired", "untrusted-issuer", "refused-by-app"),
        ("expired", "no-certificate", "refused-by-app"),
        ("eve", "untrusted-issuer", "untrusted-issuer"),
    ],
)
def test_a_claimed_verdict_is_logged_only_where_the_server_found_it_too(
    claiming: Server, ca, clients: Clients, who: str, claim: str, logged: str
) -> None:
    client = clients[who]
    _, line = refused(claiming, ca, client, f"/?{claim}")
    assert line["verdict"] == logged
    assert line["reason"].startswith("because ")
    assert line.get("sha256") == (client and client.sha256)
    # OpenSSL's finding goes with the server's own verdict alone.
    assert ("error" in line) == (who == "expired" == logged or logged == "untrusted-issuer")


@pytest.mark.parametrize(
    ("who", "path", "verdict", "reason"),
    [
        ("nobody", "/guarded", "no-certificate", "a client certificate is needed here"),
        ("bob", "/guarded", "refused-by-app", "bob is suspended here"),
        ("bob", "/no-such-page", "refused-by-app", "bob is suspended here"),
        ("expired", "/guarded", "refused-by-app", "verify function verify returned False, and only True admits"),
    ],
)
def test_the_log_says_the_verdict_of_the_response(
    guarded: Server, ca, clients: Clients, who: str, path: str, verdict: str, reason: str
) -> None:
    response, line = refused(guarded, ca, clients[who], path)
    assert (verdict_of(response), line["verdict"], line["reason"]) == (verdict, verdict, reason)


def test_an_application_that_invents_a_revocation_is_logged_as_its_own_refusal(
    guarded: Server, ca, clients: Clients
) -> None:
    response, line = refused(guarded, ca, clients["alice"], "/invented")
    assert (verdict_of(response), line["verdict"]) == ("revoked", "refused-by-app")
