"""Testing a Flask application that knows its clients by certificate.

Without TLS, in the manner of Flask-Login's test client:

    app.test_client_class = handclasp.testing.HandclaspClient
    app.test_client(client="alice", roles=["meter"]).get("/readings")     # alice, with a record
    app.test_client(certificate=make_certificate("bob")).get("/readings") # bob, without a record
    app.test_client(client="alice", verdict="expired").get("/readings")   # as in mode `request`
    app.test_client().get("/readings")                                    # nobody

What a view asks about its client is answered by a `FakeRegistry` that the test can look at:

    alice = app.test_client(client="alice")
    alice.registry.add(phone := make_certificate("alice", serial=7))
    alice.post("/lost", json={"certificate": phone.fingerprint_sha256})
    assert alice.registry.revoked == {phone.fingerprint_sha256: "keyCompromise"}

With TLS, in pytest: `pytest_plugins = ["handclasp.testing"]` gives the fixture `live_server`, which
runs the fixture `app` behind the real server:

    def test_alice_sees_her_name(live_server):
        assert "alice" in live_server.client("alice", roles=["meter"]).get("/").text
"""

from __future__ import annotations

import http.client
import itertools
import json
import ssl
import subprocess
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple, Self, cast
from urllib.parse import urlsplit

from flask.testing import FlaskClient

from handclasp import _core, _environ
from handclasp.certificate import Certificate
from handclasp.client import Client

if TYPE_CHECKING:
    from werkzeug.test import TestResponse

    from handclasp._serve import Option

__all__ = [
    "FakeRegistry",
    "HandclaspClient",
    "LiveClient",
    "LiveResponse",
    "LiveServer",
    "Refusal",
    "make_certificate",
]

_DAY_S = 86400
_KNOWN_S = 10.0  # a running server has heard of a new client, far sooner

# RFC 5280 errors as OpenSSL numbers them (X509_V_ERR_…), for the verdicts that come from them.
_ERRORS = {
    "untrusted-issuer": 20,
    "not-yet-valid": 9,
    "expired": 10,
    "wrong-purpose": 26,
    "weak-key": 66,
    "revoked": 23,
    "status-unknown": 3,
}

_connections = itertools.count(1)
_serials = itertools.count(0x1001)


@lru_cache(maxsize=1024)
def _make(
    subject: tuple[tuple[str, str], ...],
    sans: tuple[tuple[str, str], ...],
    serial: int | None,
    starts_s: int,
    ends_s: int,
) -> Certificate:
    now = int(time.time())
    serial = next(_serials) if serial is None else serial
    der = _core.make_test_certificate(subject, f"{serial:x}", now + starts_s, now + ends_s, sans)
    return Certificate(der)


def make_certificate(
    common_name: str,
    *,
    subject: Iterable[tuple[str, str]] = (),
    sans: Iterable[tuple[str, str]] = (),
    serial: int | None = None,
    starts_s: int = -_DAY_S,
    ends_s: int = 90 * _DAY_S,
) -> Certificate:
    """A real client certificate with a key that nobody has, from a CA that nobody trusts; the same
    object for the same arguments.

    common_name: the subject's CN.
    subject: more of its attributes, as (short name or OID, text), such as ("OU", "meters").
    sans: as ("dns" | "email" | "uri" | "ip", text).
    serial: a number of up to 20 octets; None takes the next one.
    starts_s, ends_s: validity, seconds from now.

    ValueError where OpenSSL refuses a value.
    """
    return _make((("CN", common_name), *subject), tuple(sans), serial, starts_s, ends_s)


def _made_for(name: str, verdict: str) -> Certificate:
    if verdict == "expired":
        return make_certificate(name, starts_s=-30 * _DAY_S, ends_s=-_DAY_S)
    if verdict == "not-yet-valid":
        return make_certificate(name, starts_s=_DAY_S, ends_s=30 * _DAY_S)
    return make_certificate(name)


class Refusal(NamedTuple):
    """What the application told the server of a refused request, for its log."""

    verdict: str
    reason: str


class FakeRegistry:
    """What the questions of one client's views are answered from, in place of the server's registry.

    asked: the questions, oldest first: {"do": "certificates"}, {"do": "suspend", "reason": …} or
        {"do": "revoke", "certificate": fingerprint, "reason": …}.
    suspended: the reason that the client was suspended with; None where it was not.
    revoked: the reason by fingerprint.
    unavailable: set it to see what the application does when nobody answers
        (`RegistryUnavailable`).

    It keeps no client out: what the server does after a revocation is the server's. Test clients
    that are one client's devices share one: `app.test_client(client="alice", registry=registry)`.
    """

    def __init__(self) -> None:
        self.asked: list[dict[str, str]] = []
        self.suspended: str | None = None
        self.revoked: dict[str, str] = {}
        self.unavailable = False
        self._certificates: dict[str, Certificate] = {}
        self._revoked_at: dict[str, datetime] = {}

    def add(self, certificate: Certificate) -> None:
        """One more certificate of the client. Adding it again changes nothing."""
        self._certificates.setdefault(certificate.fingerprint_sha256, certificate)

    def _answer(self, question: dict[str, str], current: Certificate | None) -> dict[str, Any]:
        self.asked.append(question)
        if self.unavailable:
            return _refusal("unavailable", "the registry cannot be used now")
        if question["do"] == "suspend":
            self.suspended = question["reason"]
        elif question["do"] == "revoke":
            fingerprint = question["certificate"]
            if fingerprint not in self._certificates:
                return _refusal("not-found", "the client has no such certificate")
            # Once revoked, the first time and reason stay.
            self.revoked.setdefault(fingerprint, question["reason"])
            self._revoked_at.setdefault(fingerprint, datetime.now(UTC))
        else:
            rows = [self._row(one, current) for one in self._certificates.values()]
            return {"ok": True, "certificates": rows}
        return {"ok": True}

    def _row(self, one: Certificate, current: Certificate | None) -> dict[str, Any]:
        fingerprint = one.fingerprint_sha256
        revoked_at = self._revoked_at.get(fingerprint)
        return {
            "serial": one.serial_hex,
            "fingerprint_sha256": fingerprint,
            "subject": str(one.subject),
            "issuer": str(one.issuer),
            "sans": [f"{san.type}:{san.value}" for san in one.sans],
            "not_before": one.not_before.isoformat(),
            "not_after": one.not_after.isoformat(),
            "status": "revoked" if revoked_at else "active",
            "revoked_at": revoked_at.isoformat() if revoked_at else None,
            "reason": self.revoked.get(fingerprint),
            "origin": "issued",
            "current": one == current,
        }


def _refusal(code: str, error: str) -> dict[str, Any]:
    return {"ok": False, "code": code, "error": error}


@dataclass(frozen=True, slots=True)
class _Device:
    """A client with one of its certificates: who asks."""

    registry: FakeRegistry
    certificate: Certificate | None

    def ask(self, client: Client, question: bytes, /) -> bytes:
        return _json_bytes(self.registry._answer(json.loads(question), self.certificate))


class HandclaspClient(FlaskClient):
    """A test client that comes with a certificate, without TLS.

    client: the name of its record, or the record; a certificate of that name is made where none is
        given.
    roles, attributes: of the record.
    certificate: what it shows; alone, there is no record.
    verdict: the server's: "ok" where there is a certificate, else "no-certificate". Another one is
        what an application in mode `request` sees.
    registry: what its views' questions are answered from; one of its own where None is given.
    address: REMOTE_ADDR.
    keep_alive: all requests come on one connection; else each has its own.

    `refusals` lists what the application told the server of refused requests.
    """

    def __init__(
        self,
        *args: Any,
        client: str | Client | None = None,
        roles: Iterable[str] = (),
        attributes: Mapping[str, Any] | None = None,
        certificate: Certificate | None = None,
        verdict: str | None = None,
        registry: FakeRegistry | None = None,
        address: str = "127.0.0.1",
        keep_alive: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        record = Client(client, roles, attributes) if isinstance(client, str) else client
        if not isinstance(client, str) and (roles or attributes):
            raise TypeError("roles and attributes are those of a client given by name")
        if certificate is None and (record is not None or verdict not in (None, "no-certificate")):
            name = record.name if record is not None else "client"
            certificate = _made_for(name, verdict or _environ.OK)
        if verdict is None:
            verdict = _environ.OK if certificate is not None else _environ.NO_CERTIFICATE
        self.registry = FakeRegistry() if registry is None else registry
        if record is not None:
            record = record._asking(_Device(self.registry, certificate))
            if certificate is not None:
                self.registry.add(certificate)
        self.refusals: list[Refusal] = []
        self._keep_alive = keep_alive
        # Flask has it as a dict of texts.
        self._base = cast("dict[str, Any]", self.environ_base)
        self._base.update(_handed_over(certificate, record, verdict), REMOTE_ADDR=address)
        self._base[_environ.REFUSE] = self._refused
        self._base[_environ.CONNECTION] = next(_connections)

    def _refused(self, reason: str, verdict: str = _environ.REFUSED_BY_APP) -> None:
        self.refusals.append(Refusal(verdict, reason))

    def open(self, *args: Any, **kwargs: Any) -> TestResponse:
        if not self._keep_alive:
            self._base[_environ.CONNECTION] = next(_connections)
        if (not args or isinstance(args[0], str)) and not kwargs.keys() & {
            "base_url",
            "url_scheme",
        }:
            kwargs["url_scheme"] = "https"
        return super().open(*args, **kwargs)


def _handed_over(
    certificate: Certificate | None, client: Client | None, verdict: str
) -> dict[str, Any]:
    """What the server puts into environ for this client."""
    failed = verdict not in (_environ.OK, _environ.NO_CERTIFICATE)
    environ: dict[str, Any] = {
        "HTTPS": "on",
        "SSL_PROTOCOL": "TLSv1.3",
        "SSL_CIPHER": "TLS_AES_256_GCM_SHA384",
        "SSL_CIPHER_USEKEYSIZE": "256",
        "SSL_CIPHER_ALGKEYSIZE": "256",
        "SSL_SESSION_RESUMED": "Initial",
        "SSL_CLIENT_VERIFY": f"FAILED:{verdict}" if failed else "NONE",
        _environ.CERTIFICATE: certificate,
        _environ.CLIENT: client,
        _environ.VERDICT: verdict,
        _environ.VERDICT_DETAIL: "",
        _environ.ERROR: _ERRORS.get(verdict, 1) if failed else 0,
        _environ.DEPTH: 0,
    }
    if certificate is not None:
        days_left = int(certificate.not_after.timestamp() - time.time()) // _DAY_S
        environ.update(_core.certificate_variables(certificate.der))
        environ["SSL_CLIENT_V_REMAIN"] = str(max(days_left, 0))
        if not failed:
            environ["SSL_CLIENT_VERIFY"] = "SUCCESS"
        for nth, other in enumerate(certificate.chain):
            environ[f"SSL_CLIENT_CERT_CHAIN_{nth}"] = other.pem
    if client is not None and not failed:
        environ["REMOTE_USER"] = client.name.encode().decode("latin-1")
        environ["AUTH_TYPE"] = "CLIENT_CERT"
    return environ


@dataclass(frozen=True, slots=True)
class LiveResponse:
    """A response of the live server."""

    status: int
    headers: http.client.HTTPMessage
    data: bytes

    @property
    def text(self) -> str:
        return self.data.decode()

    @property
    def json(self) -> Any:
        return json.loads(self.data)


class LiveClient:
    """An HTTPS client with one connection that is kept; opened when first needed."""

    def __init__(self, url: str, context: ssl.SSLContext) -> None:
        at = urlsplit(url)
        self._connection = http.client.HTTPSConnection(
            at.hostname or "localhost", at.port, context=context, timeout=30
        )
        self._new_until = 0.0  # the server may not have heard of this client yet

    def request(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        *,
        json: Any = None,
        headers: Mapping[str, str] | None = None,
    ) -> LiveResponse:
        """One request and its whole response. OSError (ssl.SSLError) where the server refuses the
        connection."""
        fields = dict(headers or {})
        if json is not None:
            body = _json_bytes(json)
            fields.setdefault("Content-Type", "application/json")
        while True:
            self._connection.request(method, path, body, fields)
            response = self._connection.getresponse()
            got = LiveResponse(response.status, response.headers, response.read())
            if time.monotonic() > self._new_until or not _is_unknown(got):
                self._new_until = 0.0
                return got
            time.sleep(0.01)

    def get(self, path: str, **options: Any) -> LiveResponse:
        return self.request("GET", path, **options)

    def post(self, path: str, **options: Any) -> LiveResponse:
        return self.request("POST", path, **options)

    def close(self) -> None:
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def _is_unknown(response: LiveResponse) -> bool:
    """The server itself refused it for want of a record: no application has seen the request."""
    if response.headers.get_content_type() != "application/problem+json":
        return False
    return response.status == 403 and response.json.get("verdict") == "not-in-registry"


def _json_bytes(value: Any) -> bytes:
    return json.dumps(value).encode()


class LiveServer:
    """The real server around an application of this process, over TLS, with a CA of its own.

    url: "https://localhost:PORT".
    state: the state folder that `handclasp init` made.
    """

    def __init__(self, url: str, state: Path) -> None:
        self.url = url
        self.state = state
        self._clients: list[LiveClient] = []

    def ssl_context(self, name: str | None = None) -> ssl.SSLContext:
        """Trusts the server, and shows the certificate of client `name`, issued where there is none
        yet; None shows none."""
        context = ssl.create_default_context(cafile=str(self.state / "ca" / "ca.pem"))
        if name is not None:
            certificate = self.state / "clients" / f"{name}.pem"
            if not certificate.exists():
                self._issue(name)
            context.load_cert_chain(certificate, certificate.with_suffix(".key"))
        return context

    def client(self, name: str | None = None, *, roles: Iterable[str] = ()) -> LiveClient:
        """A client with that certificate, or with none; `roles` are added to what its record has."""
        roles = list(roles)
        if name is not None and roles:
            self._issue(name, *(f"--role={role}" for role in roles))
        client = LiveClient(self.url, self.ssl_context(name))
        client._new_until = time.monotonic() + _KNOWN_S if name is not None else 0.0
        self._clients.append(client)
        return client

    def _issue(self, name: str, *options: str) -> None:
        _run("client", "issue", "--state", str(self.state), *options, name)

    def close(self) -> None:
        for client in self._clients:
            client.close()


def _run(*arguments: str) -> None:
    from handclasp._serve import find_binary

    command = [find_binary(), *arguments]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()}")


try:
    import pytest
except ImportError:
    pass
else:

    @pytest.fixture(scope="session")
    def handclasp_state(tmp_path_factory: pytest.TempPathFactory) -> Path:
        """A state folder with a CA and a server certificate for localhost, one a test session."""
        state = tmp_path_factory.mktemp("handclasp") / "state"
        _run("init", "--state", str(state), "--host", "localhost")
        return state

    @pytest.fixture
    def handclasp_options() -> dict[str, Option]:
        """Options of `handclasp serve` for `live_server`: override it where others are wanted."""
        return {}

    @pytest.fixture
    def live_server(
        app: Any, handclasp_state: Path, handclasp_options: dict[str, Option]
    ) -> Iterator[LiveServer]:
        """The fixture `app` behind the real server, on a free port of 127.0.0.1."""
        from handclasp._serve import Server

        options: dict[str, Option] = {"state": str(handclasp_state), **handclasp_options}
        with Server(app, "127.0.0.1", 0, options=options) as server:
            port = urlsplit(server.url).port
            live = LiveServer(f"https://localhost:{port}", handclasp_state)
            try:
                yield live
            finally:
                live.close()
