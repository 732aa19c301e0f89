"""handclasp.testing: the client without TLS. The one with TLS is in test_serve_api.py."""

from __future__ import annotations

from typing import Any

import pytest
from flask import Flask, redirect, request
from werkzeug.wrappers import Response

from handclasp import _core
from handclasp.certificate import Certificate
from handclasp.client import Client, RegistryRefused, RegistryUnavailable
from handclasp.testing import FakeRegistry, HandclaspClient, make_certificate


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


# --- what views ask -----------------------------------------------------------------------------


def client_of(client: Any) -> Client:
    found = environ_of(client)["handclasp.client"]
    assert isinstance(found, Client)
    return found


def test_a_view_sees_the_certificate_it_came_with(app: Flask) -> None:
    test_client = app.test_client(client="alice")
    environ = environ_of(test_client)
    (only,) = environ["handclasp.client"].certificates
    certificate = environ["handclasp.certificate"]
    assert only.serial == certificate.serial
    assert only.fingerprint_sha256 == certificate.fingerprint_sha256
    assert (only.not_before, only.not_after) == (certificate.not_before, certificate.not_after)
    assert (only.status, only.current, only.revoked_at) == ("active", True, None)
    assert test_client.registry.asked == [{"do": "certificates"}]


def test_devices_of_one_client_share_a_registry(app: Flask) -> None:
    registry = FakeRegistry()
    laptop, phone = (make_certificate("alice", serial=serial) for serial in (1, 2))
    for certificate in (laptop, phone):
        app.test_client(client="alice", certificate=certificate, registry=registry)
    client = client_of(app.test_client(client="alice", certificate=laptop, registry=registry))
    assert [one.current for one in client.certificates] == [True, False]
    client.revoke(client.certificates[1], "keyCompromise")
    assert registry.revoked == {phone.fingerprint_sha256: "keyCompromise"}
    assert [one.status for one in client.certificates] == ["active", "revoked"]
    gone = client.certificates[1]
    assert gone.reason == "keyCompromise" and gone.revoked_at is not None


def test_a_certificate_can_be_named_by_itself_or_its_fingerprint(app: Flask) -> None:
    test_client = app.test_client(client="alice")
    others = [make_certificate("alice", serial=serial) for serial in (7, 8)]
    for other in others:
        test_client.registry.add(other)
    client = client_of(test_client)
    client.revoke(others[0])
    client.revoke(others[1].fingerprint_sha256.upper())
    assert list(test_client.registry.revoked) == [o.fingerprint_sha256 for o in others]


def test_anothers_certificate_is_refused(app: Flask) -> None:
    client = client_of(app.test_client(client="alice"))
    with pytest.raises(RegistryRefused, match="no such certificate") as refused:
        client.revoke(make_certificate("bob"))
    assert refused.value.code == "not-found"


def test_a_suspension_is_recorded(app: Flask) -> None:
    test_client = app.test_client(client="alice")
    assert test_client.registry.suspended is None
    client_of(test_client).suspend("lost in the bus")
    assert test_client.registry.suspended == "lost in the bus"


def test_a_registry_can_be_unavailable(app: Flask) -> None:
    test_client = app.test_client(client="alice")
    test_client.registry.unavailable = True
    client = client_of(test_client)
    with pytest.raises(RegistryUnavailable):
        _ = client.certificates
    with pytest.raises(RegistryUnavailable):
        client.suspend()
    assert test_client.registry.suspended is None
    assert len(test_client.registry.asked) == 2


def test_a_record_that_is_passed_in_asks_too(app: Flask) -> None:
    record = Client("alice", ["meter"])
    test_client = app.test_client(client=record)
    assert client_of(test_client) == record
    client_of(test_client).suspend()
    assert test_client.registry.suspended == ""
    with pytest.raises(RegistryUnavailable, match="no registry"):
        record.suspend()
