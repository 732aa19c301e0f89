"""handclasp.testing: the client without TLS. The one with TLS is in test_serve_api.py."""

from __future__ import annotations

from typing import Any

import pytest
from flask import Flask, redirect, request
from werkzeug.wrappers import Response

from handclasp import _core
from handclasp.certificate import Certificate
from handclasp.client import Client
from handclasp.testing import HandclaspClient, make_certificate


@pytest.fixture
def app() -> Flask:
    app = Flask(__name__)
    app.testing = True
    app.test_client_class = HandclaspClient

    @app.route("/", methods=["GET", "POST"])
    def index() -> str:
        return request.url

    @app.get("/elsewhere")
    def elsewhere() -> Response:
        return redirect("/")

    return app


def environ_of(client: Any, *arguments: Any, **options: Any) -> dict[str, Any]:
    environ: dict[str, Any] = client.get(*(arguments or ("/",)), **options).request.environ
    return environ


def test_nobody_has_no_certificate(app: Flask) -> None:
    environ = environ_of(app.test_client())
    assert environ["handclasp.verdict"] == "no-certificate"
    assert environ["handclasp.certificate"] is environ["handclasp.client"] is None
    assert environ["SSL_CLIENT_VERIFY"] == "NONE"
    assert not any(key.startswith("SSL_CLIENT_S_") for key in environ)
    assert "REMOTE_USER" not in environ


def test_a_named_client_has_a_record_and_a_certificate_of_that_name(app: Flask) -> None:
    environ = environ_of(app.test_client(client="alice", roles=["meter"], attributes={"a": "b"}))
    assert environ["handclasp.client"] == Client("alice", ["meter"], {"a": "b"})
    assert environ["handclasp.certificate"].subject.common_name == "alice"
    assert (environ["REMOTE_USER"], environ["AUTH_TYPE"]) == ("alice", "CLIENT_CERT")
    assert environ["SSL_CLIENT_VERIFY"] == "SUCCESS"
    assert environ["SSL_CLIENT_S_DN_CN"] == "alice"
    assert environ["SSL_CLIENT_V_REMAIN"] == "89"


def test_a_certificate_alone_has_no_record(app: Flask) -> None:
    certificate = make_certificate("bob", sans=[("dns", "bob.example")])
    environ = environ_of(app.test_client(certificate=certificate))
    assert environ["handclasp.certificate"] is certificate
    assert environ["handclasp.client"] is None
    assert "REMOTE_USER" not in environ
    assert environ["SSL_CLIENT_SAN_DNS_0"] == "bob.example"


def test_the_variables_are_those_that_the_servers_code_makes(app: Flask) -> None:
    certificate = make_certificate("Zoë", subject=[("OU", "a"), ("OU", "b")])
    environ = environ_of(app.test_client(certificate=certificate))
    variables = _core.certificate_variables(certificate.der)
    assert {name: environ[name] for name in variables} == variables
    assert variables["SSL_CLIENT_S_DN_CN"] == "Zoë".encode().decode("latin-1")
    assert variables["SSL_CLIENT_S_DN_OU_1"] == "b"


@pytest.mark.parametrize(("verdict", "error"), [("expired", 10), ("not-yet-valid", 9)])
def test_a_verdict_about_time_comes_with_a_certificate_it_is_true_of(
    app: Flask, verdict: str, error: int
) -> None:
    from datetime import UTC, datetime

    environ = environ_of(app.test_client(client="alice", verdict=verdict))
    certificate: Certificate = environ["handclasp.certificate"]
    assert not certificate.not_before < datetime.now(UTC) < certificate.not_after
    assert environ["SSL_CLIENT_VERIFY"] == f"FAILED:{verdict}"
    assert environ["handclasp.error"] == error
    assert "REMOTE_USER" not in environ


def test_a_failed_verdict_alone_comes_with_a_certificate(app: Flask) -> None:
    environ = environ_of(app.test_client(verdict="untrusted-issuer"))
    assert environ["handclasp.certificate"].subject.common_name == "client"


def test_every_request_is_a_connection_of_its_own_unless_kept(app: Flask) -> None:
    client = app.test_client()
    assert environ_of(client)["handclasp.connection"] != environ_of(client)["handclasp.connection"]
    kept = app.test_client(keep_alive=True)
    assert environ_of(kept)["handclasp.connection"] == environ_of(kept)["handclasp.connection"]


def test_requests_are_https_however_they_are_made(app: Flask) -> None:
    client = app.test_client()
    assert client.get("/").text == "https://localhost/"
    assert client.post("/", json={}).text == "https://localhost/"
    assert client.get("/elsewhere", follow_redirects=True).text == "https://localhost/"
    assert client.get("/", base_url="http://other").text == "http://other/"


def test_a_chain_is_in_the_variables(app: Flask) -> None:
    ca = make_certificate("ca")
    certificate = Certificate(make_certificate("alice").der, [ca])
    assert environ_of(app.test_client(certificate=certificate))["SSL_CLIENT_CERT_CHAIN_0"] == ca.pem


def test_roles_without_a_name_are_an_error(app: Flask) -> None:
    with pytest.raises(TypeError, match="given by name"):
        app.test_client(roles=["meter"])
    with pytest.raises(TypeError, match="one string"):
        app.test_client(client="alice", roles="meter")


def test_the_same_arguments_give_the_same_certificate() -> None:
    assert make_certificate("alice") is make_certificate("alice")
    assert make_certificate("alice") != make_certificate("bob")
    assert make_certificate("alice").serial != make_certificate("bob").serial


def test_a_client_is_immutable_and_compared_by_value() -> None:
    client = Client("alice", ["a"], {"k": "v"})
    assert client == Client("alice", {"a"}, {"k": "v"}) != Client("alice", ["a"])
    assert hash(client) == hash(Client("alice", ["a"], {"k": "v"}))
    with pytest.raises(AttributeError):
        client.name = "bob"  # type: ignore[misc]
    with pytest.raises(TypeError):
        client.attributes["k"] = "w"  # type: ignore[index]
